"""Rows of a table: the answers of a panel's queries, joined and shaped as the panel says."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gnomon_console.boards import Target
from gnomon_console.prometheus import Series

#: A row: cells by the names of their columns.
Row = dict[str, Any]

#: What can be done to rows; anything else is said to be unsupported.
SUPPORTED = frozenset({"merge", "organize", "filterFieldsByName", "renameByRegex"})


def frames(
    answers: Sequence[tuple[Target, Sequence[Series]]],
) -> list[list[Row]]:
    """Return the rows of each query: labels, and the value under ``Value #REF``, or ``Value``."""
    several = len(answers) > 1
    found = []
    for target, series in answers:
        column = f"Value #{target.ref}" if several else "Value"
        found.append(
            [{**each.labels, "Time": each.points[-1][0], column: each.last} for each in series]
        )
    return found


def shaped(given: list[list[Row]], steps: Sequence[Mapping[str, Any]]) -> list[list[Row]]:
    """Return the rows after a panel's transformations, in order."""
    for step in steps:
        options = step.get("options", {})
        if step["id"] == "merge":
            given = [_merged(given)]
        elif step["id"] == "filterFieldsByName":
            kept = [[_only(row, options["include"]) for row in rows] for rows in given]
            given = [[row for row in rows if row] for rows in kept]
        elif step["id"] == "organize":
            given = [[_organized(row, options) for row in rows] for rows in given]
        elif step["id"] == "renameByRegex":
            given = [[_renamed(row, options) for row in rows] for rows in given]
    return given


def _merged(given: list[list[Row]]) -> list[Row]:
    """Return rows in which those that agree in all columns they share have become one."""
    found: list[Row] = []
    for rows in given:
        for row in rows:
            labels = {
                key: value for key, value in row.items() if not key.startswith(("Value", "Time"))
            }
            for other in found:
                same = [key for key in labels if key in other]
                if (
                    same
                    and all(other[key] == labels[key] for key in same)
                    and not any(key.startswith("Value") and key in other for key in row)
                ):
                    other.update(row)
                    break
            else:
                found.append(dict(row))
    return found


def _only(row: Row, include: Mapping[str, Any]) -> Row:
    names = include.get("names", ())
    return {key: value for key, value in row.items() if key in names}


def _organized(row: Row, options: Mapping[str, Any]) -> Row:
    hidden = {key for key, out in options.get("excludeByName", {}).items() if out}
    order: Mapping[str, int] = options.get("indexByName", {})
    names: Mapping[str, str] = options.get("renameByName", {})
    keys = sorted((key for key in row if key not in hidden), key=lambda key: order.get(key, 999))
    return {names.get(key) or key: row[key] for key in keys}


def _renamed(row: Row, options: Mapping[str, Any]) -> Row:
    pattern, replacement = re.compile(options["regex"]), options.get("renamePattern", "")
    named = re.sub(r"\$(\d)", r"\\\1", replacement)
    return {pattern.sub(named, key): value for key, value in row.items()}
