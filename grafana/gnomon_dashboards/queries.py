"""What a panel asks Prometheus."""

from dataclasses import dataclass
from typing import Any

#: The datasource that the viewer chose at the head of the dashboard.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One expression.

    legend: how its series are called, with labels as ``{{service}}``; "__auto" is Grafana's guess.
    instant: asked once, for now, instead of over the time on show. table: rows of labels and value,
    for tables and node graphs. buckets: one column for each `le`, for heatmaps. exemplars: its
    samples' traces are shown as dots. least: seconds that lie between two points at least, as
    Prometheus writes them ("1m"). ref: its name in the panel, "" for the next letter.
    """

    expr: str
    legend: str = "__auto"
    instant: bool = False
    table: bool = False
    buckets: bool = False
    exemplars: bool = False
    least: str = ""
    ref: str = ""

    def json(self, ref: str) -> dict[str, Any]:
        """Return the target as Grafana stores it. ref: its name, unless it has one."""
        found: dict[str, Any] = {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "exemplar": self.exemplars,
            "expr": self.expr,
            "format": "table" if self.table else "heatmap" if self.buckets else "time_series",
            "instant": self.instant,
            "legendFormat": self.legend,
            "range": not self.instant,
            "refId": self.ref or ref,
        }
        if self.least:
            found["interval"] = self.least
        return found


def now(expr: str, legend: str = "__auto", *, ref: str = "") -> Query:
    """Return a query for the value of this moment."""
    return Query(expr=expr, legend=legend, instant=True, ref=ref)


def rows(expr: str, *, ref: str = "") -> Query:
    """Return a query for the value of this moment, as rows of a table."""
    return Query(expr=expr, instant=True, table=True, ref=ref)


def percentiles(buckets: str) -> tuple[Query, ...]:
    """Return what 50, 95 and 99 of 100 events stayed below, with the events' traces as dots.

    buckets: the histogram's series by ``le``, chosen: ``x_seconds_bucket{service=~"$service"}``.
    Their names are p50, p95 and p99, which ``panels.PERCENTILES`` colours. Where nothing happened
    there is no point.
    """
    spread = f"sum by (le) (rate({buckets}[$__rate_interval]))"
    return tuple(
        Query(
            expr=f"histogram_quantile({share}, {spread}) >= 0",  # not NaN
            legend=name,
            exemplars=name == "p50",  # once is enough: they are the same for all
        )
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def highest(series: str, count: int = 10) -> str:
    """Return the expression for those series that were highest at some time of what is on show.

    series: a name with matchers. Of what there may be hundreds of, a graph shows the few that
    matter, and the same ones all the way.
    """
    return f"{series} and topk({count}, max_over_time({series}[$__range] @ end()))"
