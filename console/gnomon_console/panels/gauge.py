"""A share of a whole, as a dial."""

from typing import Any

from gnomon_console import colours
from gnomon_console.looks import look
from gnomon_console.panels.drawn import Drawn, Given, empty, reduced


def draw(given: Given) -> Drawn:
    """Return a dial for each value, beside each other."""
    values = reduced(given)
    if not values:
        return {"empty": empty(given.panel)}
    low = float(given.panel.defaults.get("min", 0))
    high = float(given.panel.defaults.get("max", 1))
    steps = given.panel.defaults.get("thresholds", {}).get("steps", ())
    dials: list[dict[str, Any]] = []
    for place, (shown, value, _, target) in enumerate(values):
        own = look(given.panel, shown, target.ref)
        ends = [*(float(step["value"]) for step in steps[1:]), high]
        ring = [
            [min(1.0, max(0.0, (end - low) / ((high - low) or 1))), colours.colour(step["color"])]
            for step, end in zip(steps, ends, strict=True)
        ]
        colour = own.colour(value)
        dials.append(
            {
                "type": "gauge",
                "min": low,
                "max": high,
                "center": [f"{(place + 0.5) * 100 / len(values):.1f}%", "62%"],
                "radius": f"{min(95, 190 / len(values)):.0f}%",
                "startAngle": 200,
                "endAngle": -20,
                "progress": {"show": True, "width": 12, "itemStyle": {"color": colour}},
                "axisLine": {"lineStyle": {"width": 3, "color": ring or [[1, colour]]}},
                "axisTick": {"show": False},
                "splitLine": {"show": False},
                "axisLabel": {"show": False},
                "pointer": {"show": False},
                "title": {"offsetCenter": [0, "38%"], "color": "#8a8f98", "fontSize": 12},
                "detail": {
                    "formatter": own.text(value),
                    "color": colour,
                    "fontSize": 22,
                    "offsetCenter": [0, 0],
                },
                "data": [{"value": value, "name": shown if len(values) > 1 else ""}],
                "animation": False,
            }
        )
    return {"chart": {"series": dials}}
