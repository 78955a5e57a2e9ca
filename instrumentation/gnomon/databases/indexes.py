"""Indexes that are missing, by a plan and a query's own filters, and indexes that nothing uses."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from gnomon.databases.plans import MANY
from gnomon.databases.statements import CUT, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Inspector

log = logging.getLogger("gnomon")

#: sqlglot's names of the systems.
_DIALECTS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite"}


class Filter(NamedTuple):
    """A column that a query compares with a value.

    alias: what the query calls its table. schema: "" for the default one.
    """

    alias: str
    schema: str
    table: str
    column: str


def filters(statement: str, system: str) -> list[Filter]:
    """Return the columns by which a statement filters, and an index on which could help.

    Comparisons with another table's column, with a function's result, and those that leave most
    rows in, are not among them. Nothing is returned for a statement that sqlglot cannot read.
    """
    import sqlglot  # noqa: PLC0415  # it takes a tenth of a second, and only a slow query needs it
    from sqlglot import exp  # noqa: PLC0415
    from sqlglot.optimizer.scope import traverse_scope  # noqa: PLC0415

    plain = shape(statement, system)  # no literal is handed on
    if plain.endswith(CUT):
        return []
    try:
        tree = sqlglot.parse_one(plain, read=_DIALECTS[system])
        found: list[Filter] = []
        if isinstance(tree, exp.Update | exp.Delete):
            sources = {table.alias_or_name: table for table in tree.find_all(exp.Table)}
            where = tree.args.get("where")
            if where is not None:
                found += _compared(where.walk(), sources)
        else:
            for scope in traverse_scope(tree):
                sources = {
                    name: source
                    for name, source in scope.sources.items()
                    if isinstance(source, exp.Table)
                }
                nodes = [
                    node
                    for node in scope.walk()
                    if node.find_ancestor(exp.Where, exp.Join) is not None
                ]
                found += _compared(nodes, sources, alone=len(scope.sources) == 1)
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError, AttributeError, KeyError) as e:
        log.debug("no filters of a query: %s", type(e).__name__)
        return []
    return list(dict.fromkeys(found))


def _compared(
    nodes: Any, sources: dict[str, Any], *, alone: bool | None = None
) -> Iterator[Filter]:
    from sqlglot import exp  # noqa: PLC0415

    kinds = (exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between)
    alone = len(sources) == 1 if alone is None else alone
    for node in nodes:
        if not isinstance(node, kinds) or node.find_ancestor(exp.Not) is not None:
            continue
        sides = [node.this]
        if isinstance(node, exp.Binary):
            sides.append(node.expression)
        columns = [side for side in sides if isinstance(side, exp.Column)]
        if len(columns) != 1 or any(
            side.find(exp.Column) is not None for side in sides if side is not columns[0]
        ):
            continue
        column = columns[0]
        source = sources.get(column.table)
        if source is None and not column.table and alone and len(sources) == 1:
            source = next(iter(sources.values()))
        if source is not None and source.name:
            yield Filter(source.alias_or_name, source.db, source.name, column.name)


def missing(
    connection: Connection, statement: str, system: str, whole: dict[str, float | None]
) -> list[tuple[str, str]]:
    """Return the columns, each with its table, that an index is missing on.

    Those are filtered by, lead no index, and are of a table that the plan reads whole, if that
    has many rows. whole: see ``Plan``.
    """
    if not whole:
        return []
    found = []
    inspector = inspect(connection)
    for wanted in filters(statement, system):
        alias = wanted.alias if wanted.alias in whole else None
        if alias is None:
            alias = next((name for name in whole if name.lower() == wanted.alias.lower()), None)
        if alias is None:
            continue
        rows = whole[alias]
        if rows is None:
            rows = _rows(connection, system, wanted)
        if rows is not None and rows < MANY:
            continue
        if _lacks(inspector, wanted):
            found.append((wanted.table, wanted.column))
    return list(dict.fromkeys(found))


def still_missing(connection: Connection, hints: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of some hints whose column leads no index by now."""
    inspector = inspect(connection)
    return [
        (table, name) for table, name in hints if _lacks(inspector, Filter("", "", table, name))
    ]


def _lacks(inspector: Inspector, wanted: Filter) -> bool:
    """Whether a table has a column, and no index begins with it."""
    schema = wanted.schema or None
    name = wanted.column.lower()
    try:
        columns = {column["name"].lower() for column in inspector.get_columns(wanted.table, schema)}
        if name not in columns:
            return False
        leading: list[Any] = [
            *(index["column_names"] for index in inspector.get_indexes(wanted.table, schema)),
            inspector.get_pk_constraint(wanted.table, schema)["constrained_columns"],
            *(
                unique["column_names"]
                for unique in inspector.get_unique_constraints(wanted.table, schema)
            ),
        ]
    except SQLAlchemyError as error:
        log.debug("no indexes of a table: %s", type(error).__name__)
        return False
    return not any(names and (names[0] or "").lower() == name for names in leading)


def _rows(connection: Connection, system: str, wanted: Filter) -> float | None:
    """Return about how many rows a table has, None if that is not known."""
    preparer = connection.dialect.identifier_preparer
    quoted = preparer.quote_identifier(wanted.table)
    if wanted.schema:
        quoted = f"{preparer.quote_identifier(wanted.schema)}.{quoted}"
    try:
        if system == "postgresql":
            # As long as nothing has analysed the table, there is only its size in bytes.
            asked = text(
                "SELECT CASE WHEN reltuples >= 0 THEN reltuples ELSE pg_relation_size(oid) / 64 END"
                " FROM pg_class WHERE oid = to_regclass(:name)"
            )
            rows = connection.execute(asked, {"name": quoted}).scalar()
            return float(rows) if rows is not None else None
        if system == "sqlite":
            # The highest rowid is found without reading the table.
            rows = connection.exec_driver_sql(f"SELECT max(rowid) FROM {quoted}").scalar()  # noqa: S608  # quoted
            return float(rows or 0)
    except SQLAlchemyError as error:
        log.debug("no number of rows: %s", type(error).__name__)
    return None


_UNUSED_POSTGRESQL = """
SELECT s.relname, s.indexrelname
FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
WHERE s.idx_scan = 0 AND i.indisvalid AND NOT i.indisunique
  AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = s.indexrelid)
ORDER BY 1, 2
LIMIT 1000
"""
_UNUSED_PERFORMANCE_SCHEMA = """
SELECT u.object_name, u.index_name
FROM performance_schema.table_io_waits_summary_by_index_usage u
JOIN information_schema.statistics s
  ON s.table_schema = u.object_schema AND s.table_name = u.object_name
 AND s.index_name = u.index_name AND s.seq_in_index = 1
WHERE u.object_schema = database() AND u.count_star = 0 AND s.non_unique = 1
ORDER BY 1, 2
LIMIT 1000
"""
_UNUSED_USERSTAT = """
SELECT DISTINCT s.table_name, s.index_name
FROM information_schema.statistics s
LEFT JOIN information_schema.index_statistics u
  ON u.table_schema = s.table_schema AND u.table_name = s.table_name AND u.index_name = s.index_name
WHERE s.table_schema = database() AND s.non_unique = 1 AND u.rows_read IS NULL
ORDER BY 1, 2
LIMIT 1000
"""


def unused(connection: Connection, system: str) -> list[tuple[str, str]] | None:
    """Return the indexes that nothing has used, each with its table: those that enforce nothing.

    None where the database does not count that: SQLite never does, MySQL and MariaDB only with
    ``performance_schema`` or ``userstat`` switched on.
    """
    if system == "postgresql":
        asked = _UNUSED_POSTGRESQL
    elif system in ("mysql", "mariadb"):
        if connection.exec_driver_sql("SELECT @@performance_schema").scalar():
            asked = _UNUSED_PERFORMANCE_SCHEMA
        elif system == "mariadb" and connection.exec_driver_sql("SELECT @@userstat").scalar():
            asked = _UNUSED_USERSTAT
        else:
            return None
    else:
        return None
    return [(str(table), str(index)) for table, index in connection.exec_driver_sql(asked)]
