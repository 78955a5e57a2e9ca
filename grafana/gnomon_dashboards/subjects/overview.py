"""What is wrong now, of which service, on which machine; and where that is explained."""

from gnomon_dashboards import colours, links, objectives, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording, value
from gnomon_dashboards.panels import (
    NONE_IS_GOOD,
    PLAIN,
    UP,
    Column,
    Panel,
    Steps,
    above,
    coloured,
    graph,
    limit,
    number,
    ranking,
    table,
    words,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_SERVICE = 'service=~"$service"'
_HERE = f"{{{_SERVICE}}}"
_FIRING = f'alertstate="firing", {_SERVICE}'
_SERIOUS = 'severity=~"critical|warning|info"'
_NO_HTTP = "No service answers HTTP yet"
_NO_WEEK = "There is no week to compare with yet"

_SEVERITIES = ("critical", "warning", "info")
_SEVERITY = words(
    (1, "critical", colours.BAD), (2, "warning", colours.WATCH), (3, "info", colours.PLAIN)
)

#: Which page explains an alert: its component's own, or one of these.
PAGES = (
    ("service", "http|process|telemetry|websocket"),
    ("host", "cpu|memory|disk|filesystem|network|clock"),
    (
        "meta",
        "alerting|configuration|dashboards|exporter|notifications|rules|scrape|storage|traces",
    ),
    ("queue", "job"),
    ("vitals", "web"),
)

#: How many times last week's: up to a quarter more is chance.
_TIMES: Steps = ((None, colours.GOOD), (1.25, colours.WATCH), (2, colours.BAD))


#: Labels that say of what an alert speaks, besides whose and where it is.
_ABOUT = (
    "sloth_slo",
    "anomaly_name",
    "resource",
    "queue",
    "cache",
    "tier",
    "db_client_connection_pool_name",
    "server_address",
    "http_route",
    "mountpoint",
    "device",
    "id",
    "job_name",
    "collector",
    "rule_group",
    "integration",
    "uuid",
    "xid",
)


def _explained(alerts: str) -> str:
    """Return a number for each alert, with the word of the page that explains it in ``page``.

    ``about``: of what it speaks. ``at`` and ``objective``: its instance and its objective, or All
    where it has none: for the links.
    """
    names = ", ".join(f'"{name}"' for name in _ABOUT)
    alerts = f'label_join({alerts}, "about", " ", {names})'
    for label, text, source, pattern in (
        ("about", "$1", "about", " *(.*?) *"),
        ("page", "$1", "component", "(.+)"),
        *(("page", page, "component", components) for page, components in PAGES),
        ("at", "All", "", ""),
        ("at", "$1", "instance", "(.+)"),
        ("objective", "All", "", ""),
        ("objective", "$1", "sloth_id", "(.+)"),
    ):
        alerts = f'label_replace({alerts}, "{label}", "{text}", "{source}", "{pattern}")'
    kept = "alertname, about, service, component, instance, at, objective, page"
    return f"max by ({kept}) ({alerts})"


_SUMMARY = Section(
    "",
    (
        number(
            "Critical",
            "How many alerts fire for which somebody is woken?",
            now(f'count(ALERTS{{{_FIRING}, severity="critical"}}) or vector(0)'),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            filled=True,
        ),
        number(
            "Warnings",
            "How many alerts fire that somebody has to look at today?",
            now(f'count(ALERTS{{{_FIRING}, severity="warning"}}) or vector(0)'),
            unit=units.WHOLE,
            steps=((None, colours.GOOD), (1, colours.WATCH)),
            filled=True,
        ),
        number(
            "Do not answer",
            "How many targets and watched endpoints do not answer?",
            now(
                f"(count(up{_HERE} == 0) or vector(0))"
                f" + (count(probe_success{_HERE} == 0) or vector(0))"
            ),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            filled=True,
            links=(links.to("meta", "All targets"),),
        ),
        number(
            "Failing now",
            "Which share of all requests fails, over five minutes?",
            now(
                f"sum(service:http_errors:rate5m{_HERE})"
                f" / (sum(service:http_requests:rate5m{_HERE}) > 0)"
            ),
            unit=units.RATIO,
            decimals=2,
            steps=above("service_errors_high:ratio", watch=0.2),
            filled=True,
            empty=_NO_HTTP,
        ),
        number(
            "Budget left",
            "How much is left of the error budget that is nearest to its end?",
            now(f"min(slo:period_error_budget_remaining:ratio{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            steps=objectives.BUDGET,
            filled=True,
            links=(links.to("slo", "All objectives"),),
            empty="No objective is known yet",
        ),
        number(
            "Alerting",
            "Would an alert arrive? It does while the Watchdog fires, Prometheus knows an"
            " Alertmanager, and no way to a receiver fails.",
            now(
                'clamp_max(count(ALERTS{alertname="Watchdog", alertstate="firing"})'
                " or vector(0), 1)"
                " * (max(prometheus_notifications_alertmanagers_discovered > bool 0)"
                " or vector(0))"
                " * (1 - (max(notifications:failed:ratio_increase7m > bool"
                f" {recording('notifications_failing:ratio')}) or vector(0)))"
            ),
            unit=units.WHOLE,
            steps=UP,
            mappings=(words((0, "broken", colours.BAD), (1, "works", colours.GOOD)),),
            filled=True,
            links=(links.to("meta", "The stack itself"),),
        ),
    ),
)

_ALERTS = Section(
    "",
    (
        table(
            "What is wrong now",
            "Which alerts fire, and for how long? A click on an alert opens the page that explains"
            " it.",
            rows(
                _explained(
                    " or ".join(
                        f'{number} * ALERTS{{{_FIRING}, severity="{severity}"}}'
                        for number, severity in enumerate(_SEVERITIES, 1)
                    )
                ),
                ref="severity",
            ),
            rows(
                _explained(
                    f"time() - (ALERTS_FOR_STATE{{{_SERVICE}, {_SERIOUS}}}"
                    f" and ignoring (alertstate) ALERTS{{{_FIRING}, {_SERIOUS}}})"
                ),
                ref="since",
            ),
            columns=(
                Column(
                    source="Value #severity",
                    title="Severity",
                    unit=units.WHOLE,
                    steps=PLAIN,
                    mappings=(_SEVERITY,),
                    width=90,
                ),
                Column(
                    source="alertname",
                    title="Alert",
                    link=(
                        links.to(
                            links.column("page"),
                            "What stands behind it",
                            service=links.column("service"),
                            instance=links.column("at"),
                            objective=links.column("objective"),
                        ),
                    ),
                ),
                Column(source="about", title="Of what"),
                Column(
                    source="service",
                    title="Service",
                    width=110,
                    link=(links.to("service", "The service", service=links.column("service")),),
                ),
                Column(source="instance", title="Where", width=150),
                Column(
                    source="Value #since", title="For", unit=units.SECONDS, decimals=0, width=90
                ),
                Column(source="page", title="Page", hidden=True),
                Column(source="at", title="At", hidden=True),
                Column(source="objective", title="Objective", hidden=True),
            ),
            sort="Severity",
            ascending=True,
            width=16,
            empty="Nothing is wrong: no alert fires",
        ),
        graph(
            "Alerts",
            "How many alerts fired, and when?",
            *(
                Query(
                    expr=f'count(ALERTS{{{_FIRING}, severity="{severity}"}}) or vector(0)',
                    legend=severity,
                )
                for severity in _SEVERITIES
            ),
            unit=units.WHOLE,
            stacked=True,
            decimals=0,
            width=8,
            legend=(),
            overrides=(
                coloured("critical", colours.BAD),
                coloured("warning", colours.WATCH),
                coloured("info", colours.PLAIN),
            ),
        ),
    ),
)

_TRAFFIC = Section(
    "",
    (
        graph(
            "Requests",
            "How much is asked of each service? The ten busiest.",
            Query(expr=highest(f"service:http_requests:rate5m{_HERE}"), legend="{{service}}"),
            unit=units.REQUESTS_RATE,
            width=8,
            height=7,
            legend=(),
            links=(links.to("service", "The service", service=links.label("service")),),
            empty=_NO_HTTP,
        ),
        graph(
            "Failing",
            "Which share of its requests does each service fail? The ten worst.",
            Query(expr=highest(f"service:http_errors:ratio_rate5m{_HERE}"), legend="{{service}}"),
            limit(f"max({recording('service_errors_high:ratio')}{_HERE})"),
            unit=units.RATIO,
            width=8,
            height=7,
            legend=(),
            links=(links.to("service", "The service", service=links.label("service")),),
            empty=_NO_HTTP,
        ),
        graph(
            "95 of 100 within",
            "How long do 95 of 100 requests to each service take at most? The ten slowest.",
            Query(
                expr=highest(f"service:http_latency_seconds:p95_5m{_HERE}"), legend="{{service}}"
            ),
            limit(f"max({recording('service_latency_high:seconds')}{_HERE})"),
            unit=units.SECONDS,
            width=8,
            height=7,
            legend=(),
            links=(links.to("service", "The service", service=links.label("service")),),
            empty=_NO_HTTP,
        ),
    ),
)

_SERVICES = Section(
    "Services",
    (
        table(
            "Health by service",
            "How is each service? Click on one to see it alone.",
            rows(f"sum by (service) (up{_HERE})", ref="up"),
            rows(f"count by (service) (up{_HERE}) - sum by (service) (up{_HERE})", ref="down"),
            rows(f"max by (service) (service:http_requests:rate5m{_HERE})", ref="rate"),
            rows(f"max by (service) (service:http_errors:ratio_rate5m{_HERE})", ref="failing"),
            rows(f"max by (service) (service:http_latency_seconds:p95_5m{_HERE})", ref="p95"),
            rows(
                f"min by (service) (slo:period_error_budget_remaining:ratio{_HERE})", ref="budget"
            ),
            rows(
                f"count by (service) (ALERTS{{{_FIRING}, {_SERIOUS}}})"
                f" or 0 * count by (service) (up{_HERE})",
                ref="alerts",
            ),
            rows(f"sum by (service) (instance:process_cpu:rate5m{_HERE})", ref="cpu"),
            rows(f"sum by (service) (process_resident_memory_bytes{_HERE})", ref="memory"),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("service")),),
                ),
                Column(
                    source="Value #alerts",
                    title="Alerts",
                    unit=units.WHOLE,
                    steps=NONE_IS_GOOD,
                    width=80,
                ),
                Column(source="Value #up", title="Up", unit=units.WHOLE, steps=UP, width=70),
                Column(
                    source="Value #down",
                    title="Down",
                    unit=units.WHOLE,
                    steps=NONE_IS_GOOD,
                    width=70,
                ),
                Column(
                    source="Value #rate",
                    title="Requests",
                    unit=units.REQUESTS_RATE,
                    decimals=1,
                    width=120,
                ),
                Column(
                    source="Value #failing",
                    title="Failing",
                    unit=units.RATIO,
                    decimals=2,
                    steps=above("service_errors_high:ratio", watch=0.2),
                    width=100,
                ),
                Column(
                    source="Value #p95",
                    title="95 of 100 within",
                    unit=units.SECONDS,
                    steps=above("service_latency_high:seconds", watch=0.5),
                    width=150,
                ),
                Column(
                    source="Value #budget",
                    title="Least budget left",
                    unit=units.RATIO,
                    decimals=0,
                    steps=objectives.BUDGET,
                    width=150,
                ),
                Column(
                    source="Value #cpu",
                    title="Processors",
                    unit=units.COUNT,
                    decimals=2,
                    width=110,
                ),
                Column(source="Value #memory", title="Memory", unit=units.BYTES, width=110),
            ),
            sort="Requests",
        ),
    ),
)


def _percentile(offset: str) -> str:
    return (
        "avg by (service, http_route) (avg_over_time("
        f"service_route:http_latency_seconds:p95_5m{_HERE}[1h]{offset}))"
    )


def _share(offset: str) -> str:
    errors = f"sum_over_time(service_route:http_errors:rate5m{_HERE}[1h]{offset})"
    requests = f"sum_over_time(service_route:http_requests:rate5m{_HERE}[1h]{offset})"
    return (
        f"sum by (service, http_route) ({errors}) / (sum by (service, http_route) ({requests}) > 0)"
    )


def _worse(
    title: str, question: str, *, past: str, present: str, change: str, unit: str, column: Column
) -> Panel:
    """Return the ten routes with the largest change. column: of the change, ``Value #change``."""
    most = f"topk(10, {change})"
    return table(
        title,
        question,
        rows(f"({past}) and on (service, http_route) {most}", ref="past"),
        rows(f"({present}) and on (service, http_route) {most}", ref="present"),
        rows(most, ref="change"),
        columns=(
            Column(
                source="service",
                title="Service",
                width=130,
                link=(links.to("service", "The service", service=links.column("service")),),
            ),
            Column(
                source="http_route",
                title="Route",
                link=(
                    links.to(
                        "service",
                        "This route",
                        service=links.column("service"),
                        route=links.column("http_route"),
                    ),
                ),
            ),
            Column(source="Value #past", title="Last week", unit=unit, decimals=2, width=100),
            Column(source="Value #present", title="Now", unit=unit, decimals=2, width=100),
            column,
        ),
        sort=column.title,
        width=12,
        empty=_NO_WEEK,
    )


_LAST_WEEK = Section(
    "Changes since last week",
    (
        _worse(
            "Slower than last week",
            "Which routes became slower most, over an hour, against the same hour last week? What"
            " 95 of 100 requests take at most.",
            past=_percentile(" offset 1w"),
            present=_percentile(""),
            change=f"{_percentile('')} / ({_percentile(' offset 1w')} > 0)",
            unit=units.SECONDS,
            column=Column(
                source="Value #change",
                title="Times",
                unit=units.COUNT,
                decimals=2,
                steps=_TIMES,
                width=80,
            ),
        ),
        _worse(
            "Failing more than last week",
            "Of which routes does a larger share fail, over an hour, than in the same hour last"
            " week?",
            past=_share(" offset 1w"),
            present=_share(""),
            change=f"({_share('')}) - ({_share(' offset 1w')})",
            unit=units.RATIO,
            column=Column(
                source="Value #change",
                title="More",
                unit=units.RATIO,
                decimals=2,
                steps=above("service_errors_high:ratio", watch=0.2),
                width=80,
            ),
        ),
    ),
)

_MACHINES = Section(
    "Machines and budgets",
    (
        table(
            "Health by machine",
            "Which machine is short of something? Click on one to see it alone.",
            rows("max by (instance) (instance:node_cpu_utilisation:ratio_rate5m)", ref="cpu"),
            rows("max by (instance) (instance:node_memory_utilisation:ratio)", ref="memory"),
            rows(
                "max by (instance) (1 - instance_mountpoint:node_filesystem_avail:ratio"
                '{fstype!~"tmpfs|ramfs"})',
                ref="disk",
            ),
            rows("max by (instance) (instance_gpu:gpu_utilisation:ratio)", ref="gpu"),
            rows(
                f'count by (instance) (ALERTS{{alertstate="firing", {_SERIOUS}}}'
                " and on (instance) node_uname_info) or 0 * count by (instance) (node_uname_info)",
                ref="alerts",
            ),
            columns=(
                Column(
                    source="instance",
                    title="Machine",
                    link=(links.to("host", "The machine", instance=links.column("instance")),),
                ),
                Column(
                    source="Value #alerts",
                    title="Alerts",
                    unit=units.WHOLE,
                    steps=NONE_IS_GOOD,
                    width=80,
                ),
                Column(
                    source="Value #cpu",
                    title="Processors",
                    unit=units.RATIO,
                    decimals=0,
                    steps=above("cpu_saturated:ratio"),
                    width=100,
                ),
                Column(
                    source="Value #memory",
                    title="Memory",
                    unit=units.RATIO,
                    decimals=0,
                    steps=above("memory_high:ratio"),
                    width=90,
                ),
                Column(
                    source="Value #disk",
                    title="Fullest disk",
                    unit=units.RATIO,
                    decimals=0,
                    steps=(
                        (None, colours.GOOD),
                        (1 - 5 * value("filesystem_almost_full:ratio"), colours.WATCH),
                        (1 - value("filesystem_almost_full:ratio"), colours.BAD),
                    ),
                    width=100,
                ),
                Column(
                    source="Value #gpu",
                    title="Busiest GPU",
                    unit=units.RATIO,
                    decimals=0,
                    steps=PLAIN,
                    width=110,
                ),
            ),
            sort="Processors",
            width=12,
            height=9,
            empty="No machine is watched",
        ),
        ranking(
            "Budgets: least left",
            "Which promises have the least of their error budget left? The ten nearest to their"
            " end.",
            now(
                f"sort(bottomk(10, slo:period_error_budget_remaining:ratio{_HERE}))",
                legend="{{sloth_id}}",
            ),
            unit=units.RATIO,
            decimals=0,
            high=1,
            steps=objectives.BUDGET,
            height=9,
            links=(
                links.to(
                    "slo",
                    "This objective",
                    service=links.label("service"),
                    objective=links.label("sloth_id"),
                ),
            ),
            empty="No objective is known yet",
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="overview",
    title="Overview",
    purpose="What is wrong now, of which service, on which machine; each row leads to the page that"
    " explains it.",
    variables=(Choice(name="service", source="up", title="Service"),),
    sections=(_SUMMARY, _ALERTS, _TRAFFIC, _SERVICES, _MACHINES, _LAST_WEEK),
    about=None,  # so many at once would cover the graphs; a panel has them
    deploys=_SERVICE,
)
