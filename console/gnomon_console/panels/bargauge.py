"""Values of now as bars below each other."""

import math

from gnomon_console.looks import look
from gnomon_console.panels.drawn import Drawn, Given, empty, link, reduced


def draw(given: Given) -> Drawn:
    """Return the bars with their names and values, in the order of the answer."""
    values = [each for each in reduced(given) if math.isfinite(each[1])]
    if not values:
        return {"empty": empty(given.panel)}
    defaults = given.panel.defaults
    bars, links = [], {}
    for shown, value, series, target in values:
        own = look(given.panel, shown, target.ref)
        bars.append(
            {
                "value": value,
                "itemStyle": {"color": own.colour(value)},
                "label": {"formatter": own.text(value)},
            }
        )
        if leads := link(given, own, series.labels):
            links[shown] = leads
    return {
        "chart": {
            "xAxis": {
                "type": "value",
                "show": False,
                "min": defaults.get("min", 0),
                **({"max": defaults["max"]} if "max" in defaults else {}),
            },
            "yAxis": {
                "type": "category",
                "inverse": True,
                "data": [shown for shown, *_ in values],
                "axisLine": {"show": False},
                "axisTick": {"show": False},
            },
            "series": [
                {
                    "type": "bar",
                    "data": bars,
                    "barMaxWidth": 22,
                    "showBackground": True,
                    "backgroundStyle": {"color": "rgba(128,128,128,.12)"},
                    "label": {"show": True, "position": "right", "color": "inherit"},
                    "animation": False,
                }
            ],
        },
        "bars": True,
        "links": links,
    }
