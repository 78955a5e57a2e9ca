"""Who calls what, from the recordings of every call: as a map, and as rows of a table."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.limits import value
from gnomon_dashboards.panels import Column, Steps
from gnomon_dashboards.queries import Query, rows

_CALLS = "edge:calls:rate5m"
_FAILING = "edge:errors:ratio_rate5m"
_LATENCY = "edge:latency_seconds:p95_5m"

#: From here on a share of failed calls is worth a look, and is bad.
WATCH = value("service_errors_high:ratio")
BAD = value("dependency_failing:ratio")
FAILING: Steps = ((None, colours.GOOD), (WATCH, colours.WATCH), (BAD, colours.BAD))

#: Which page tells more of a node, by what it is. Old versions of Grafana show no links on a map.
PAGES = (
    ("service", "service"),
    ("overview", "clients"),
    ("dependency", "outside API"),
    ("database", "database"),
    ("cache", "cache|second tier"),
    ("queue", "queue|workers"),
)
NODE_LINK = links.to(links.column("page"), "More of this", service=links.column("service"))


def _chosen(metric: str, matchers: tuple[str, ...]) -> str:
    """Return a metric's series that any of the matchers chooses."""
    return "(" + " or ".join(f"{metric}{{{one}}}" for one in matchers) + ")"


def _node(expr: str, end: str) -> str:
    """Return series with an ``id`` and a ``subtitle`` by one of their ends: source or target."""
    named = f'label_replace({expr}, "id", "$1", "{end}", "(.*)")'
    return f'label_replace({named}, "subtitle", "$1", "{end}_kind", "(.*)")'


def _text(label: str, shown: str, expr: str, by: str) -> str:
    """Return 1 for each series, with its value as text in a label. shown: ``$1`` is the value."""
    counted = f'count_values by ({by}) ("{label}_number", {expr})'
    return f'label_replace({counted}, "{label}", "{shown}", "{label}_number", "(.*)")'


def _time(label: str, seconds: str, by: str) -> str:
    """Return 1 for each series, with its time as text in a label."""
    short = _text(label, "$1 ms", f"round(1000 * ({seconds} < 10), 0.1)", by)
    return f"({short} or {_text(label, '$1 s', f'round({seconds} >= 10, 0.1)', by)})"


def _with(left: str, label: str, right: str, by: str) -> str:
    """Return series with a label more, which others have; those that no other knows keep theirs."""
    return f"{left} * on ({by}) group_left ({label}) ({right} or on ({by}) {left})"


def nodes(*matchers: str) -> str:
    """Return the nodes of a map, by both ends of the edges that any of the matchers chooses."""
    calls = _chosen(_CALLS, matchers)
    called = f"sum by (id, subtitle) ({_node(calls, 'target')})"
    calling = f"sum by (id, subtitle) ({_node(calls, 'source')})"
    rates = f"round({called} or on (id) {calling}, 0.01)"
    ends = _text("mainstat", "$1/s", rates, "id, subtitle")
    slowest = f"max by (id) ({_node(_chosen(_LATENCY, matchers), 'target')})"
    times = _time("secondarystat", slowest, "id")
    # Of all that goes to a node, not of one caller: those add up.
    errors = f"sum by (id) ({_node(_chosen('edge:errors:rate5m', matchers), 'target')})"
    failing = f"({errors} / (sum by (id) ({_node(calls, 'target')}) > 0))"
    colour = " or on (id) ".join(
        f'label_replace({which}, "color", "{colours.SHADES[name]}", "", "")'
        for which, name in (
            (f"({failing} >= {BAD:g})", colours.BAD),
            (f"({failing} >= {WATCH:g})", colours.WATCH),
            (failing, colours.GOOD),
            (f"group by (id) ({called} or on (id) {calling})", colours.PLAIN),
        )
    )
    known = f"group by (id, subtitle) ({called} or on (id) {calling})"
    timed = f"({times} or on (id) {known})"
    found = (
        f"group by (id, subtitle, mainstat) ({ends})"
        f" * on (id) group_left (secondarystat) {timed}"
        f" * on (id) group_left (color) group by (id, color) ({colour})"
    )
    # What belongs to a service is called SERVICE/NAME, so that two services' are told apart.
    for label, text, source, pattern in (
        ("title", "$1", "id", "(?:[^/ ]*/)?(.+)"),
        ("title", "$1", "id", "([^/]+)/workers"),
        ("service", "$1", "id", "([^/]+).*"),
        ("service", "All", "subtitle", "database|outside API|clients"),
        *(("page", page, "subtitle", kinds) for page, kinds in PAGES),
    ):
        found = f'label_replace({found}, "{label}", "{text}", "{source}", "{pattern}")'
    return found


def arrows(*matchers: str) -> str:
    """Return the edges of a map."""
    ends = "source, target"
    calls = f"sum by ({ends}) {_chosen(_CALLS, matchers)}"
    rates = _text("mainstat", "$1/s", f"round({calls}, 0.01)", ends)
    times = _time("p95", f"max by ({ends}) {_chosen(_LATENCY, matchers)}", ends)
    shares = _text(
        "failing",
        "$1 % fail",
        f"round(100 * max by ({ends}) {_chosen(_FAILING, matchers)} > 0, 0.1)",
        ends,
    )
    found = (
        f"group by ({ends}, mainstat) ({rates})"
        f" * on ({ends}) group_left (p95) ({times} or on ({ends}) {calls} * 0 + 1)"
        f" * on ({ends}) group_left (failing) ({shares} or on ({ends}) {calls} * 0 + 1)"
    )
    named = f'label_join({found}, "secondarystat", " ", "p95", "failing")'
    return f'label_join({named}, "id", " → ", "source", "target")'


def table_rows(*matchers: str) -> tuple[Query, ...]:
    """Return the queries of a table of edges: refs rate, failing, p95."""
    ends = "service, source, source_kind, target, target_kind"
    return (
        rows(f"sum by ({ends}) {_chosen(_CALLS, matchers)}", ref="rate"),
        rows(f"max by ({ends}) {_chosen(_FAILING, matchers)}", ref="failing"),
        rows(f"max by ({ends}) {_chosen(_LATENCY, matchers)}", ref="p95"),
    )


def columns(*, target: bool = True) -> tuple[Column, ...]:
    """Return the columns for ``table_rows``. target: who is called, too, and what that is."""
    whom = (
        Column(
            source="target",
            title="To",
            link=(links.to("dependency", "Its calls", service=links.column("service")),),
        ),
        Column(source="target_kind", title="Kind", width=95),
    )
    return (
        Column(
            source="source",
            title="From",
            link=(links.to("service", "The service", service=links.column("service")),),
        ),
        *(whom if target else ()),
        Column(source="Value #rate", title="Calls", unit=units.REQUESTS_RATE, decimals=2, width=95),
        Column(
            source="Value #failing",
            title="Failing",
            unit=units.RATIO,
            decimals=1,
            steps=FAILING,
            width=80,
        ),
        Column(source="Value #p95", title="95 of 100 within", unit=units.SECONDS, width=130),
        Column(source="service", title="Service", hidden=True),
    )
