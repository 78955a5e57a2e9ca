"""The thread that asks databases on gnomon's behalf and writes slow queries down.

One for the process, started when there is something to do. What it asks, it asks on connections
of its own, which no pool counts.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Engine
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from gnomon import guard
from gnomon.databases import families, indexes, kept, plans, queries, shapes
from gnomon.databases.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from gnomon.databases.shapes import Shape
    from gnomon.databases.watch import Watch

log = logging.getLogger("gnomon")

#: Statements that wait for their plans at most, and seconds between two.
WAITING = 20
PAUSE = 1.0

#: Seconds after which a shape is explained again, and after which one without a plan is.
AGAIN = 3600.0
RETRY = 600.0

#: Seconds between two looks at what a database knows of its indexes.
LOOK = 600.0

#: Seconds that changes wait before they are written down.
WRITE = 2.0

#: Seconds that a driver has for everything that is asked at once, connecting included.
DEADLINE = 3 * plans.PATIENCE

_T = TypeVar("_T")


class _Wanted(NamedTuple):
    """A statement that waits for its plan; its parameters are forgotten with it."""

    watch: Watch
    shape: Shape
    statement: str
    operation: str
    values: Any


class Asker:
    """The thread and what it has to do."""

    def __init__(self) -> None:
        self._pid = 0
        self._begin()

    def _begin(self) -> None:
        self._change = threading.Condition()
        self._wanted: deque[_Wanted] = deque()
        self._watches: WeakSet[Watch] = WeakSet()
        self._looked: WeakKeyDictionary[Watch, float] = WeakKeyDictionary()
        self._stuck: threading.Thread | None = None
        self._thread: threading.Thread | None = None
        self._written = 0
        self._started = time.time()

    def want(self, wanted: _Wanted | None = None) -> None:
        """Start the thread if need be, and give it a statement to explain."""
        if self._pid != os.getpid():
            # A fork leaves the thread behind, and perhaps its lock taken.
            self._begin()
            self._pid = os.getpid()
        with self._change:
            if wanted is not None and len(self._wanted) < WAITING:
                wanted.shape.explained = time.monotonic()
                self._wanted.append(wanted)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, name="gnomon databases", daemon=True
                )
                self._thread.start()
                atexit.register(self._write)
            self._change.notify()

    def slow(self, watch: Watch, shape: Shape, statement: str, operation: str, values: Any) -> None:
        """Take a slow statement: it is written down, and explained if that is due."""
        due = watch.explain and (
            shape.explained is None
            or time.monotonic() - shape.explained > (AGAIN if shape.plan is not None else RETRY)
        )
        self.want(_Wanted(watch, shape, statement, operation, values) if due else None)

    def look(self, watch: Watch) -> None:
        """See to it that the database is asked for its unused indexes now and then."""
        if self._pid != os.getpid() or watch not in self._watches:
            self.want()
            with self._change:
                self._watches.add(watch)
                self._change.notify()

    def forget(self, watch: Watch) -> None:
        """Ask nothing more of a database."""
        with self._change:
            self._watches.discard(watch)
            self._wanted = deque(item for item in self._wanted if item.watch is not watch)

    def _work(self) -> None:
        explained = written = 0.0
        while True:
            now = time.monotonic()
            wanted: _Wanted | None = None
            watch: Watch | None = None
            with self._change:
                dirty = self._written != shapes.shapes.changes
                due = [
                    *([written + WRITE] if dirty else []),
                    *([explained + PAUSE] if self._wanted else []),
                    *map(self._due, self._watches),
                ]
                wait = min(due) - now if due else None
                if wait is None or wait > 0:
                    self._change.wait(wait)
                    continue
                if self._wanted and explained + PAUSE <= now:
                    wanted = self._wanted.popleft()
                watch = next((each for each in self._watches if self._due(each) <= now), None)
                if watch is not None:
                    self._looked[watch] = now
            if wanted is not None:
                self._explain(wanted)
                explained = time.monotonic()
            if watch is not None:
                self._look(watch)
            del wanted, watch  # no engine lives on for our sake
            if dirty and written + WRITE <= time.monotonic():
                self._write()
                written = time.monotonic()

    def _due(self, watch: Watch) -> float:
        """Return when a database is asked for its indexes again, on the monotonic clock."""
        return self._looked.get(watch, -LOOK) + LOOK

    def _write(self) -> None:
        changes = shapes.shapes.changes
        if changes == self._written or self._pid != os.getpid():
            return
        self._written = changes
        try:
            kept.write(shapes.page(), self._started)
        except Exception:
            guard.failed("file of slow queries")

    def _asked(self, engine: Engine, ask: Callable[[Connection], _T]) -> _T:
        """Ask a database something; raise TimeoutError if it takes too long, or one before does.

        A driver may hang where no deadline of the database's helps: it is left to itself then, in
        a thread of its own, of which there is one at most.
        """
        if self._stuck is not None and self._stuck.is_alive():
            raise TimeoutError
        given: list[_T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                given.append(asked(engine, ask))
            except BaseException as error:  # handed on to the thread that waits
                failed.append(error)

        thread = threading.Thread(target=run, name="gnomon database", daemon=True)
        thread.start()
        thread.join(DEADLINE)
        if thread.is_alive():
            self._stuck = thread
            raise TimeoutError
        if failed:
            raise failed[0]
        return given[0]

    def _explain(self, wanted: _Wanted) -> None:
        shape = wanted.shape
        try:
            engine = wanted.watch.engine()
            if engine is None:
                return
            system = queries.system(engine)
            plans.check(wanted.statement, wanted.operation, system)

            def told(connection: Connection) -> tuple[list[str], list[tuple[str, str]]]:
                plans.prepare(connection, system)
                plan = plans.explain(connection, wanted.statement, wanted.values, system)
                lacks = indexes.missing(connection, wanted.statement, system, plan.whole)
                return plan.lines, lacks

            lines, hints = self._asked(engine, told)
        except plans.Refused as why:
            shapes.shapes.explained(shape, None, [], str(why))
        except TimeoutError:
            shapes.shapes.explained(shape, None, [], "the database did not answer in time")
        except Exception as error:  # the database's refusal is no fault of ours
            log.debug("no plan of %s: %s", shape.id, type(error).__name__)
            shapes.shapes.explained(shape, None, [], f"the database said {_called(error)}")
        else:
            shapes.shapes.explained(shape, lines, hints)
            wanted.watch.hint()

    def _look(self, watch: Watch) -> None:
        """Ask for unused indexes, and whether what was missing is there by now."""
        try:
            engine = watch.engine()
            if engine is None:
                return
            system = queries.system(engine)

            def told(connection: Connection) -> list[tuple[str, str]] | None:
                plans.prepare(connection, system)
                for shape in shapes.shapes.of(watch.name):
                    if shape.hints:
                        hints = indexes.still_missing(connection, shape.hints)
                        shapes.shapes.explained(shape, shape.plan, hints, shape.why)
                return indexes.unused(connection, system)

            found = self._asked(engine, told)
        except plans.Refused:
            return
        except Exception as error:
            log.debug("no statistics of indexes: %s", type(error).__name__)
            found = None
        watch.hint()
        if found is None:
            shapes.unused.pop(watch.name, None)
            families.unused_indexes.remove(watch.name)
        else:
            if shapes.unused.get(watch.name) != found:
                shapes.unused[watch.name] = found
                shapes.shapes.changes += 1
            families.unused_indexes.child(watch.name).set(len(found))


asker = Asker()


def asked(engine: Engine, ask: Callable[[Connection], _T]) -> _T:
    """Ask a database something on a connection that no pool of the application's counts.

    Raises Refused where there is none: a database in memory is another one for each connection.
    """
    if isinstance(engine.pool, StaticPool | SingletonThreadPool):
        raise plans.Refused("the pool has one connection for all")
    with quiet():
        # It opens connections as the application's does, listeners included. The class is asked:
        # the pool itself would take it for its successor.
        pool = type(engine.pool).recreate(engine.pool)
        own = Engine(pool, engine.dialect, engine.url, hide_parameters=True)
        if not engine.dialect.is_async:
            try:
                with _transactional(own.connect()) as connection:
                    return ask(connection)
            finally:
                pool.dispose()

        async def all_of_it() -> _T:
            from sqlalchemy.ext.asyncio import AsyncEngine  # noqa: PLC0415  # needs greenlet

            asynchronous = AsyncEngine(own)
            try:
                async with asyncio.timeout(DEADLINE), asynchronous.connect() as connection:
                    return await connection.run_sync(lambda given: ask(_transactional(given)))
            finally:
                await asynchronous.dispose()

        return asyncio.run(all_of_it())


def _transactional(connection: Connection) -> Connection:
    """Return a connection whose statements share a transaction, whatever the engine's own do."""
    if connection.dialect.name == "sqlite":
        return connection
    return connection.execution_options(isolation_level="READ COMMITTED")


def _called(error: BaseException) -> str:
    """Return an error's class; its text holds the statement."""
    return type(getattr(error, "orig", None) or error).__name__
