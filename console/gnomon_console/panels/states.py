"""In which state each series was, as stripes over time."""

import math

from gnomon_console.looks import look
from gnomon_console.panels.drawn import Drawn, Given, called, empty
from gnomon_console.panels.timeseries import on_grid

_COLUMNS = 200


def draw(given: Given) -> Drawn:
    """Return a stripe for each series, in the colour of its state at each time."""
    panel = given.panel
    names, cells = [], []
    pieces: dict[float, tuple[str, str]] = {}
    width = 1
    for target, found in given.answers:
        for series in found:
            row = on_grid(series, given.at)
            width = max(1, math.ceil(len(row) / _COLUMNS))
            shown = called(panel, series, target)
            own = look(panel, shown, target.ref)
            names.append(shown)
            for x in range(0, len(row), width):
                present = [v for v in row[x : x + width] if v is not None]
                if present:
                    value = present[-1]
                    pieces.setdefault(value, (own.text(value), own.colour(value)))
                    cells.append([x // width, len(names) - 1, value])
    if not cells:
        return {"empty": empty(panel)}
    count = math.ceil((round(given.at.duration / given.at.step) + 1) / width)
    return {
        "chart": {
            "xAxis": {"type": "category", "data": []},
            "yAxis": {"type": "category", "data": names, "inverse": True},
            "visualMap": {
                "type": "piecewise",
                "orient": "horizontal",
                "left": "center",
                "bottom": 0,
                "itemWidth": 12,
                "itemHeight": 12,
                "pieces": [
                    {"value": value, "label": text, "color": colour}
                    for value, (text, colour) in sorted(pieces.items())
                ],
            },
            "series": [{"type": "heatmap", "data": cells, "animation": False, "progressive": 0}],
        },
        "times": [given.at.start * 1000, given.at.step * width * 1000],
        "cells": count,
    }
