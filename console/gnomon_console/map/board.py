"""What the map asks: the recordings of the dashboard of dependencies, over the time on show."""

from gnomon_console.boards import Board, parsed
from gnomon_dashboards import edges, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.panels import Column, Panel, table
from gnomon_dashboards.queries import Query, rows
from gnomon_dashboards.variables import Choice

_ENDS = "service, source, source_kind, target, target_kind"
_OVER = "[$__range]"
#: What a service calls, and who calls it.
_AROUND = ('service=~"$service"', 'target=~"$service", target_kind="service"')

NOTHING = (
    "No call is known yet. One line in an application shows what it calls:"
    ' gnomon.instrument(app, service="shop")'
)


def _of_both(reduced: str, metric: str) -> str:
    """Return a recording, reduced over the time on show, of all edges around what was chosen."""
    return "(" + " or ".join(f"{reduced}({metric}{{{one}}}{_OVER})" for one in _AROUND) + ")"


def _edges() -> tuple[Query, ...]:
    """Return rate, failing and p95 of each edge."""
    calls = _of_both("sum_over_time", "edge:calls:rate5m")
    errors = _of_both("sum_over_time", "edge:errors:rate5m")
    return (
        rows(f"sum by ({_ENDS}) {_of_both('avg_over_time', 'edge:calls:rate5m')}", ref="rate"),
        rows(
            f"sum by ({_ENDS}) {errors} / (sum by ({_ENDS}) {calls} > 0)",
            ref="failing",
        ),
        # A mean of percentiles would say nothing; that of the worst minutes is a promise.
        rows(
            f"max by ({_ENDS}) {_of_both('max_over_time', 'edge:latency_seconds:p95_5m')}",
            ref="p95",
        ),
    )


def _columns() -> list[Column]:
    """Return the columns of the dashboard of dependencies, what matters most where phones end."""
    return sorted(edges.columns(), key=lambda column: column.source.endswith("_kind"))


def board() -> Board:
    """Return the map and the table of its edges."""
    return parsed(
        Dashboard(
            subject="map",
            title="Map",
            purpose="Who calls what, how often, how well: services, their queues, caches and"
            " databases, and the outside APIs that they need. Every call is counted.",
            variables=(Choice(name="service", source="edge:calls:rate5m", title="Service"),),
            sections=(
                Section(
                    "",
                    (
                        Panel(
                            kind="map",
                            title="Who calls what",
                            question="On the arrows: calls each second, the share that fails, and"
                            " what 95 of 100 calls took at most in the worst five minutes of the"
                            " time on show; into a queue that is the wait in it. Orange: one call"
                            " in twenty fails; red: one in five. A click on a circle opens its"
                            " dashboard.",
                            queries=_edges(),
                            unit=units.REQUESTS_RATE,
                            steps=edges.FAILING,
                            width=24,
                            height=18,
                            empty=NOTHING,
                        ),
                        table(
                            "Every edge",
                            "The same as a table, those that fail first: how often is each way"
                            " gone, which share of it fails, how long does it take?",
                            *_edges(),
                            columns=_columns(),
                            sort="Failing",
                            width=24,
                            height=11,
                            empty=NOTHING,
                        ),
                    ),
                ),
            ),
            about=None,
            refresh="10s",
            since="now-15m",
        ).json()
    )
