"""Rows and columns."""

import math
from typing import Any

from gnomon_console import units
from gnomon_console.looks import Look, look
from gnomon_console.panels.drawn import Drawn, Given, empty, link, rows


def draw(given: Given) -> Drawn:
    """Return columns, and rows with a text, a colour and a link for each cell that has one."""
    panel = given.panel
    found = [row for inside in rows(given) for row in inside]
    if not found:
        return {"empty": empty(panel)}
    names: list[str] = []
    for row in found:
        names += [key for key in row if key not in names]
    order = _order(panel.spec.get("transformations", ()))
    names.sort(key=lambda name: order.get(name, 999))
    looks = {column: look(panel, column) for column in names}
    seen = {column: own for column, own in looks.items() if not own.get("custom.hidden")}
    return {
        "columns": [_column(column, own, panel.options) for column, own in seen.items()],
        "rows": [_row(given, row, seen) for row in found],
    }


def _order(steps: Any) -> dict[str, int]:
    """Return the place of each column, by the title that it has in the end."""
    for step in steps:
        if step["id"] == "organize":
            names = step["options"].get("renameByName", {})
            places = step["options"].get("indexByName", {})
            return {names.get(source) or source: place for source, place in places.items()}
    return {}


def _column(column: str, own: Look, options: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"field": column}
    if own.get("custom.width"):
        found["width"] = own.get("custom.width")
    if own.get("custom.displayMode") in {"gradient-gauge", "lcd-gauge", "basic"}:
        found["bar"] = [float(own.get("min") or 0), float(own.get("max") or 1)]
    for sort in options.get("sortBy", ()):
        if sort.get("displayName") == column:
            found["sort"] = "desc" if sort.get("desc") else "asc"
    return found


def _row(given: Given, row: dict[str, Any], seen: dict[str, Look]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # What a link names may stand in a column that is not shown, or has another title by now.
    raw = {key: str(value) for key, value in row.items()}
    for step in given.panel.spec.get("transformations", ()):
        titles = step["options"].get("renameByName", {}) if step["id"] == "organize" else {}
        raw |= {source: raw[title] for source, title in titles.items() if title in raw}
    for place, (key, own) in enumerate(seen.items()):
        value = row.get(key, "")
        cell: dict[str, Any] = {"t": str(value)}
        if isinstance(value, int | float):
            # A time without a unit is in seconds, as Prometheus counts it.
            when = key == "Time" and "unit" not in own.found
            cell["t"] = units.text(value * 1000, "dateTimeAsIso") if when else own.text(value)
            cell["v"] = value if math.isfinite(value) else None
            if own.get("custom.displayMode") not in (None, "auto"):
                cell["c"] = own.colour(value)
        if value != "" and (leads := link(given, own, raw, raw)):
            cell["l"] = leads
        found[f"c{place}"] = cell
    return found
