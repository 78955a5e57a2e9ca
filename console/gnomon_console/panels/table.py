"""Rows and columns."""

from typing import Any

from gnomon_console.looks import Look, address, look
from gnomon_console.panels.drawn import Drawn, Given, empty, linked
from gnomon_console.tables import frames, shaped


def draw(given: Given) -> Drawn:
    """Return columns, and rows with a text, a colour and a link for each cell that has one."""
    panel = given.panel
    found = shaped(frames(given.answers), panel.spec.get("transformations", ()))
    rows = [row for inside in found for row in inside]
    if not rows:
        return {"empty": empty(panel)}
    names: list[str] = []
    for row in rows:
        names += [key for key in row if key not in names]
    order = _order(panel.spec.get("transformations", ()))
    names.sort(key=lambda name: order.get(name, 999))
    looks = {column: look(panel, column) for column in names}
    seen = {column: own for column, own in looks.items() if not own.get("custom.hidden")}
    return {
        "columns": [_column(column, own, panel.options) for column, own in seen.items()],
        "rows": [_row(given, row, seen) for row in rows],
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
    texts = {
        key: own.text(row[key]) if isinstance(row.get(key), int | float) else str(row.get(key, ""))
        for key, own in seen.items()
    }
    found: dict[str, Any] = {}
    # What a link names may stand in a column that is not shown.
    raw = {key: str(value) for key, value in row.items()}
    for place, (key, own) in enumerate(seen.items()):
        value = row.get(key)
        cell: dict[str, Any] = {"t": texts[key]}
        if isinstance(value, int | float):
            cell["v"] = value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124
            if own.get("custom.displayMode") not in (None, "auto"):
                cell["c"] = own.colour(value)
        if own.get("links") and value not in (None, ""):
            cell["l"] = address(linked(given, own.get("links")[0]["url"]), raw, raw)
        found[f"c{place}"] = cell
    return found
