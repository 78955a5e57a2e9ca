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
    from sqlalchemy.engine import Dialect, ExceptionContext

    from gnomon.families import Distribution

#: Texts of statements whose names are remembered, and the longest that is.
REMEMBERED = 1000
LONGEST = 10_000

#: OpenTelemetry's names of systems where SQLAlchemy has another.
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}

#: A dialect's ways to run a statement.
_EXECUTES = ("do_execute", "do_executemany", "do_execute_no_params")


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
        self._active = True
        self._kept: dict[str, Callable[..., None]] = {}
        for what in _EXECUTES:
            self._wrap(engine.dialect, what)
        event.listen(engine, "handle_error", self._failed)

    def undo(self) -> None:
        """Time no statement any more, unless something else has been put around it since."""
        self._active = False  # what others have put around ours stays, and ours in it
        self._known.clear()
        engine = self._engine()
        if engine is None:
            return
        own = vars(engine.dialect)
        for what, execute in self._kept.items():
            if getattr(own.get(what), "gnomon", None) is self:
                del own[what]
                if getattr(execute, "__self__", None) is not engine.dialect:
                    own[what] = execute
        if event.contains(engine, "handle_error", self._failed):
            event.remove(engine, "handle_error", self._failed)

    def _wrap(self, dialect: Dialect, what: str) -> None:
        """Put the measurement around one of a dialect's ways to run a statement.

        The events of an engine cost five times what is done here, for SQLAlchemy then takes its
        slow way through all of them.
        """
        execute = self._kept[what] = getattr(dialect, what)
        known, slow_seconds, exemplar = self._known, self._slow_seconds, traces.exemplar

        def timed(cursor: Any, statement: str, *values: Any, **options: Any) -> None:
            began = perf_counter()
            try:
                execute(cursor, statement, *values, **options)
            except BaseException as error:
                self._ended(perf_counter() - began, statement, values, options, error)
                raise
            seconds = perf_counter() - began
            found = known.get(statement)
            if found is None or seconds >= slow_seconds:
                self._ended(seconds, statement, values, options, None)
                return
            try:
                found.duration.observe(seconds, exemplar())
            except Exception:
                guard.failed("database query")

        timed.gnomon = self  # type: ignore[attr-defined]
        setattr(dialect, what, timed)

    def _ended(
        self,
        seconds: float,
        statement: str,
        values: tuple[Any, ...],
        options: dict[str, Any],
        error: BaseException | None,
    ) -> None:
        """Count a statement that was run. values, options: as the dialect was given them."""
        try:
            context = options.get("context") or (values[-1] if values else None)
            if not self._active:
                return
            # SQLAlchemy's own first questions to a database are asked on such a connection.
            if is_ours() or not getattr(_connection(context), "_allow_autobegin", True):
                return
            known = self._known.get(statement) or self._learn(statement)
            if error is None:
                known.duration.observe(seconds, traces.exemplar())
            else:
                kind = error_type(_cause(error))
                self._duration(known.name, kind).observe(seconds, traces.exemplar())
            if seconds >= self._slow_seconds:
                families.slow.child(self._pool, known.name.summary).inc()
                given = None if error is not None or len(values) < 2 else values[0]
                if getattr(context, "executemany", False) and isinstance(given, list | tuple):
                    given = given[0] if given else None
                self._slow(known.name, statement, given, seconds)
        except Exception:
            guard.failed("database query")

    def _failed(self, context: ExceptionContext) -> None:
        """Count a connection that broke while it was used."""
        try:
            # The event is the dialect's, which another engine may share; a ping names no engine.
            if is_ours() or (context.engine is not None and not self._is_of(context.engine)):
                return
            error = _cause(context.original_exception)
            connected = context.connection is not None or context.is_pre_ping
            if context.is_disconnect and connected and isinstance(error, Exception):
                self._lost(error)
        except Exception:
            guard.failed("database connection")

    def _is_of(self, engine: Any) -> bool:
        """Whether an engine is the one that is watched, or made from it with other options."""
        while (proxied := getattr(engine, "_proxied", None)) is not None:
            engine = proxied
        return engine is self._engine()

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


def _connection(context: Any) -> Any:
    return getattr(context, "root_connection", None)


def _cause(error: BaseException) -> BaseException:
    """Return the driver's own exception, where SQLAlchemy wraps those of asynchronous drivers."""
    if type(error).__module__.startswith("sqlalchemy.") and error.__cause__ is not None:
        return error.__cause__
    return error
