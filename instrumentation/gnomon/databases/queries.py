"""Statements of one engine: how long each took, and which were slow."""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from sqlalchemy import event

from gnomon import guard, traces
from gnomon.databases import families
from gnomon.databases.quiet import is_ours
from gnomon.databases.statements import Name, name
from gnomon.errors import error_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext

    from gnomon.families import Distribution

#: Texts of statements whose names are remembered, and the longest that is.
REMEMBERED = 1000
LONGEST = 10_000

#: OpenTelemetry's names of systems where SQLAlchemy has another.
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}

#: Where a statement's start is kept: on the object that SQLAlchemy makes for each execution.
_BEGAN = "_gnomon_began"


class _Known(NamedTuple):
    """What is known of a statement's text."""

    name: Name
    duration: Distribution


def system(engine: Engine) -> str:
    """Return a database system's name; MariaDB is told from MySQL once somebody has connected."""
    dialect = engine.dialect
    if dialect.name == "mysql" and getattr(dialect, "is_mariadb", False):
        return "mariadb"
    return _SYSTEMS.get(dialect.name, dialect.name)


def namespace(engine: Engine) -> str:
    """Return the database's name, of SQLite's the file's name without its folders."""
    database = engine.url.database or ""
    if engine.dialect.name == "sqlite":
        return os.path.basename(database.partition("?")[0]) or ":memory:"
    return database


class QueryWatch:
    """Times the statements of one engine.

    slow_seconds: from how many on a statement is slow. slow: called with the name, the text, the
    parameters and the seconds of each such statement.
    """

    def __init__(
        self,
        engine: Engine,
        pool: str,
        slow_seconds: float,
        *,
        slow: Callable[[Name, str, Any, float], None],
        lost: Callable[[BaseException], None],
    ) -> None:
        self._engine = ref(engine)
        self._pool = pool
        self._slow_seconds = slow_seconds
        self._slow = slow
        self._lost = lost
        self._namespace = namespace(engine)
        self._address = engine.url.host or ""
        self._known: dict[str, _Known] = {}
        self._events: list[tuple[str, Callable[..., Any]]] = [
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("handle_error", self._failed),
        ]
        for what, listener in self._events:
            event.listen(engine, what, listener)

    def undo(self) -> None:
        """Time no statement any more."""
        engine = self._engine()
        for what, listener in self._events:
            if engine is not None and event.contains(engine, what, listener):
                event.remove(engine, what, listener)

    def _before(
        self,
        _connection: Any,
        _cursor: Any,
        _statement: str,
        _values: Any,
        context: Any,
        _many: Any,
    ) -> None:
        context._gnomon_began = perf_counter()  # noqa: SLF001  # our own, on each execution's object

    def _after(
        self, _connection: Any, _cursor: Any, statement: str, values: Any, context: Any, many: bool
    ) -> None:
        try:
            seconds = perf_counter() - context._gnomon_began  # noqa: SLF001
            known = self._known.get(statement)
            if known is None:
                known = self._learn(statement)
            known.duration.observe(seconds, traces.exemplar())
            if seconds >= self._slow_seconds:
                self._too_slow(known.name, statement, values, seconds, many=many)
        except Exception:
            guard.failed("database query")

    def _failed(self, context: ExceptionContext) -> None:
        try:
            # The event is the dialect's, which another engine may share; a ping names no engine.
            if is_ours() or (context.engine is not None and not self._is_of(context.engine)):
                return
            error = _cause(context.original_exception)
            connected = context.connection is not None or context.is_pre_ping
            if context.is_disconnect and connected and isinstance(error, Exception):
                self._lost(error)
            execution = context.execution_context
            began = vars(execution).pop(_BEGAN, None) if execution is not None else None
            if began is None or context.statement is None:
                return
            seconds = perf_counter() - began
            known = self._known.get(context.statement) or self._learn(context.statement)
            self._duration(known.name, error_type(error)).observe(seconds, traces.exemplar())
            if seconds >= self._slow_seconds:
                self._too_slow(known.name, context.statement, None, seconds, many=False)
        except Exception:
            guard.failed("database query")

    def _is_of(self, engine: Any) -> bool:
        """Whether an engine is the one that is watched, or made from it with other options."""
        while (proxied := getattr(engine, "_proxied", None)) is not None:
            engine = proxied
        return engine is self._engine()

    def _too_slow(
        self, called: Name, statement: str, values: Any, seconds: float, *, many: bool
    ) -> None:
        families.slow.child(self._pool, called.summary).inc()
        if many and values:
            values = values[0]
        self._slow(called, statement, values, seconds)

    def _learn(self, statement: str) -> _Known:
        engine = self._engine()
        called = name(statement, system(engine) if engine is not None else "")
        before = families.duration.overflowed
        known = _Known(called, self._duration(called, ""))
        # What is beyond the cap counts for each use of it, and a text may be longer than all else.
        if families.duration.overflowed == before and len(statement) <= LONGEST:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[statement] = known
        return known

    def _duration(self, called: Name, error: str) -> Distribution:
        engine = self._engine()
        kind = system(engine) if engine is not None else ""
        return families.duration.child(
            kind, self._namespace, called.summary, called.operation, self._address, error
        )


def _cause(error: BaseException) -> BaseException:
    """Return the driver's own exception, where SQLAlchemy wraps those of asynchronous drivers."""
    if type(error).__module__.startswith("sqlalchemy.") and error.__cause__ is not None:
        return error.__cause__
    return error
