"""The view from outside: whether endpoints answer, how fast, and how long certificates hold."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording, value
from gnomon_dashboards.panels import (
    ANSWERS,
    NONE_IS_GOOD,
    UP,
    Column,
    Steps,
    above,
    coloured,
    graph,
    limit,
    number,
    ranking,
    states,
    table,
    words,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_HERE = '{service=~"$service", instance=~"$instance"}'
_NONE = "No endpoint is asked for: see targets/probe/README.md"
_NO_TLS = "No endpoint here shows a certificate"
_NO_HTTP = "No endpoint here is asked by HTTP"

_DAY = 86400
_LEFT: Steps = (
    (None, colours.BAD),
    (value("probe_certificate_almost_expired:seconds") / _DAY, colours.WATCH),
    (value("probe_certificate_expiring:seconds") / _DAY, colours.GOOD),
)
_AVAILABLE: Steps = ((None, colours.BAD), (0.99, colours.WATCH), (0.999, colours.GOOD))

#: Where there is no HTTP, or none was reached.
_NO_STATUS = words((0, "none", colours.FAINT))


def _phase(name: str, words: str) -> Query:
    return Query(
        expr='avg(probe_http_duration_seconds{service=~"$service", instance=~"$instance",'
        f' phase="{name}"}})',
        legend=words,
    )


_SUMMARY = Section(
    "",
    (
        number(
            "Endpoints up",
            "Which share of the endpoints chosen answers as it should, at this moment?",
            now(f"avg(probe_success{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            low=0,
            high=1,
            steps=((None, colours.BAD), (1, colours.GOOD)),
            empty=_NONE,
        ),
        number(
            "Down",
            "How many endpoints do not answer, or not as they should?",
            now(f"count(probe_success{_HERE} == 0) or 0 * count(probe_success{_HERE})"),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            empty=_NONE,
        ),
        number(
            "Answered",
            "Which share of the probes was answered, over the time on show?",
            now(f"avg(avg_over_time(probe_success{_HERE}[$__range]))"),
            unit=units.RATIO,
            decimals=2,
            steps=_AVAILABLE,
            empty=_NONE,
        ),
        number(
            "Slowest",
            "How long does the slowest endpoint take to answer, over five minutes?",
            now(f"max(instance:probe_duration_seconds:avg5m{_HERE})"),
            unit=units.SECONDS,
            decimals=1,
            low=0,
            steps=above("probe_slow:seconds", watch=0.5),
            empty=_NONE,
        ),
        number(
            "First expires",
            "How many days are left until the first certificate runs out?",
            now(f"min(instance:probe_certificate_left:seconds{_HERE}) / {_DAY}"),
            unit=units.DAYS,
            decimals=0,
            steps=_LEFT,
            empty=_NO_TLS,
        ),
        number(
            "Without TLS",
            "How many endpoints answer over plain HTTP, which anybody on the way can read?",
            now(
                f"count(probe_http_ssl{_HERE} == 0 and probe_success{_HERE} == 1)"
                f" or 0 * count(probe_http_ssl{_HERE})"
            ),
            unit=units.WHOLE,
            empty=_NO_HTTP,
        ),
    ),
)

_ENDPOINTS = Section(
    "",
    (
        table(
            "Endpoints",
            "How does each endpoint answer? A click on the service leads to what it says itself.",
            rows(f"probe_success{_HERE}", ref="up"),
            rows(f"avg_over_time(probe_success{_HERE}[$__range])", ref="share"),
            rows(f"instance:probe_duration_seconds:avg5m{_HERE}", ref="duration"),
            rows(f"probe_http_status_code{_HERE}", ref="status"),
            rows(f"probe_http_version{_HERE}", ref="http"),
            rows(f"probe_http_redirects{_HERE}", ref="redirects"),
            rows(
                f"probe_success{_HERE} * on (job, instance, service) group_left (version)"
                f" max by (job, instance, service, version) (probe_tls_version_info{_HERE})",
                ref="tls",
            ),
            rows(f"instance:probe_certificate_left:seconds{_HERE} / {_DAY}", ref="left"),
            columns=(
                Column(source="instance", title="Endpoint"),
                Column(
                    source="service",
                    title="Service",
                    width=140,
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(
                    source="Value #up",
                    title="Answers",
                    width=90,
                    steps=UP,
                    mappings=(ANSWERS,),
                ),
                Column(
                    source="Value #share",
                    title="Answered",
                    unit=units.RATIO,
                    decimals=2,
                    width=100,
                    steps=_AVAILABLE,
                ),
                Column(
                    source="Value #duration",
                    title="Takes",
                    unit=units.SECONDS,
                    decimals=1,
                    width=100,
                    steps=above("probe_slow:seconds", watch=0.5),
                ),
                Column(
                    source="Value #status",
                    title="Status",
                    unit=units.WHOLE,
                    width=80,
                    mappings=(_NO_STATUS,),
                    steps=((None, colours.PLAIN), (400, colours.WATCH), (500, colours.BAD)),
                ),
                Column(
                    source="Value #http",
                    title="HTTP",
                    unit=units.WHOLE,
                    decimals=1,
                    width=70,
                    mappings=(_NO_STATUS,),
                ),
                Column(source="Value #redirects", title="Redirects", width=90),
                Column(source="version", title="TLS", width=90),
                Column(
                    source="Value #left",
                    title="Certificate left",
                    unit=units.DAYS,
                    decimals=0,
                    width=130,
                    steps=_LEFT,
                ),
            ),
            sort="Answers",
            ascending=True,
            height=8,
            empty=_NONE,
        ),
        states(
            "When they answered",
            "When did each endpoint answer as it should, and when not?",
            Query(expr=f"probe_success{_HERE}", legend="{{instance}}"),
            named=((0, "no", colours.BAD), (1, "yes", colours.GOOD)),
            height=9,
            empty=_NONE,
        ),
        graph(
            "How long they take",
            "How long does a probe of each endpoint take, connection and all?",
            Query(
                expr=highest(f"instance:probe_duration_seconds:avg5m{_HERE}", 8),
                legend="{{instance}}",
            ),
            limit(f"max({recording('probe_slow:seconds')}{_HERE})"),
            unit=units.SECONDS,
            height=9,
            empty=_NONE,
        ),
        graph(
            "Where the time goes",
            "What does an HTTP probe wait for, on average: the name, the connection, TLS, the"
            " server, the body?",
            _phase("resolve", "the name"),
            _phase("connect", "the connection"),
            _phase("tls", "TLS"),
            _phase("processing", "the server"),
            _phase("transfer", "the body"),
            unit=units.SECONDS,
            stacked=True,
            overrides=(
                coloured("the name", colours.FAINT),
                coloured("the connection", colours.MEDIAN),
                coloured("TLS", colours.NEARLY_ALL),
                coloured("the server", colours.MOST),
                coloured("the body", colours.GOOD),
            ),
            empty=_NO_HTTP,
        ),
        ranking(
            "Certificates: days left",
            "Which certificates run out first?",
            now(
                f"sort(instance:probe_certificate_left:seconds{_HERE} / {_DAY})",
                "{{instance}}",
            ),
            unit=units.DAYS,
            decimals=0,
            high=90,
            steps=_LEFT,
            empty=_NO_TLS,
        ),
    ),
)

_DETAILS = Section(
    "Details",
    (
        table(
            "Certificates",
            "When does each certificate run out, and by which version of TLS is it shown?",
            rows(f"instance:probe_certificate_left:seconds{_HERE} / {_DAY}", ref="left"),
            rows(f"probe_ssl_earliest_cert_expiry{_HERE} * 1000", ref="end"),
            rows(
                f"probe_success{_HERE} * on (job, instance, service) group_left (version)"
                f" max by (job, instance, service, version) (probe_tls_version_info{_HERE})"
                f" and on (job, instance, service) probe_ssl_earliest_cert_expiry{_HERE}",
                ref="tls",
            ),
            columns=(
                Column(source="instance", title="Endpoint"),
                Column(source="service", title="Service", width=120),
                Column(source="version", title="TLS", width=80),
                Column(source="Value #end", title="Runs out", unit=units.DATE, width=170),
                Column(
                    source="Value #left",
                    title="Days left",
                    unit=units.DAYS,
                    decimals=0,
                    width=110,
                    steps=_LEFT,
                ),
            ),
            sort="Days left",
            ascending=True,
            width=12,
            empty=_NO_TLS,
        ),
        graph(
            "Status codes",
            "With which status do endpoints answer by HTTP, and how many with each?",
            Query(
                expr=f'count_values("status", probe_http_status_code{_HERE} > 0)',
                legend="{{status}}",
            ),
            unit=units.COUNT,
            decimals=0,
            stacked=True,
            overrides=(
                coloured("^2", colours.GOOD, pattern=True),
                coloured("^3", colours.PLAIN, pattern=True),
                coloured("^4", colours.WATCH, pattern=True),
                coloured("^5", colours.BAD, pattern=True),
            ),
            empty=_NO_HTTP,
        ),
        graph(
            "Answered, over an hour",
            "Which share of the probes of each endpoint was answered?",
            Query(expr=f"avg_over_time(probe_success{_HERE}[1h])", legend="{{instance}}"),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            empty=_NONE,
        ),
        graph(
            "Looking up the name",
            "How long does it take to find the address of each endpoint?",
            Query(expr=highest(f"probe_dns_lookup_time_seconds{_HERE}"), legend="{{instance}}"),
            unit=units.SECONDS,
            width=8,
            legend=(),
            empty=_NONE,
        ),
        graph(
            "How much they send",
            "How long is the answer of each endpoint? A page that shrinks is often an error page.",
            Query(expr=f"probe_http_uncompressed_body_length{_HERE}", legend="{{instance}}"),
            unit=units.BYTES,
            width=8,
            legend=(),
            empty=_NO_HTTP,
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="probe",
    title="Outside view",
    purpose="What users meet: which endpoints answer, how fast, and how long their certificates"
    " hold.",
    variables=(
        Choice(name="service", source="probe_success", title="Service"),
        Choice(name="instance", source='probe_success{service=~"$service"}', title="Endpoint"),
    ),
    sections=(_SUMMARY, _ENDPOINTS, _DETAILS),
    about='component="probe", service=~"$service"',
    deploys='service=~"$service"',
    since="now-6h",
)
