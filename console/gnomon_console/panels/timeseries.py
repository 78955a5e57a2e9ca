"""Lines over time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gnomon_console import colours, units
from gnomon_console.looks import Look, look
from gnomon_console.panels.drawn import Drawn, Given, Mark, called, empty, link
from gnomon_console.prometheus import Series
from gnomon_console.ranges import Range

_CALCULATIONS: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "lastNotNull": ("last", lambda values: values[-1]),
    "last": ("last", lambda values: values[-1]),
    "mean": ("mean", lambda values: sum(values) / len(values)),
    "max": ("max", max),
    "min": ("min", min),
    "sum": ("sum", sum),
}

_GREY = "rgba(128,128,128,.22)"


def on_grid(series: Series, at: Range) -> list[float | None]:
    """Return a value for each point of the time on show, None where there is none."""
    found: list[float | None] = [None] * (round(at.duration / at.step) + 1)
    for moment, value in series.points:
        place = round((moment - at.start) / at.step)
        if 0 <= place < len(found) and math.isfinite(value):
            found[place] = value
    return found


def draw(given: Given) -> Drawn:
    """Return the chart, its legend's words, and where a click on a line leads."""
    panel = given.panel
    lines: list[tuple[str, Look, list[float | None], Series]] = []
    for target, found in given.answers:
        for series in found:
            shown = called(panel, series, target)
            own = look(panel, shown, target.ref)
            values = on_grid(series, given.at)
            if own.get("custom.transform") == "negative-Y":
                values = [None if value is None else -value for value in values]
            lines.append((shown, own, values, series))
    if not lines:
        return {"empty": empty(panel)}
    present = [abs(v) for _, _, values, _ in lines for v in values if v is not None]
    scale = units.scale(panel.unit, max(present, default=0))
    charted, words, links = [], {}, {}
    for place, (shown, own, values, series) in enumerate(lines):
        colour = own.fixed or colours.SERIES[place % len(colours.SERIES)]
        charted.append(_line(shown, own, colour, values, scale))
        words[shown] = _words(shown, own, values, panel.options)
        if leads := link(given, own, series.labels):
            links[shown] = leads
    option: dict[str, Any] = {
        "xAxis": {"type": "time", "min": given.at.start * 1000, "max": given.at.end * 1000},
        "yAxis": _axis(panel.defaults, scale),
        "series": charted,
    }
    if given.marks:
        option["series"].append(_marks(given))
    if given.dots:
        option["series"].append(_dots(given, scale))
    return {
        "chart": option,
        "times": [given.at.start * 1000, given.at.step * 1000],
        "suffix": scale.suffix,
        "legend": words,
        "links": links,
    }


def _line(
    shown: str, own: Look, colour: str, values: Sequence[float | None], scale: units.Scale
) -> dict[str, Any]:
    bars = own.get("custom.drawStyle") == "bars"
    style = own.get("custom.lineStyle") or {}
    filled = (own.get("custom.fillOpacity") or 0) / 100
    found: dict[str, Any] = {
        "name": shown,
        "type": "bar" if bars else "line",
        "values": [None if v is None else _rounded(v / scale.divisor) for v in values],
        "showSymbol": False,
        "connectNulls": False,
        "color": colour,
        "emphasis": {"focus": "series"},
        "animation": False,
    }
    if (own.get("custom.stacking") or {}).get("mode") == "normal":
        found["stack"] = "all"
    if not bars:
        found["lineStyle"] = {
            "width": (own.get("custom.lineWidth") or 1) * 1.4,
            "type": "dashed" if style.get("fill") == "dash" else "solid",
        }
        if filled:
            found["areaStyle"] = {"opacity": filled}
    return found


def _rounded(value: float) -> float:
    """Return five digits: more than a screen has points."""
    return float(f"{value:.5g}")


def _words(shown: str, own: Look, values: Sequence[float | None], options: Any) -> str:
    present = [value for value in values if value is not None]
    wanted = options.get("legend", {}).get("calcs", ())
    if not present or not wanted:
        return shown
    said = [
        f"{called} {own.text(calculate(present))}"
        for called, calculate in (_CALCULATIONS[each] for each in wanted if each in _CALCULATIONS)
    ]
    return "   ".join([shown, *said])


def _axis(defaults: Any, scale: units.Scale) -> dict[str, Any]:
    logarithmic = defaults.get("custom", {}).get("scaleDistribution", {}).get("type") == "log"
    found: dict[str, Any] = {
        "type": "log" if logarithmic else "value",
        "scale": defaults.get("min") is None,
        "splitLine": {"lineStyle": {"color": _GREY}},
    }
    for end in ("min", "max"):
        if defaults.get(end) is not None and not logarithmic:
            found[end] = defaults[end] / scale.divisor
    return found


def _marks(given: Given) -> dict[str, Any]:
    """Return what happened as bands and lines behind a series that has no points."""
    return {
        "name": "",
        "type": "line",
        "data": [],
        "silent": False,
        "markArea": {
            "silent": True,
            "data": [
                [
                    {
                        "xAxis": mark.start * 1000,
                        "itemStyle": {"color": mark.colour, "opacity": 0.08},
                    },
                    {"xAxis": max(mark.end, mark.start + given.at.step / 2) * 1000},
                ]
                for mark in _spans(given.marks)
            ],
        },
        "markLine": {
            "symbol": "none",
            "label": {"show": False},
            "data": [
                {
                    "xAxis": mark.start * 1000,
                    "name": mark.text,
                    "lineStyle": {"color": mark.colour, "type": "dashed", "width": 1},
                }
                for mark in given.marks
            ],
        },
    }


def _spans(marks: Sequence[Mark]) -> list[Mark]:
    """Return when anything of a colour went on: bands over each other would hide the graph."""
    found: list[Mark] = []
    for mark in sorted(marks, key=lambda each: (each.colour, each.start)):
        before = found[-1] if found else None
        if before and before.colour == mark.colour and mark.start <= before.end:
            found[-1] = replace(before, end=max(before.end, mark.end))
        else:
            found.append(mark)
    return found


def _dots(given: Given, scale: units.Scale) -> dict[str, Any]:
    return {
        "name": "traces",
        "type": "scatter",
        "symbol": "diamond",
        "symbolSize": 7,
        "color": colours.colour("purple"),
        "itemStyle": {"opacity": 0.75},
        "data": [
            {"value": [dot.at * 1000, _rounded(dot.value / scale.divisor)], "trace": dot.trace_id}
            for dot in given.dots
        ],
    }
