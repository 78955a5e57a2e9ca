"""Colours by the names that dashboards give them, chosen to be read on white and on black."""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMED = {
    "green": "#3fa34d",
    "orange": "#e8871e",
    "yellow": "#d9a900",
    "red": "#e0364c",
    "blue": "#3b82d6",
    "purple": "#9b5fd0",
    "text": "#8a8f98",
    "transparent": "rgba(0,0,0,0)",
}
_SHADES = ("super-light-", "light-", "semi-dark-", "dark-")

#: For series that have no colour of their own, in their order.
SERIES = (
    "#3b82d6",
    "#e8871e",
    "#3fa34d",
    "#9b5fd0",
    "#d9a900",
    "#1aa7a1",
    "#d1548e",
    "#8c6d52",
    "#5c6bc0",
    "#7a9a01",
    "#c0603a",
    "#6b7f94",
)


def colour(name: str) -> str:
    """Return a colour that a browser knows; what is no name of Grafana's stays as it is."""
    for shade in _SHADES:
        name = name.removeprefix(shade)
    return _NAMED.get(name, name)


def by_value(value: float, thresholds: Mapping[str, Any]) -> str:
    """Return the colour of the highest step that a value has reached."""
    steps: Sequence[Mapping[str, Any]] = thresholds.get("steps", ())
    found = "text"
    for step in steps:
        if step.get("value") is None or value >= step["value"]:
            found = step["color"]
    return colour(found)
