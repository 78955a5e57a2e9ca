"""Who calls what: services and what they need, with rate, failures and time on the arrows."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gnomon_console import colours, units
from gnomon_console.map.layers import columns
from gnomon_console.panels.drawn import Drawn, Given, empty

#: By what a node is: its shape, and the dashboard that tells more of it.
_KINDS = {
    "service": ("circle", "service"),
    "clients": ("triangle", "overview"),
    "outside API": ("diamond", "dependency"),
    "database": ("roundRect", "database"),
    "cache": ("rect", "cache"),
    "second tier": ("rect", "cache"),
    "queue": ("rect", "queue"),
    "workers": ("circle", "queue"),
}

#: Kinds that belong to one service and are called SERVICE/NAME; the others are everybody's.
_OWNED = frozenset({"service", "cache", "second tier", "queue", "workers"})

#: Pixels of a node's row and of a column, at least; the grid's rows are 34 high.
_ROW, _COLUMN, _GRID = 74, 205, 34

#: From so many nodes on the map can be moved and enlarged; before, the wheel is the page's.
_MANY = 40


@dataclass(frozen=True, slots=True)
class Edge:
    """One way: calls a second; the share that fails and seconds, None where nobody measures."""

    source: str
    target: str
    rate: float
    failing: float | None
    p95: float | None

    @property
    def text(self) -> str:
        """What stands on it."""
        said = [units.text(self.rate, "reqps")]
        if self.failing:
            said.append(f"{units.text(self.failing, 'percentunit')} fail")
        if self.p95 is not None:
            said.append(units.text(self.p95, "s"))
        return " · ".join(said)


def read(given: Given) -> tuple[list[Edge], dict[str, str]]:
    """Return the edges of an answer, and what each of their ends is.

    Refs as in ``map.board``: rate, failing, p95.
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    kinds: dict[str, str] = {}
    for target, found in given.answers:
        for series in found:
            ends = (series.labels.get("source", ""), series.labels.get("target", ""))
            if not all(ends) or not series.points or not math.isfinite(series.last):
                continue
            values.setdefault(ends, {})[target.ref] = series.last
            kinds[ends[0]] = series.labels.get("source_kind", "service")
            kinds[ends[1]] = series.labels.get("target_kind", "service")
    return (
        [
            Edge(*ends, each["rate"], each.get("failing"), each.get("p95"))
            for ends, each in sorted(values.items())
            if "rate" in each
        ],
        kinds,
    )


def draw(given: Given) -> Drawn:
    """Return the map, its nodes in columns that stay where they are from one answer to the next.

    x and y are shares of the room, which console.js knows.
    """
    edges, kinds = read(given)
    if not edges:
        return {"empty": empty(given.panel)}
    steps = given.panel.defaults.get("thresholds", {})
    places = columns(
        {end for edge in edges for end in (edge.source, edge.target)},
        [(edge.source, edge.target) for edge in edges],
    )
    tallest = max(len(column) for column in places)
    height = max(5, tallest) * _ROW
    most = max(edge.rate for edge in edges) or 1
    nodes = [
        _node(
            name,
            kinds[name],
            (x / max(1, len(places) - 1), (y + 0.5) / len(column)),
            into=[edge for edge in edges if edge.target == name],
            out=[edge for edge in edges if edge.source == name],
            steps=steps,
            link=given.link,
        )
        for x, column in enumerate(places)
        for y, name in enumerate(column)
    ]
    return {
        "chart": {
            "series": [
                {
                    "type": "graph",
                    "layout": "none",
                    "roam": len(nodes) > _MANY,
                    "left": 60,
                    "right": 90,
                    "top": 30,
                    "bottom": 50,
                    "edgeSymbol": ["none", "arrow"],
                    "edgeSymbolSize": 8,
                    "label": {
                        "show": True,
                        "position": "bottom",
                        "fontSize": 12,
                        "lineHeight": 14,
                        "distance": 3,
                    },
                    "edgeLabel": {"show": True, "fontSize": 11},
                    "emphasis": {"focus": "adjacency", "lineStyle": {"width": 4}},
                    "data": nodes,
                    "links": [
                        _arrow(edge, steps, most) for edge in edges if edge.source != edge.target
                    ],
                    "animation": False,
                }
            ]
        },
        "graph": True,
        "high": math.ceil((height + 110) / _GRID),
        "wide": len(places) * _COLUMN,
    }


def _node(
    name: str,
    kind: str,
    place: tuple[float, float],
    *,
    into: list[Edge],
    out: list[Edge],
    steps: Mapping[str, Any],
    link: str,
) -> dict[str, Any]:
    symbol, subject = _KINDS.get(kind, ("circle", "dependency"))
    owner = name.partition("/")[0] if kind in _OWNED else ""
    shown = name.partition("/")[2] or name if kind in _OWNED else name
    measured = [edge for edge in into if edge.failing is not None]
    failing = sum(edge.rate * (edge.failing or 0) for edge in measured)
    share = failing / (sum(edge.rate for edge in measured) or 1) if measured else None
    own = next((edge for edge in into if edge.source == name), None)
    said = [_short(shown)] if shown == kind else [_short(shown), f"{{kind|{kind}}}"]
    if own:
        bad = colours.by_value(own.failing or 0, steps) != colours.colour("green")
        said.append(f"{{{'bad' if bad else 'kind'}|calls itself {own.text}}}")
    lines = [f"{name} ({kind})"]
    lines += [f"from {edge.source}: {edge.text}" for edge in into]
    lines += [f"to {edge.target}: {edge.text}" for edge in out if edge is not own]
    address = f"/d/gnomon-{subject}?{link}"
    return {
        "id": name,
        "name": name,
        "x": place[0],
        "y": place[1],
        "symbol": symbol,
        "symbolSize": 28 if symbol in {"circle", "triangle", "diamond"} else 24,
        "link": f"{address}&var-service={quote(owner, safe='')}" if owner else address,
        "cursor": "pointer",
        "label": {
            "formatter": "\n".join(said),
            "rich": {
                "kind": {"fontSize": 11, "color": "#8a8f98"},
                "bad": {"fontSize": 11, "color": colours.by_value(own.failing or 0, steps)}
                if own
                else {},
            },
        },
        "tooltip": {"formatter": "<br>".join(html.escape(line) for line in lines)},
        "itemStyle": {
            "color": (colours.colour("blue") if share is None else colours.by_value(share, steps))
        },
    }


def _arrow(edge: Edge, steps: Mapping[str, Any], most: float) -> dict[str, Any]:
    bad = colours.by_value(edge.failing or 0, steps)
    fine = bad == colours.colour("green")
    return {
        "source": edge.source,
        "target": edge.target,
        "label": {"formatter": edge.text, **({} if fine else {"color": bad, "fontWeight": "bold"})},
        "tooltip": {
            "formatter": html.escape(f"{edge.source} → {edge.target}") + "<br>" + edge.text
        },
        "lineStyle": {
            "width": 1 + 3 * math.sqrt(max(0.0, edge.rate) / most),
            "curveness": 0.06,
            "color": "rgba(138,143,152,.6)" if fine else bad,
            "opacity": 1,
        },
    }


def _short(text: str) -> str:
    # Braces would begin a style of ECharts' own.
    text = text.replace("{", "(").replace("}", ")")
    return text if len(text) <= 28 else f"{text[:27]}…"
