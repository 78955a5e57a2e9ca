"""One service as its users meet it: traffic, errors, time, by route; and what stands behind it."""

from dataclasses import replace

from gnomon_dashboards import colours, edges, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording, value
from gnomon_dashboards.panels import (
    NONE_IS_GOOD,
    PERCENTILES,
    PLAIN,
    Column,
    above,
    coloured,
    graph,
    heatmap,
    limit,
    number,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, highest, now, percentiles, rows
from gnomon_dashboards.variables import Choice

_SERVICE = 'service=~"$service"'
_HERE = f"{{{_SERVICE}}}"
_ROUTES = f'{{{_SERVICE}, http_route=~"$route"}}'
_PROCESS = f'{{{_SERVICE}, instance=~"$instance"}}'
_NO_HTTP = "Nobody asked anything over HTTP"
_NO_STREAM = "This service has no streams"
_NO_SOCKET = "This service has no WebSockets"


def _limit(name: str) -> Query:
    """Return the line of a threshold for the service."""
    return limit(f"max({recording(name)}{_HERE})")


def _rate(counter: str, where: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}{where}[$__rate_interval]))"


def _rare(queries: tuple[Query, ...]) -> tuple[Query, ...]:
    """Return them for what happens every few minutes: with points further apart."""
    return tuple(replace(query, least="5m") for query in queries)


def _outcomes() -> str:
    """Return the requests a second, with the class of their status in ``outcome``."""
    found = f"rate(http_server_request_duration_seconds_count{_ROUTES}[$__rate_interval])"
    found = f'label_replace({found}, "outcome", "no answer", "", "")'
    for first in range(1, 6):
        status = f'"{first}xx", "http_response_status_code", "{first}.."'
        found = f'label_replace({found}, "outcome", {status})'
    return found


_REQUESTS = f"sum(service_route:http_requests:rate5m{_ROUTES})"
_ERRORS = f"sum(service_route:http_errors:rate5m{_ROUTES})"
_P95 = f"histogram_quantile(0.95, sum by (le) (service_route_le:http_latency:rate5m{_ROUTES}))"

_SUMMARY = Section(
    "",
    (
        number(
            "Requests",
            "How many requests does the service answer each second?",
            now(_REQUESTS),
            unit=units.REQUESTS_RATE,
            decimals=1,
            empty=_NO_HTTP,
        ),
        number(
            "Failing",
            "Which share of them fails by the service's own fault, over five minutes?",
            now(f"{_ERRORS} / ({_REQUESTS} > 0)"),
            unit=units.RATIO,
            decimals=2,
            steps=above("service_errors_high:ratio", watch=0.2),
            empty=_NO_HTTP,
        ),
        number(
            "95 % within",
            "How long do 95 of 100 requests take at most?",
            now(f"{_P95} > 0"),
            unit=units.SECONDS,
            steps=above("service_latency_high:seconds", watch=0.5),
            empty=_NO_HTTP,
        ),
        number(
            "Budget left",
            "How much is left of the service's error budget that is nearest to its end?",
            now(f"min(slo:period_error_budget_remaining:ratio{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            steps=((None, colours.BAD), (0.0001, colours.WATCH), (0.25, colours.GOOD)),
            links=(links.to("slo", "Its objectives", service="${service}"),),
            empty="No objective is known for it yet",
        ),
        number(
            "Alerts",
            "How many alerts about this service fire?",
            now(
                f'count(ALERTS{{{_SERVICE}, alertstate="firing",'
                ' severity=~"critical|warning"}) or vector(0)'
            ),
            unit=units.COUNT,
            steps=NONE_IS_GOOD,
            links=(links.to("overview", "All alerts", service="${service}"),),
        ),
        number(
            "Youngest",
            "How long ago was its youngest process started?",
            now(f"min(time() - process_start_time_seconds{_HERE})"),
            unit=units.SECONDS,
            decimals=1,
            empty="No process of it is watched",
        ),
    ),
)

_RED = Section(
    "",
    (
        graph(
            "Requests, by outcome",
            "How many requests are answered each second, and how?",
            Query(expr=f"sum by (outcome) ({_outcomes()})", legend="{{outcome}}"),
            Query(
                expr=f"sum(service_route:http_requests:rate5m{_ROUTES} offset 1w)",
                legend="last week",
            ),
            legend=(),
            unit=units.REQUESTS_RATE,
            stacked=True,
            overrides=(
                coloured("2xx", colours.GOOD),
                coloured("3xx", colours.PLAIN),
                coloured("4xx", colours.WATCH),
                coloured("5xx", colours.BAD),
                coloured("no answer", colours.NEARLY_ALL),
                styled(
                    "last week",
                    color={"mode": "fixed", "fixedColor": colours.FAINT},
                    custom__fillOpacity=0,
                    custom__stacking={"mode": "none", "group": "A"},
                    custom__lineWidth=1,
                ),
            ),
            empty=_NO_HTTP,
        ),
        graph(
            "Failing requests",
            "Which share of the requests fails by the service's own fault?",
            Query(expr=f"{_ERRORS} / ({_REQUESTS} > 0)", legend="failing"),
            Query(
                expr=f"sum(service_route:http_errors:rate5m{_ROUTES} offset 1w)"
                f" / (sum(service_route:http_requests:rate5m{_ROUTES} offset 1w) > 0)",
                legend="last week",
            ),
            _limit("service_errors_high:ratio"),
            legend=(),
            unit=units.RATIO,
            overrides=(
                coloured("failing", colours.BAD),
                coloured("last week", colours.FAINT),
            ),
            empty=_NO_HTTP,
        ),
        graph(
            "Time to answer",
            "How long do half, 95 and 99 of 100 requests take at most? Each dot is one request,"
            " and opens its trace.",
            *percentiles(f"http_server_request_duration_seconds_bucket{_ROUTES}"),
            Query(
                expr="histogram_quantile(0.95, sum by (le)"
                f" (service_route_le:http_latency:rate5m{_ROUTES} offset 1w)) > 0",
                legend="p95 last week",
            ),
            _limit("service_latency_high:seconds"),
            height=10,
            unit=units.SECONDS,
            overrides=(*PERCENTILES, coloured("p95 last week", colours.FAINT)),
            empty=_NO_HTTP,
        ),
        heatmap(
            "How answer times are spread",
            "Are all requests alike, or are there fast ones and slow ones?",
            Query(
                expr=_rate("http_server_request_duration_seconds_bucket", _ROUTES, "le"),
                legend="{{le}}",
                buckets=True,
            ),
            height=10,
            unit=units.SECONDS,
            empty=_NO_HTTP,
        ),
    ),
)

_BY_ROUTE = Section(
    "Routes",
    (
        table(
            "Routes",
            "Which routes are asked for most, fail most, are the slowest? Click on one to see it"
            " alone.",
            rows(f"sum by (http_route) (service_route:http_requests:rate5m{_HERE})", ref="rate"),
            rows(
                f"sum by (http_route) (service_route:http_errors:rate5m{_HERE})"
                f" / (sum by (http_route) (service_route:http_requests:rate5m{_HERE}) > 0)",
                ref="failing",
            ),
            rows(
                f"max by (http_route) (service_route:http_latency_seconds:p95_5m{_HERE})", ref="p95"
            ),
            rows(
                f"max by (http_route) (service_route:http_latency_seconds:p95_5m{_HERE} offset 1w)",
                ref="week",
            ),
            columns=(
                Column(
                    source="http_route",
                    title="Route",
                    link=(
                        links.to(
                            "service",
                            "This route alone",
                            service="${service}",
                            route=links.column("http_route"),
                        ),
                    ),
                ),
                Column(
                    source="Value #rate",
                    title="Requests",
                    unit=units.REQUESTS_RATE,
                    decimals=2,
                    bar=True,
                    steps=PLAIN,
                ),
                Column(
                    source="Value #failing",
                    title="Failing",
                    unit=units.RATIO,
                    decimals=2,
                    steps=above("service_errors_high:ratio", watch=0.2),
                    width=110,
                ),
                Column(
                    source="Value #p95",
                    title="95 of 100 within",
                    unit=units.SECONDS,
                    steps=above("service_latency_high:seconds", watch=0.5),
                    width=150,
                ),
                Column(source="Value #week", title="A week ago", unit=units.SECONDS, width=120),
            ),
            sort="Requests",
            height=10,
            empty=_NO_HTTP,
        ),
        graph(
            "Busiest routes",
            "How many requests does each of the busiest routes answer?",
            Query(
                expr=highest(f"service_route:http_requests:rate5m{_ROUTES}", 8),
                legend="{{http_request_method}} {{http_route}}",
            ),
            unit=units.REQUESTS_RATE,
            width=8,
            legend=(),
            empty=_NO_HTTP,
        ),
        graph(
            "Routes that fail most",
            "How many requests fail each second, on the routes where most do?",
            Query(
                expr=highest(f"service_route:http_errors:rate5m{_ROUTES}", 8),
                legend="{{http_request_method}} {{http_route}}",
            ),
            unit=units.REQUESTS_RATE,
            width=8,
            legend=(),
            empty=_NO_HTTP,
        ),
        graph(
            "Slowest routes",
            "How long do 95 of 100 requests take at most, on the slowest routes?",
            Query(
                expr=highest(f"service_route:http_latency_seconds:p95_5m{_ROUTES}", 8),
                legend="{{http_route}}",
            ),
            unit=units.SECONDS,
            width=8,
            legend=(),
            empty=_NO_HTTP,
        ),
    ),
)

_DEPENDENCIES = Section(
    "Whom it asks, and who asks it",
    (
        table(
            "Dependencies",
            "Whom does the service ask, how often, how often in vain, how long does it wait?",
            *edges.table_rows(f'{_SERVICE}, source_kind!="clients"'),
            columns=edges.columns(),
            sort="Calls",
            width=14,
            empty="It depends on nothing that is watched",
        ),
        table(
            "Callers",
            "Who asks the service? As they see it: their attempts, their failures, their wait.",
            *edges.table_rows('target=~"$service", target_kind="service"'),
            columns=edges.columns(target=False),
            sort="Calls",
            width=10,
            empty="Nobody asks it over HTTP",
        ),
    ),
)

_RUNNING = Section(
    "Process",
    (
        graph(
            "Processor time",
            "How many processors does each process keep busy, all its workers together?",
            Query(expr=f"instance:process_cpu:rate5m{_PROCESS}", legend="{{instance}}"),
            unit=units.CORES,
            width=8,
            legend=(),
        ),
        graph(
            "Memory",
            "How much memory does each process take, all its workers together?",
            Query(expr=f"process_resident_memory_bytes{_PROCESS}", legend="{{instance}}"),
            unit=units.BYTES,
            width=8,
            legend=(),
        ),
        graph(
            "Event loop: late by",
            "How late does the event loop wake up, in the worst of a hundred looks? While it is"
            " late, no request moves.",
            Query(expr=f"instance:event_loop_lag_seconds:p99_5m{_PROCESS}", legend="{{instance}}"),
            _limit("service_event_loop_blocked:seconds"),
            unit=units.SECONDS,
            width=8,
            legend=(),
            empty="No event loop is watched",
        ),
        graph(
            "Stopped to collect garbage",
            "For which share of its time does Python stand still to collect garbage?",
            Query(expr=f"instance:gc_pause_seconds:rate5m{_PROCESS}", legend="{{instance}}"),
            unit=units.RATIO,
            width=8,
            legend=(),
            empty="Garbage collection is not watched",
        ),
        graph(
            "Tasks, threads and requests at work",
            "How much does it do at the same time?",
            Query(
                expr=f"sum by (instance) (http_server_active_requests{_PROCESS})",
                legend="{{instance}} requests",
            ),
            Query(expr=f"gnomon_event_loop_tasks{_PROCESS}", legend="{{instance}} tasks"),
            Query(expr=f"gnomon_threads{_PROCESS}", legend="{{instance}} threads"),
            unit=units.COUNT,
            width=8,
            legend=(),
        ),
        graph(
            "Open files",
            "Which share of the files that it may open is open?",
            Query(expr=f"instance:process_files:ratio{_PROCESS}", legend="{{instance}}"),
            _limit("service_files_almost_gone:ratio"),
            unit=units.RATIO,
            width=8,
            legend=(),
        ),
        table(
            "Processes",
            "Which versions run, since when, and with how many workers?",
            rows(
                "group by (instance, service_version, version, python)"
                f" (gnomon_build_info{_PROCESS})"
                " * on (instance) group_left () max by (instance) (time() -"
                f" process_start_time_seconds{_PROCESS})",
                ref="age",
            ),
            columns=(
                Column(source="instance", title="Process"),
                Column(source="service_version", title="Version"),
                Column(source="python", title="Python"),
                Column(source="version", title="Gnomon"),
                Column(source="Value", title="Up for", unit=units.SECONDS, decimals=1, width=140),
            ),
            sort="Up for",
            ascending=True,
            width=16,
            height=6,
            empty="Gnomon's library does not run in it",
        ),
        graph(
            "Started anew",
            "How often did a process begin anew within a quarter of an hour?",
            Query(
                expr=f"max by (instance) (changes(process_start_time_seconds{_PROCESS}[15m]))",
                legend="{{instance}}",
            ),
            # Only where a process has begun anew there is a level, and with it the threshold's.
            limit(
                f"max({recording('service_crash_looping:starts')}{_HERE})"
                f" or vector({value('service_crash_looping:starts'):g})"
            ),
            unit=units.COUNT,
            width=8,
            height=6,
            legend=(),
            decimals=0,
        ),
    ),
)

_SIZES = Section(
    "Sizes, first bytes and refusals",
    (
        graph(
            "Size of answers",
            "How large are half, 95 and 99 of 100 answers at most?",
            *percentiles(f"http_server_response_body_size_bytes_bucket{_ROUTES}"),
            unit=units.BYTES,
            overrides=PERCENTILES,
            empty=_NO_HTTP,
        ),
        graph(
            "Size of requests",
            "How large is what is sent to the service, where a request carries something?",
            *percentiles(f"http_server_request_body_size_bytes_bucket{_ROUTES}"),
            unit=units.BYTES,
            overrides=PERCENTILES,
            empty="No request carried anything",
        ),
        graph(
            "Sent and received",
            "How many bytes go out (up) and come in (down) each second, bodies alone?",
            Query(
                expr=_rate("http_server_response_body_size_bytes_sum", _ROUTES, "service"),
                legend="sent",
            ),
            Query(
                expr=_rate("http_server_request_body_size_bytes_sum", _ROUTES, "service"),
                legend="received",
            ),
            unit=units.BYTES_RATE,
            low=None,
            overrides=(styled("received", custom__transform="negative-Y"),),
            width=8,
            empty=_NO_HTTP,
        ),
        graph(
            "Time to the first byte",
            "How long until an answer begins? Of a stream it is what its readers wait for.",
            *percentiles(f"gnomon_http_response_start_seconds_bucket{_ROUTES}"),
            unit=units.SECONDS,
            overrides=PERCENTILES,
            width=8,
            empty=_NO_HTTP,
        ),
        graph(
            "Refused by limiters",
            "How many requests does a limiter turn away, and why?",
            Query(
                expr=f"service_limiter:http_refused:rate5m{_HERE}",
                legend="{{limiter}}: {{reason}}",
            ),
            unit=units.REQUESTS_RATE,
            width=8,
            empty="No limiter refused anything",
        ),
    ),
    folded=True,
)

_STREAMS = Section(
    "Streams",
    (
        graph(
            "Streams: open",
            "How many answers are being streamed?",
            Query(expr=f"service_route:http_streams:sum{_ROUTES}", legend="{{http_route}}"),
            unit=units.COUNT,
            width=8,
            legend=(),
            empty=_NO_STREAM,
        ),
        graph(
            "Streams: how they end",
            "Do streams end by themselves, does the reader leave, or do they break off?",
            Query(
                expr=_rate("gnomon_http_stream_closed_total", _ROUTES, "outcome"),
                legend="{{outcome}}",
            ),
            unit=units.EVENTS_RATE,
            stacked=True,
            width=8,
            legend=(),
            overrides=(
                coloured("completed", colours.GOOD),
                coloured("disconnected", colours.PLAIN),
                coloured("cancelled", colours.WATCH),
                coloured("error", colours.BAD),
            ),
            empty=_NO_STREAM,
        ),
        graph(
            "Streams: how long they live",
            "How long do half, 95 and 99 of 100 streams live at most?",
            *_rare(percentiles(f"gnomon_http_stream_duration_seconds_bucket{_ROUTES}")),
            unit=units.SECONDS,
            width=8,
            legend=(),
            overrides=PERCENTILES,
            empty=_NO_STREAM,
        ),
    ),
    folded=True,
)

_SOCKETS = Section(
    "WebSockets",
    (
        graph(
            "WebSockets: open",
            "How many are open?",
            Query(
                expr=f"service_route:websocket_connections:sum{_ROUTES}", legend="{{http_route}}"
            ),
            unit=units.COUNT,
            width=8,
            legend=(),
            empty=_NO_SOCKET,
        ),
        graph(
            "WebSockets: left of the hour's most",
            "Which share is left of the most that were open within an hour? A fall of many at"
            " once is a proxy or a network, not people.",
            Query(
                expr=f"service_route:websocket_connections_left:ratio{_ROUTES}",
                legend="{{http_route}}",
            ),
            _limit("websocket_mass_disconnect:ratio"),
            unit=units.RATIO,
            width=8,
            legend=(),
            empty=_NO_SOCKET,
        ),
        graph(
            "WebSockets: how they end",
            "Who ends them, and with which code? 1000 and 1001 are ordinary.",
            Query(
                expr=_rate("gnomon_websocket_closed_total", _ROUTES, "closed_by, code"),
                legend="{{closed_by}} {{code}}",
            ),
            unit=units.EVENTS_RATE,
            stacked=True,
            width=8,
            legend=(),
            overrides=(coloured("^error.*", colours.BAD, pattern=True),),
            empty=_NO_SOCKET,
        ),
        graph(
            "WebSockets: ended by a fault",
            "Which share of those that end is ended by a fault of the service?",
            Query(
                expr=f"service_route:websocket_failed:ratio_rate5m{_ROUTES}",
                legend="{{http_route}}",
            ),
            _limit("websocket_failing:ratio"),
            unit=units.RATIO,
            width=8,
            legend=(),
            empty=_NO_SOCKET,
        ),
        graph(
            "WebSockets: messages",
            "How many messages are sent (up) and received (down) each second?",
            Query(
                expr=f"sum by (direction) (service_route:websocket_messages:rate5m{_ROUTES})",
                legend="{{direction}}",
            ),
            unit=units.MESSAGES_RATE,
            low=None,
            width=8,
            legend=(),
            overrides=(styled("received", custom__transform="negative-Y"),),
            empty=_NO_SOCKET,
        ),
        graph(
            "WebSockets: bytes",
            "How many bytes of messages are sent (up) and received (down) each second?",
            Query(
                expr=_rate("gnomon_websocket_message_bytes_total", _ROUTES, "direction"),
                legend="{{direction}}",
            ),
            unit=units.BYTES_RATE,
            low=None,
            width=8,
            legend=(),
            overrides=(styled("received", custom__transform="negative-Y"),),
            empty=_NO_SOCKET,
        ),
        graph(
            "WebSockets: heartbeats without answer",
            "How many peers fall silent each second?",
            Query(
                expr=f"service_route:websocket_heartbeats_expired:rate5m{_ROUTES}",
                legend="{{http_route}}",
            ),
            _limit("websocket_heartbeats_expiring:rate"),
            unit=units.EVENTS_RATE,
            width=8,
            legend=(),
            empty="Every peer answers its heartbeats",
        ),
        graph(
            "WebSockets: refused",
            "How many handshakes does the service not accept, and with which answer?",
            Query(
                expr=_rate(
                    "gnomon_websocket_refused_total",
                    _ROUTES,
                    "http_route, http_response_status_code",
                ),
                legend="{{http_route}} {{http_response_status_code}}",
            ),
            unit=units.EVENTS_RATE,
            width=8,
            legend=(),
            empty="No handshake was refused",
        ),
        graph(
            "WebSockets: subscriptions",
            "What are those who are connected subscribed to?",
            Query(
                expr=f"sum by (http_route, type) (gnomon_websocket_subscriptions{_ROUTES})",
                legend="{{type}}",
            ),
            unit=units.COUNT,
            width=8,
            legend=(),
            empty="Nobody is subscribed to anything",
        ),
        graph(
            "WebSockets: how long they live",
            "How long do half, 95 and 99 of 100 connections live at most?",
            *_rare(percentiles(f"gnomon_websocket_connection_duration_seconds_bucket{_ROUTES}")),
            unit=units.SECONDS,
            width=24,
            height=7,
            overrides=PERCENTILES,
            empty=_NO_SOCKET,
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="service",
    title="Service",
    purpose="One service as its users meet it: how much is asked of it, what fails, how long it"
    " takes, on which route; and what stands behind it.",
    variables=(
        Choice(
            name="service",
            source='{__name__=~"gnomon_build_info|http_server_request_duration_seconds_count"}',
            title="Service",
            one=True,
        ),
        Choice(
            name="route",
            source='service_route:http_requests:rate5m{service=~"$service"}',
            title="Route",
            label="http_route",
            optional=True,
        ),
        Choice(
            name="instance",
            source='process_start_time_seconds{service=~"$service"}',
            title="Process",
        ),
    ),
    sections=(
        _SUMMARY,
        _RED,
        _BY_ROUTE,
        _DEPENDENCIES,
        _RUNNING,
        _SIZES,
        _STREAMS,
        _SOCKETS,
    ),
    about=_SERVICE,
    deploys=_SERVICE,
)
