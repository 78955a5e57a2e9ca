"""How values were spread over time."""

import math

from gnomon_console import units
from gnomon_console.looks import name
from gnomon_console.panels.drawn import Drawn, Given, empty
from gnomon_console.panels.timeseries import on_grid

#: Columns of cells, at most: narrower ones cannot be told apart.
_COLUMNS = 120


def draw(given: Given) -> Drawn:
    """Return cells: darker where more fell between two bounds, or where a value is higher."""
    panel = given.panel
    series = [(each, target) for target, found in given.answers for each in found]
    if not series:
        return {"empty": empty(panel)}
    buckets = all("le" in each.labels for each, _ in series)
    if buckets:
        series.sort(key=lambda one: float(one[0].labels["le"]))
    rows: list[list[float | None]] = [on_grid(each, given.at) for each, _ in series]
    if buckets:
        # Each bucket counts what the lower ones count, too.
        lower: list[list[float | None]] = [[0.0] * len(rows[0]), *rows[:-1]]
        rows = [
            [None if v is None else max(0.0, v - (below[n] or 0)) for n, v in enumerate(row)]
            for row, below in zip(rows, lower, strict=True)
        ]
        names = [_bound(each.labels["le"], panel.unit) for each, _ in series]
    else:
        names = [name(each, target.legend, target.expr) for each, target in series]
    width = max(1, math.ceil(len(rows[0]) / _COLUMNS))
    cells = []
    for y, row in enumerate(rows):
        for x in range(0, len(row), width):
            present = [v for v in row[x : x + width] if v is not None]
            if present and max(present) > 0:
                cells.append([x // width, y, float(f"{sum(present) / len(present):.4g}")])
    if not cells:
        return {"empty": empty(panel)}
    return {
        "chart": {
            "xAxis": {"type": "category", "data": [], "splitArea": {"show": False}},
            "yAxis": {"type": "category", "data": names},
            "visualMap": {
                "min": 0,
                "max": max(cell[2] for cell in cells),
                "show": False,
                "inRange": {"color": ["rgba(232,135,30,.06)", "#f0a860", "#e8871e", "#a83c09"]},
            },
            "series": [{"type": "heatmap", "data": cells, "animation": False, "progressive": 0}],
        },
        "times": [given.at.start * 1000, given.at.step * width * 1000],
        "cells": math.ceil(len(rows[0]) / width),
    }


def _bound(le: str, unit: str) -> str:
    return "more" if math.isinf(float(le)) else f"≤ {units.text(float(le), unit)}"
