"""A connection pool seen from outside: who waits, who holds, what opens, what breaks."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

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
    tells of a caller that waits. Holds are the pool's events.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine = ref(engine)
        self._lock = threading.Lock()
        self._asking = 0
        self._opening = 0
        #: Records that are out, for pools that do not count them.
        self._out: WeakSet[ConnectionPoolEntry] = WeakSet()
        self._wait = families.wait.child(name)
        self._use = families.use.child(name)
        self._create = families.create.child(name)
        self._timeouts = families.timeouts.child(name)
        self._pool: ref[Pool] | None = None
        self._events: list[tuple[str, Callable[..., Any]]] = [
            ("checkout", self._checked_out),
            ("checkin", self._checked_in),
            ("detach", self._checked_in),
        ]
        for what, listener in self._events:
            event.listen(engine, what, listener)
        event.listen(engine, "engine_disposed", self._renewed)
        self._wrap(engine.pool)

    def undo(self) -> None:
        """Leave engine and pool as they were."""
        engine = self._engine()
        if engine is None:
            return
        self._unwrap()
        for what, listener in (*self._events, ("engine_disposed", self._renewed)):
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
            found["used"] = len(self._out)
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
            if is_ours():
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
            _note(self._wait, perf_counter() - began)
            return given

        def opened(*args: Any, **options: Any) -> Any:
            if is_ours():
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

        asked.gnomon = self  # type: ignore[attr-defined]
        pool.connect = asked  # type: ignore[method-assign]
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
        if getattr(own.get("connect"), "gnomon", None) is self:
            del own["connect"]
        if getattr(own.get("_invoke_creator"), "gnomon", None) is self:
            own["_invoke_creator"] = self._opens

    def _renewed(self, engine: Engine) -> None:
        """Go on with the pool that an engine has made in place of another."""
        try:
            self._unwrap()
            self._out.clear()
            self._wrap(engine.pool)
        except Exception:
            guard.failed("database pool")

    def _checked_out(
        self, _dbapi: DBAPIConnection, record: ConnectionPoolEntry, _given: PoolProxiedConnection
    ) -> None:
        try:
            own = record.record_info
            if own is not None and not is_ours():
                # Again, if it was found broken. A pool of one connection for all tells of the last
                # return only.
                own[_HELD] = perf_counter()
                self._out.add(record)
        except Exception:
            guard.failed("database pool")

    def _checked_in(self, _dbapi: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        try:
            began = (record.record_info or {}).pop(_HELD, None)
            if began is not None:  # else handed out before it was watched, or never
                _note(self._use, perf_counter() - began)
                self._out.discard(record)
        except Exception:
            guard.failed("database pool")


def _note(histogram: Distribution, seconds: float) -> None:
    """Count a time; whoever holds a connection by now must get it, whatever fails here."""
    try:
        histogram.observe(seconds, traces.exemplar())
    except Exception:
        guard.failed("database pool")
