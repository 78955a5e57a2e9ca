"""The database's own plan of a statement, without running it and without its literals."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

#: Seconds that a database may take for an answer to us.
PATIENCE = 2.0

#: Rows from which on reading a table whole is worth a hint.
MANY = 1000

#: Statements that are explained: databases take no others.
_EXPLAINED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "VALUES"})

#: Longest plan that is kept, in lines, and longest line, in characters.
LINES = 60
WIDTH = 200

_SQLITE_SCAN = re.compile(r"SCAN (?:TABLE )?(\S+)(?: AS (\S+))?")
_SQLITE_AUTOMATIC = re.compile(r"SEARCH (?:TABLE )?(\S+)(?: AS (\S+))? USING AUTOMATIC")


class Refused(Exception):  # noqa: N818  # a finding, not a failure
    """No plan is asked for, or none was given; says why."""


class Plan(NamedTuple):
    """What a plan says.

    lines: itself, for people, without literals. whole: the aliases of tables that are read whole,
    each with the rows that the database expects there, None where it does not say.
    """

    lines: list[str]
    whole: dict[str, float | None]


def check(statement: str, operation: str, system: str) -> None:
    """Raise Refused for a statement that may not be explained."""
    if system not in _EXPLAINERS:
        raise Refused(f"plans of {system} are not read")
    if operation not in _EXPLAINED:
        raise Refused(f"{operation} has no plan")
    # What follows a semicolon would run. Literals with one are not worth telling them apart.
    if ";" in statement.rstrip("; \t\r\n"):
        raise Refused("the text holds a semicolon")


def prepare(connection: Connection, system: str) -> None:
    """Make a connection of ours one that can change nothing and waits for nothing for long."""
    milliseconds = int(PATIENCE * 1000)
    if system == "postgresql":
        run = connection.exec_driver_sql
        run("SET TRANSACTION READ ONLY")
        run(f"SET LOCAL statement_timeout = {milliseconds}")
        run(f"SET LOCAL lock_timeout = {milliseconds}")
    elif system in ("mysql", "mariadb"):
        run = connection.exec_driver_sql
        run(f"SET SESSION lock_wait_timeout = {int(PATIENCE)}")
        if system == "mariadb":
            run(f"SET SESSION max_statement_time = {PATIENCE}")
        else:
            run(f"SET SESSION max_execution_time = {milliseconds}")
        run("START TRANSACTION READ ONLY")
    elif system == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")


def explain(connection: Connection, statement: str, values: Any, system: str) -> Plan:
    """Ask for a statement's plan, on a connection that was prepared.

    values: its parameters as the driver takes them. Raises what the driver raises.
    """
    return _EXPLAINERS[system](connection, statement, values)


def _postgresql(connection: Connection, statement: str, values: Any) -> Plan:
    answer = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values or None)
    told = answer.scalar_one()
    document = json.loads(told) if isinstance(told, str | bytes) else told
    lines: list[str] = []
    whole: dict[str, float | None] = {}

    def read(node: dict[str, Any], depth: int) -> None:
        kind = str(node.get("Node Type", ""))
        line = kind
        if (table := node.get("Relation Name")) is not None:
            line += f" on {table}"
            if node.get("Alias") not in (None, table):
                line += f" {node['Alias']}"
        if (index := node.get("Index Name")) is not None:
            line += f" using {index}"
        line += f" (rows {_number(node.get('Plan Rows'))}, cost {_number(node.get('Total Cost'))})"
        if "Filter" in node:
            line += " filtered"
        lines.append("  " * depth + line)
        if kind == "Seq Scan" and "Filter" in node and table is not None:
            whole[str(node.get("Alias", table))] = None
        for below in node.get("Plans", ()):
            read(below, depth + 1)

    read(document[0]["Plan"], 0)
    return Plan(_bounded(lines), whole)


def _mysql(connection: Connection, statement: str, values: Any) -> Plan:
    answer = connection.exec_driver_sql(f"EXPLAIN FORMAT=JSON {statement}", values or None)
    told = answer.scalar_one()
    document = json.loads(told) if isinstance(told, str | bytes) else told
    lines: list[str] = []
    whole: dict[str, float | None] = {}
    for depth, table in _tables(document, 0):
        name, access = table.get("table_name"), str(table.get("access_type", ""))
        rows = table.get("rows_examined_per_scan", table.get("rows"))
        line = f"{access or 'table'} {name}"
        if table.get("key") is not None:
            line += f" using {table['key']}"
        if rows is not None:
            line += f" (rows {_number(rows)})"
        if "attached_condition" in table:
            line += " filtered"
        lines.append("  " * depth + line)
        if access in ("ALL", "index") and name is not None:
            whole[str(name)] = float(rows) if isinstance(rows, int | float) else None
    return Plan(_bounded(lines), whole)


def _tables(node: Any, depth: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the tables of a plan of MySQL's or MariaDB's, which nest them in many ways."""
    if isinstance(node, list):
        for below in node:
            yield from _tables(below, depth)
    elif isinstance(node, dict):
        for key, below in node.items():
            if key == "table" and isinstance(below, dict):
                yield depth, below
                yield from _tables(below, depth + 1)
            elif isinstance(below, dict | list):
                yield from _tables(below, depth + (key in ("query_block", "materialized")))


def _sqlite(connection: Connection, statement: str, values: Any) -> Plan:
    lines: list[str] = []
    whole: dict[str, float | None] = {}
    depths: dict[Any, int] = {}
    for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values or None):
        number, parent, detail = row[0], row[1], str(row[3])
        depths[number] = depths.get(parent, -1) + 1
        lines.append("  " * depths[number] + _without_literals(detail))
        found = _SQLITE_SCAN.match(detail) or _SQLITE_AUTOMATIC.match(detail)
        if found is not None:
            whole[found[2] or found[1]] = None
    return Plan(_bounded(lines), whole)


def _without_literals(detail: str) -> str:
    """Return a line of SQLite's plan, which has none unless a virtual table writes it."""
    return detail.partition(" VIRTUAL TABLE INDEX ")[0].partition("'")[0]


_EXPLAINERS = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
    "sqlite": _sqlite,
}


def _number(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) else "?"


def _bounded(lines: list[str]) -> list[str]:
    more = [f"… {len(lines) - LINES} more"] if len(lines) > LINES else []
    return [line[:WIDTH] for line in lines[:LINES]] + more
