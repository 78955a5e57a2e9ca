"""A connection pool seen from outside: who waits, who holds, what opens, what breaks."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from gnomon import guard, traces
from gnomon.databases import families
from gnomon.databases.quiet import is_ours
from gnomon.errors import error_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolProxiedConnection

    from gnomon.families import Distribution

#: The key of a connection record's own dictionary under which the time of its checkout stands.
_HELD = "gnomon.held"


class PoolWatch:
    """Measures the pool of one engine, and those that come after it when it is disposed of.

    Waits are timed around the pool's own ``connect``, which is set on the pool itself: no event
    tells of a caller that waits. Returns are the pool's events. No event of the engine is listened
    to: SQLAlchemy would take its slow way through all of them at each statement.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine = ref(engine)
        self._lock = threading.Lock()
        self._asking = 0
        self._opening = 0
        self._active = True
        #: Connections that are out, for pools that do not count them, and of which pool.
        self._out = self._generation = 0
        self._wait = families.wait.child(name)
        self._use = families.use.child(name)
        self._create = families.create.child(name)
        self._timeouts = families.timeouts.child(name)
        self._pool: ref[Pool] | None = None
        self._events: list[tuple[str, Callable[..., Any]]] = [
            ("checkin", self._checked_in),
            ("detach", self._checked_in),
        ]
        for what, listener in self._events:
            event.listen(engine, what, listener)
        self._wrap(engine.pool)

    def undo(self) -> None:
        """Leave engine and pool as they were."""
        self._active = False  # what others have put around ours stays, and ours in it
        engine = self._engine()
        if engine is None:
            return
        self._unwrap()
        for what, listener in self._events:
            if event.contains(engine, what, listener):
                event.remove(engine, what, listener)

    def failed(self, error: BaseException) -> None:
        """Count a connection that broke."""
        families.errors.child(self.name, error_type(error)).inc()

    def levels(self) -> dict[str, float]:
        """Return what is true now, by a word for each; without what this pool does not know.

        used, idle, max, size, overflow: connections. pending: callers that wait.
        """
        pool = self._pool() if self._pool is not None else None
        if pool is None:
            return {}
        with self._lock:
            found: dict[str, float] = {"pending": max(0, self._asking - self._opening)}
        if not isinstance(pool, QueuePool):
            found["used"] = self._out
            return found
        size, overflow = pool.size(), pool.overflow()
        found["used"], found["idle"] = max(0, pool.checkedout()), pool.checkedin()
        if size:  # else it is without bounds
            found["size"], found["overflow"] = size, max(0, overflow)
            most = getattr(pool, "_max_overflow", -1)
            if most >= 0:
                found["max"] = size + most
        return found

    def _wrap(self, pool: Pool) -> None:
        """Put the measurement on a pool: around what callers ask and around what opens."""
        connect, opens = pool.connect, getattr(pool, "_invoke_creator", None)

        def asked() -> PoolProxiedConnection:
            if is_ours() or not self._active:
                return connect()
            began = perf_counter()
            with self._lock:
                self._asking += 1
            try:
                given = connect()
            except PoolTimeoutError:
                self._timeouts.inc()
                raise
            finally:
                with self._lock:
                    self._asking -= 1
            self._given(given, began)
            return given

        def opened(*args: Any, **options: Any) -> Any:
            if is_ours() or not self._active:
                return opens(*args, **options)  # type: ignore[misc]
            began = perf_counter()
            with self._lock:
                self._opening += 1
            try:
                made = opens(*args, **options)  # type: ignore[misc]
            except Exception as error:
                self.failed(error)
                raise
            finally:
                with self._lock:
                    self._opening -= 1
            _note(self._create, perf_counter() - began)
            return made

        recreate = pool.recreate

        def recreated() -> Pool:
            made = recreate()
            try:
                if self._active:
                    self._renewed(made)
            except Exception:
                guard.failed("database pool")
            return made

        asked.gnomon = recreated.gnomon = self  # type: ignore[attr-defined]
        pool.connect = asked  # type: ignore[method-assign]
        pool.recreate = recreated  # type: ignore[method-assign]
        if opens is not None:
            opened.gnomon = self  # type: ignore[attr-defined]
            pool._invoke_creator = opened  # noqa: SLF001  # no event is told of a failure
        self._pool, self._opens = ref(pool), opens

    def _unwrap(self) -> None:
        """Take the measurement off, unless something else has been put around it since."""
        pool = self._pool() if self._pool is not None else None
        self._pool = None
        if pool is None:
            return
        own = vars(pool)
        for what in ("connect", "recreate"):
            if getattr(own.get(what), "gnomon", None) is self:
                del own[what]
        if getattr(own.get("_invoke_creator"), "gnomon", None) is self:
            own["_invoke_creator"] = self._opens

    def _renewed(self, pool: Pool) -> None:
        """Go on with the pool that an engine has made in place of another."""
        self._unwrap()
        with self._lock:
            self._out = 0
            self._generation += 1
        self._wrap(pool)

    def _given(self, connection: PoolProxiedConnection, began: float) -> None:
        """Count a connection that a caller was given, who asked at ``began``."""
        try:
            now = perf_counter()
            own = connection.record_info
            # Some pools give a thread the same one again, which comes back once.
            if own is not None and _HELD not in own:
                own[_HELD] = now, self._generation
                with self._lock:
                    self._out += 1
            _note(self._wait, now - began)
        except Exception:
            guard.failed("database pool")

    def _checked_in(self, _dbapi: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        try:
            held = (record.record_info or {}).pop(_HELD, None)
            if held is None:
                return  # handed out before it was watched, or never
            began, generation = held
            if generation == self._generation:
                with self._lock:
                    self._out -= 1
            _note(self._use, perf_counter() - began)
        except Exception:
            guard.failed("database pool")


def _note(histogram: Distribution, seconds: float) -> None:
    """Count a time; whoever holds a connection by now must get it, whatever fails here."""
    try:
        histogram.observe(seconds, traces.exemplar())
    except Exception:
        guard.failed("database pool")
