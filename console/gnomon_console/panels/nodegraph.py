"""Who asks whom: nodes and the edges between them."""

from typing import Any

from gnomon_console import colours
from gnomon_console.looks import look
from gnomon_console.panels.drawn import Drawn, Given, empty, rows
from gnomon_console.tables import Row


def draw(given: Given) -> Drawn:
    """Return the graph. Rows with a ``source`` are edges, the others nodes, as in Grafana."""
    panel = given.panel
    found = [row for frame in rows(given) for row in frame]
    edges = [row for row in found if row.get("source") and row.get("target")]
    nodes = [row for row in found if row.get("id") and not row.get("source")]
    if not nodes:
        return {"empty": empty(panel)}
    unit = look(panel, "mainstat")
    most = max((_number(edge.get("mainstat")) for edge in edges), default=0) or 1
    known = {str(node["id"]) for node in nodes}
    return {
        "chart": {
            "series": [
                {
                    "type": "graph",
                    "layout": "force",
                    "roam": True,
                    "top": 30,
                    "bottom": 70,
                    "draggable": True,
                    "force": {"repulsion": 700, "edgeLength": [120, 220], "gravity": 0.12},
                    "edgeSymbol": ["none", "arrow"],
                    "edgeSymbolSize": 9,
                    "label": {"show": True, "position": "bottom", "fontSize": 11, "lineHeight": 14},
                    "edgeLabel": {"show": True, "fontSize": 10, "lineHeight": 12},
                    "emphasis": {"focus": "adjacency"},
                    "data": [_node(node, unit) for node in nodes],
                    "links": [
                        _edge(edge, unit, most)
                        for edge in edges
                        if str(edge["source"]) in known and str(edge["target"]) in known
                    ],
                }
            ]
        },
        "graph": True,
    }


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _stat(value: Any, unit: Any) -> str:
    return unit.text(value) if isinstance(value, int | float) else str(value or "")


def _node(row: Row, unit: Any) -> dict[str, Any]:
    failed = max(
        (_number(row[key]) for key in row if key.startswith("arc__") and _bad(key)), default=0
    )
    said = [str(row.get("title") or row["id"]), str(row.get("subtitle") or "")]
    said += [_stat(row.get("mainstat"), unit), _stat(row.get("secondarystat"), unit)]
    return {
        "id": str(row["id"]),
        "name": "\n".join(part for part in said if part),
        "symbolSize": 46,
        "itemStyle": {
            "color": colours.colour(
                str(row.get("color") or "")
                or ("red" if failed > 0.05 else "orange" if failed > 0 else "green")
            )
        },
    }


def _bad(key: str) -> bool:
    return any(word in key for word in ("fail", "err", "bad"))


def _edge(row: Row, unit: Any, most: float) -> dict[str, Any]:
    words = [_stat(row.get("mainstat"), unit), _stat(row.get("secondarystat"), unit)]
    return {
        "source": str(row["source"]),
        "target": str(row["target"]),
        "label": {"formatter": "\n".join(word for word in words if word)},
        "lineStyle": {"width": 1 + 4 * _number(row.get("mainstat")) / most, "curveness": 0.08},
    }
