"""A dashboard with a panel of each kind that the console knows, and one that it does not."""

from typing import Any

UID = "gnomon-kinds"

#: What the panels are called, by what a test wants of them.
LINES, STAT, GAUGE, BARS, TABLE, HEAT, STATES, GRAPH, TEXT, STRANGE, LATE, CHOSEN, EVER = range(
    1, 14
)

_STEPS = [{"color": "green", "value": None}, {"color": "red", "value": 0.5}]
_BUCKETS = 'http_server_request_duration_seconds_bucket{service="shop"}'
_UP = 'up{job=~"$job"}'


def _target(expr: str, ref: str = "A", **other: Any) -> dict[str, Any]:
    return {"refId": ref, "expr": expr, "legendFormat": "{{job}}", **other}


def _panel(
    number: int, kind: str, title: str, *targets: dict[str, Any], **defaults: Any
) -> dict[str, Any]:
    place = number - 1
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": "What is it?",
        "gridPos": {"x": place % 2 * 12, "y": place // 2 * 8, "w": 12, "h": 8},
        "targets": list(targets),
        "fieldConfig": {
            "defaults": {"thresholds": {"mode": "absolute", "steps": _STEPS}, **defaults},
            "overrides": [],
        },
        "options": {"legend": {"calcs": ["mean", "max", "lastNotNull"]}},
    }


def _node(name: str) -> str:
    titled = f'label_replace(vector(1), "id", "{name}", "", "")'
    return f'label_replace({titled}, "title", "The {name}", "", "")'


_EDGE = (
    'label_replace(label_replace(vector(3), "source", "shop", "", ""), "target", "bank", "", "")'
)

DASHBOARD: dict[str, Any] = {
    "uid": UID,
    "title": "Kinds",
    "description": "Is every kind of panel drawn?",
    "time": {"from": "now-5m", "to": "now"},
    "refresh": "5s",
    "templating": {
        "list": [
            {
                "type": "query",
                "name": "job",
                "label": "Job",
                "query": {"query": "label_values(up, job)"},
                "includeAll": True,
                "multi": True,
            },
            {
                "type": "query",
                "name": "service",
                "label": "Service",
                "query": {"query": "label_values(up, service)"},
            },
        ]
    },
    "panels": [
        _panel(
            LINES,
            "timeseries",
            "Lines",
            _target(f"sum by (job) (scrape_samples_scraped{_UP[2:]})"),
            unit="none",
        ),
        _panel(STAT, "stat", "One number", _target("sum(up)", instant=True)),
        _panel(GAUGE, "gauge", "A dial", _target("vector(0.25)", instant=True), unit="percentunit"),
        _panel(BARS, "bargauge", "Bars", _target(_UP, instant=True), min=0, max=1),
        _panel(TABLE, "table", "Rows", _target(_UP, instant=True, format="table")),
        _panel(HEAT, "heatmap", "Heat", _target(f"sum by (le) (rate({_BUCKETS}[1m]))"), unit="s"),
        _panel(STATES, "state-timeline", "States", _target(_UP)),
        _panel(
            GRAPH,
            "nodeGraph",
            "Who asks whom",
            _target(f"{_node('shop')} or {_node('bank')}", instant=True, format="table"),
            _target(_EDGE, "B", instant=True, format="table"),
        ),
        _panel(TEXT, "text", "Words") | {"options": {"content": "Some *words*."}},
        _panel(STRANGE, "piechart", "A cake", _target("vector(1)")),
        _panel(
            LATE,
            "timeseries",
            "With traces",
            _target(f"histogram_quantile(0.95, sum by (le) (rate({_BUCKETS}[1m])))", exemplar=True),
            unit="s",
        ),
        _panel(CHOSEN, "stat", "Of $service", _target('count(up{service="$service"})')),
        _panel(EVER, "timeseries", "Always the same", _target("vector(1)")),
    ],
}
