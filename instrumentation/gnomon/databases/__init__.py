"""Databases behind SQLAlchemy: pools, queries, slow queries with their plans, indexes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gnomon.extras import require

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger("gnomon")

__all__ = ["unwatch_engine", "watch_engine"]


def watch_engine(
    engine: Engine | AsyncEngine,
    *,
    name: str | None = None,
    slow_seconds: float = 0.1,
    explain: bool = False,
) -> None:
    """Measure the pool and the statements of an engine of SQLAlchemy 2, synchronous or not.

    A second call for the same engine changes nothing. Nothing that it does raises into the
    application; no literal, parameter or comment of a statement leaves the process.

    name: the pool's name in all metrics; else the database's. Engines of one name are added up.
    slow_seconds: from how many seconds on a statement is slow: it is counted, kept by its shape
    for ``gnomon queries``, and its shape is logged with the trace's id, at most once an hour.
    explain: whether the database is asked, for PostgreSQL, MySQL, MariaDB and SQLite: for the plan
    of each slow shape (EXPLAIN, which runs nothing, once an hour), for columns that such a query
    filters by and that no index begins with, and, every ten minutes, for indexes that nothing
    uses. That happens in a thread of gnomon's, on a connection of its own that is read-only and
    closed again, under a deadline.

    Shown: ``db_client_operation_duration_seconds`` and ``db_client_connection_*`` by
    OpenTelemetry's names; ``gnomon_db_*`` for what has none there.

    Raises TypeError if ``engine`` is no engine, ValueError for a setting that cannot be right,
    RuntimeError if what the extra ``sql`` brings is missing.
    """
    require("sqlalchemy", "sql")
    if explain:
        require("sqlglot", "sql")
    found = _engine(engine)
    if slow_seconds < 0:
        raise ValueError(f"slow_seconds: {slow_seconds} is less than no time")
    if name is not None and not name:
        raise ValueError("name: it is empty; leave it out to use the database's name")
    from gnomon.databases import queries, watch  # noqa: PLC0415  # they import SQLAlchemy

    label = name or queries.namespace(found) or found.dialect.name
    present = watch.watch(found, label, slow_seconds, explain=explain)
    if present is not None and (present.name, present.slow_seconds, present.explain) != (
        label,
        slow_seconds,
        explain,
    ):
        log.warning("gnomon.watch_engine: the engine keeps the settings of the first call")


def unwatch_engine(engine: Engine | AsyncEngine) -> None:
    """Undo ``watch_engine``; nothing happens to an engine that is not watched.

    What was counted stays on the page. Raises TypeError if ``engine`` is no engine.
    """
    require("sqlalchemy", "sql")
    found = _engine(engine)
    from gnomon.databases import watch  # noqa: PLC0415

    watch.unwatch(found)


def _engine(engine: Any) -> Engine:
    """Return the synchronous engine below, without the execution options put around it."""
    from sqlalchemy import Engine  # noqa: PLC0415

    found = getattr(engine, "sync_engine", engine)
    while (proxied := getattr(found, "_proxied", None)) is not None:
        found = proxied
    if not isinstance(found, Engine):
        raise TypeError(
            "gnomon.watch_engine takes an Engine or AsyncEngine of SQLAlchemy,"
            f" not {type(engine).__name__}: of a session it is session.get_bind()"
        )
    return found
