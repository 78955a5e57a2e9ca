"""The map of dependencies: who calls what, how often, how well; each edge's calls, errors, time."""

from gnomon_dashboards import colours, edges, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording
from gnomon_dashboards.panels import (
    NONE_IS_GOOD,
    Column,
    coloured,
    graph,
    limit,
    node_graph,
    number,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_HERE = 'service=~"$service"'
#: What a service calls, and who calls it.
_AROUND = (_HERE, 'target=~"$service", target_kind="service"')
_NOTHING = "Nothing is called that is watched"
_PEER = "{{service}} → {{server_address}}:{{server_port}}"
_EDGE = "{{source}} → {{target}}"
_ALERTS = f'ALERTS{{alertstate="firing", {_HERE}, component=~"dependency|database|cache|queue"}}'

_SUMMARY = Section(
    "",
    (
        number(
            "Calls",
            "How many calls do the services chosen make each second, to whatever they depend on?",
            now(f'sum(edge:calls:rate5m{{{_HERE}, source_kind="service"}})'),
            unit=units.REQUESTS_RATE,
            decimals=1,
            empty=_NOTHING,
        ),
        number(
            "Failing calls",
            "Which share of those whose outcome is known failed?",
            now(
                f'sum(edge:errors:rate5m{{{_HERE}, source_kind="service"}})'
                f' / (sum(edge:calls:rate5m{{{_HERE}, source_kind="service",'
                ' target_kind=~"service|outside API|database"}) > 0)'
            ),
            unit=units.RATIO,
            decimals=1,
            steps=edges.FAILING,
            empty=_NOTHING,
        ),
        number(
            "Worst edge",
            "Which share of its calls fails on the edge that fails most?",
            now(f'max(edge:errors:ratio_rate5m{{{_HERE}, source_kind!="clients"}})'),
            unit=units.RATIO,
            decimals=1,
            steps=edges.FAILING,
            empty=_NOTHING,
        ),
        number(
            "Slowest edge",
            "What do 95 of 100 calls take at most on the slowest edge that somebody waits for?",
            now(
                f'max(edge:latency_seconds:p95_5m{{{_HERE}, source_kind="service",'
                ' target_kind!="queue"})'
            ),
            unit=units.SECONDS,
            empty=_NOTHING,
        ),
        number(
            "Asked again",
            "How many calls of other services were repeats of a failed one, each second?",
            now(
                f"sum(rate(gnomon_http_client_retries_total{{{_HERE}}}[$__rate_interval]))"
                " or vector(0)"
            ),
            unit=units.REQUESTS_RATE,
            decimals=2,
        ),
        number(
            "Alerts",
            "How many alerts about dependencies, databases, caches and queues fire?",
            now(f"count({_ALERTS}) or vector(0)"),
            unit=units.COUNT,
            steps=NONE_IS_GOOD,
        ),
    ),
)

_MAP = Section(
    "",
    (
        node_graph(
            "Map",
            "Who calls what? In the circles: calls each second, and what 95 of 100 take at most; on"
            " the arrows, as you point at them, the share that fails, too. Orange: one call in"
            " twenty fails; red: one in five. Every call is counted, none taken from a trace.",
            nodes=edges.nodes(*_AROUND),
            edges=edges.arrows(*_AROUND),
            overrides=(styled("title", links=[edges.NODE_LINK]),),
            height=21,
            empty=_NOTHING,
        ),
    ),
)

_TABLE = Section(
    "Edges",
    (
        table(
            "All edges",
            "How often is each way gone, which share of it fails, how long does it take?",
            *edges.table_rows(*_AROUND),
            columns=edges.columns(),
            sort="Calls",
            height=9,
            empty=_NOTHING,
        ),
    ),
)

_OVER_TIME = Section(
    "Edges over time",
    (
        graph(
            "Calls, over time",
            "How often is each of the busiest ways gone?",
            Query(expr=highest(f"edge:calls:rate5m{{{_HERE}}}", 8), legend=_EDGE),
            unit=units.REQUESTS_RATE,
            width=8,
            legend=(),
            empty=_NOTHING,
        ),
        graph(
            "Failing, over time",
            "Which share of the calls fails, on the ways where most do?",
            Query(expr=highest(f"edge:errors:ratio_rate5m{{{_HERE}}}", 8), legend=_EDGE),
            unit=units.RATIO,
            width=8,
            legend=(),
            empty=_NOTHING,
        ),
        graph(
            "Time taken",
            "What do 95 of 100 calls take at most, on the slowest ways? Into a queue it is the wait"
            " in it.",
            Query(expr=highest(f"edge:latency_seconds:p95_5m{{{_HERE}}}", 8), legend=_EDGE),
            unit=units.SECONDS,
            width=8,
            legend=(),
            empty=_NOTHING,
        ),
    ),
)


def _answers() -> str:
    """Return the requests to others each second, with the status or what went wrong instead."""
    found = f"rate(http_client_request_duration_seconds_count{{{_HERE}}}[$__rate_interval])"
    for source in ("error_type", "http_response_status_code"):
        found = f'label_replace({found}, "answer", "$1", "{source}", "(.+)")'
    return found


_HTTP = Section(
    "Other services and outside APIs",
    (
        graph(
            "Requests to others, by answer",
            "How do those who are asked answer? 4xx, 5xx and no answer at all are failures.",
            Query(
                expr=f"sum by (server_address, answer) ({_answers()})",
                legend="{{server_address}}: {{answer}}",
            ),
            unit=units.REQUESTS_RATE,
            stacked=True,
            overrides=(
                coloured(": 2..$", colours.GOOD, pattern=True),
                coloured(": 4..$", colours.WATCH, pattern=True),
                coloured(": 5..$", colours.BAD, pattern=True),
            ),
            empty="No service calls another",
        ),
        graph(
            "Failing, by peer",
            "Which share of the requests to each peer fails? Every attempt counts.",
            Query(expr=f"service_peer:http_client_errors:ratio_rate5m{{{_HERE}}}", legend=_PEER),
            limit(f"max({recording('dependency_failing:ratio')}{{{_HERE}}})"),
            unit=units.RATIO,
            empty="No service calls another",
        ),
        graph(
            "Time to answer, by peer",
            "What do 95 of 100 requests take at most? The dots are single requests: they open the"
            " trace.",
            Query(
                expr="histogram_quantile(0.95, sum by (service, server_address, server_port, le) ("
                f"rate(http_client_request_duration_seconds_bucket{{{_HERE}}}[$__rate_interval])))"
                " >= 0",
                legend=_PEER,
                exemplars=True,
            ),
            limit(f"max({recording('dependency_slow:seconds')}{{{_HERE}}})"),
            unit=units.SECONDS,
            empty="No service calls another",
        ),
        graph(
            "Asked again, and then",
            "How many requests are repeats, by what became of them?",
            Query(
                expr="sum by (service, server_address, outcome) (rate("
                f"gnomon_http_client_retries_total{{{_HERE}}}[$__rate_interval]))",
                legend="{{service}} → {{server_address}}, then {{outcome}}",
            ),
            unit=units.REQUESTS_RATE,
            empty="Nothing was asked again",
            overrides=(
                coloured("success$", colours.GOOD, pattern=True),
                coloured("failure$", colours.BAD, pattern=True),
            ),
        ),
    ),
)

_STORES = Section(
    "Databases, caches and queues",
    (
        graph(
            "Databases: statements",
            "How many statements does each service send to each database?",
            Query(expr=f'edge:calls:rate5m{{{_HERE}, target_kind="database"}}', legend=_EDGE),
            unit=units.OPERATIONS_RATE,
            width=8,
            legend=(),
            empty="No database is watched",
        ),
        graph(
            "Databases: failing",
            "Which share of the statements fails?",
            Query(
                expr=f'edge:errors:ratio_rate5m{{{_HERE}, target_kind="database"}}', legend=_EDGE
            ),
            limit(f"max({recording('database_errors_high:ratio')}{{{_HERE}}})"),
            unit=units.RATIO,
            width=8,
            legend=(),
            empty="No database is watched",
        ),
        graph(
            "Databases: time",
            "What do 95 of 100 statements take at most?",
            Query(
                expr=f'edge:latency_seconds:p95_5m{{{_HERE}, target_kind="database"}}',
                legend=_EDGE,
            ),
            unit=units.SECONDS,
            width=8,
            legend=(),
            empty="No database is watched",
        ),
        table(
            "Caches",
            "Which share of the lookups does each cache answer, so that nothing behind it is"
            " asked?",
            rows(
                f"sum by (service, cache, tier) (service_cache:cache_lookups:rate2m{{{_HERE}}})",
                ref="lookups",
            ),
            rows(
                f"max by (service, cache, tier) (service_cache:cache_hits:ratio_rate2m{{{_HERE}}})",
                ref="hits",
            ),
            columns=(
                Column(source="service", title="Service"),
                Column(source="cache", title="Cache"),
                Column(source="tier", title="Tier", width=70),
                Column(
                    source="Value #lookups", title="Lookups", unit=units.OPERATIONS_RATE, width=110
                ),
                Column(source="Value #hits", title="Answered", unit=units.RATIO, bar=True, high=1),
            ),
            sort="Lookups",
            width=12,
            empty="No cache is watched",
        ),
        table(
            "Queues",
            "How much waits in each queue, and how long will it take to work it off?",
            rows(
                f"sum by (service, kind, queue) (service_queue:queue_depth:sum{{{_HERE}}})",
                ref="depth",
            ),
            rows(
                "max by (service, kind, queue)"
                f" (service_queue:queue_drain_seconds:ratio{{{_HERE}}})",
                ref="drain",
            ),
            rows(
                f"sum by (service, kind, queue) (service_queue:queue_consumers:sum{{{_HERE}}})",
                ref="workers",
            ),
            columns=(
                Column(source="service", title="Service"),
                Column(source="queue", title="Queue"),
                Column(source="kind", title="Kind", width=90),
                Column(source="Value #depth", title="Waiting", unit=units.WHOLE, width=90),
                Column(source="Value #workers", title="Workers", unit=units.WHOLE, width=90),
                Column(source="Value #drain", title="Worked off in", unit=units.SECONDS, width=120),
            ),
            sort="Waiting",
            width=12,
            empty="No queue is watched",
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="dependency",
    title="Dependencies",
    purpose="Who calls what: services, databases, caches, queues and outside APIs, with rate,"
    " errors and time on every way between them.",
    variables=(
        Choice(
            name="service",
            source='{__name__=~"edge:calls:rate5m|service:http_requests:rate5m"}',
            title="Service",
        ),
    ),
    sections=(_SUMMARY, _MAP, _TABLE, _OVER_TIME, _HTTP, _STORES),
    about='service=~"$service", component="dependency"',
)
