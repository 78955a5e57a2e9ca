"""Capacity: how full everything with a limit is, when it will be full, and what else is coming."""

from typing import Any

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording, value
from gnomon_dashboards.panels import (
    Column,
    Steps,
    coloured,
    graph,
    limit,
    number,
    states,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_HERE = '{instance=~"$instance", resource=~"$resource"}'
_MACHINES = '{instance=~"$instance"}'
_SERVICES = '{service=~"$service"}'
#: A mountpoint, a control group or a pool, if the resource has several on one machine.
_WHERE = "{{instance}} {{resource}} {{mountpoint}}{{id}}{{db_client_connection_pool_name}}"

_DAYS: Steps = ((None, colours.BAD), (14, colours.WATCH), (60, colours.GOOD))
_FULL: Steps = (
    (None, colours.GOOD),
    (value("saturation_soft:ratio"), colours.WATCH),
    (value("saturation_hard:ratio"), colours.BAD),
)

_YOUNG = "Known after a few days of samples"


def _ahead(series: str, *, pattern: bool = False) -> dict[str, Any]:
    """Return how a line is drawn that is not what was, but what is expected."""
    return styled(
        series,
        pattern=pattern,
        custom__fillOpacity=0,
        custom__lineStyle={"fill": "dash", "dash": [6, 6]},
    )


_SUMMARY = Section(
    "",
    (
        number(
            "First full",
            "In how many days does the first of what is chosen reach its hard limit, at the pace of"
            " a week?",
            now(f"min(resource:saturation_full:days{_HERE})"),
            unit=units.DAYS,
            decimals=0,
            steps=_DAYS,
            empty="Nothing grows towards its limit",
        ),
        number(
            "In 14 days",
            "How full will the fullest of what is chosen be in two weeks?",
            now(f"max(resource:saturation:predict14d{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            steps=_FULL,
            empty=_YOUNG,
        ),
        number(
            "Disk in a day",
            "How much of the fullest disk will be left in 24 hours, at the pace of six?",
            now(f"min(instance_mountpoint:node_filesystem_avail:predict24h{_MACHINES})"),
            unit=units.RATIO,
            decimals=0,
            steps=((None, colours.BAD), (0.05, colours.WATCH), (0.2, colours.GOOD)),
            empty="Known after three hours",
        ),
        number(
            "RAM in a day",
            "How much of its memory will the machine with the least have left in 24 hours, at the"
            " pace of six?",
            now(
                f"min(clamp_min(instance:node_memory_available:predict24h{_MACHINES}, 0)"
                f" / on (job, instance) node_memory_MemTotal_bytes{_MACHINES})"
            ),
            unit=units.RATIO,
            decimals=0,
            steps=((None, colours.BAD), (0.1, colours.WATCH), (0.3, colours.GOOD)),
            empty="Known after three hours",
        ),
        number(
            "Fails in 48 h",
            "How probable is it that a service fails within two days, if it goes on like in the"
            " last week? The likeliest.",
            now(
                f"max(service:failures:probability48h{_SERVICES})"
                f" or 0 * max(service:failures:count7d{_SERVICES})"
            ),
            unit=units.RATIO,
            decimals=0,
            steps=(
                (None, colours.GOOD),
                (0.5, colours.WATCH),
                (value("forecast_failure:ratio"), colours.BAD),
            ),
            empty="Known after four minutes",
        ),
        number(
            "Budget's end",
            "When is the first error budget used up, at the pace of six hours?",
            now(f"min(slo:error_budget_exhaustion:seconds{_SERVICES})"),
            unit=units.SECONDS,
            decimals=1,
            steps=(
                (None, colours.BAD),
                (value("slo_budget_forecast:seconds"), colours.WATCH),
                (30 * 86400, colours.GOOD),
            ),
            links=(links.to("slo", "The promises"),),
            empty="No budget is being used up",
        ),
    ),
)

_LIMITS = Section(
    "",
    (
        table(
            "What has a limit",
            "How full is it in the busiest hour of a day, how full will it be in two weeks, and in"
            " how many days does it reach its limit? Empty where it does not grow.",
            rows(f"resource:saturation:ratio{_HERE}", ref="now"),
            rows(f"resource:saturation:max1d{_HERE}", ref="day"),
            rows(f"resource:saturation:predict14d{_HERE}", ref="soon"),
            rows(f"{recording('saturation_hard:ratio')}{_HERE}", ref="hard"),
            rows(f"resource:saturation_full:days{_HERE}", ref="days"),
            columns=(
                Column(
                    source="instance",
                    title="Machine",
                    link=(links.to("host", "The machine", instance=links.column("Machine")),),
                ),
                Column(source="resource", title="Resource", width=150),
                Column(source="mountpoint", title="Mounted at"),
                Column(source="id", title="Control group"),
                Column(source="db_client_connection_pool_name", title="Pool"),
                Column(
                    source="Value #now",
                    title="Now",
                    unit=units.RATIO,
                    decimals=0,
                    width=80,
                    steps=_FULL,
                ),
                Column(
                    source="Value #day",
                    title="Busiest hour",
                    unit=units.RATIO,
                    decimals=0,
                    width=110,
                    steps=_FULL,
                ),
                Column(
                    source="Value #soon",
                    title="In two weeks",
                    unit=units.RATIO,
                    decimals=0,
                    width=180,
                    bar=True,
                    high=1,
                    steps=_FULL,
                ),
                Column(source="Value #hard", title="Limit", unit=units.RATIO, decimals=0, width=80),
                Column(
                    source="Value #days",
                    title="Days left",
                    unit=units.DAYS,
                    decimals=0,
                    width=110,
                    steps=_DAYS,
                ),
            ),
            sort="In two weeks",
            height=8,
        ),
        graph(
            "How full, in the busiest hour of each day",
            "How does what is fullest grow, below which share does nobody ask, and where is its"
            " limit?",
            Query(expr=highest(f"resource:saturation:max1d{_HERE}", 6), legend=_WHERE),
            limit(f"max({recording('saturation_hard:ratio')}{_HERE})"),
            Query(
                expr=f"min({recording('saturation_soft:ratio')}{_HERE})", legend="nobody asks below"
            ),
            unit=units.RATIO,
            legend=("lastNotNull",),
            high=1,
            height=9,
            overrides=(
                _ahead("nobody asks below"),
                coloured("nobody asks below", colours.FAINT),
            ),
            empty="Known after a day",
        ),
        graph(
            "Forecast for two weeks later",
            "How full did it look, at each moment, that it would be two weeks later?",
            Query(expr=highest(f"resource:saturation:predict14d{_HERE}", 6), legend=_WHERE),
            limit(f"max({recording('saturation_hard:ratio')}{_HERE})"),
            unit=units.RATIO,
            legend=("lastNotNull",),
            high=1,
            height=9,
            empty=_YOUNG,
        ),
        graph(
            "Were the forecasts right?",
            "How full is the fullest of what is chosen, and how full was it said two weeks before"
            " that it would be?",
            Query(expr=f"max(resource:saturation:max1d{_HERE})", legend="the fullest"),
            Query(
                expr=f"max(resource:saturation:predict14d{_HERE} offset 14d)",
                legend="as forecast",
            ),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            overrides=(
                _ahead("as forecast"),
                coloured("as forecast", colours.FAINT),
                coloured("the fullest", colours.MOST),
            ),
            empty=_YOUNG,
        ),
        graph(
            "Disk left",
            "How much of the fullest disks is left, and how much will be left 24 hours later?",
            Query(
                expr="min by (instance)"
                f" (instance_mountpoint:node_filesystem_avail:ratio{_MACHINES})",
                legend="{{instance}}",
            ),
            Query(
                expr="min by (instance)"
                f" (instance_mountpoint:node_filesystem_avail:predict24h{_MACHINES})",
                legend="{{instance}}, in a day",
            ),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            span="7d",
            overrides=(_ahead("in a day$", pattern=True),),
        ),
        graph(
            "Memory left",
            "How much memory is left, and how much will be left 24 hours later?",
            Query(expr=f"instance:node_memory_available:bytes{_MACHINES}", legend="{{instance}}"),
            Query(
                expr=f"clamp_min(instance:node_memory_available:predict24h{_MACHINES}, 0)",
                legend="{{instance}}, in a day",
            ),
            unit=units.BYTES,
            width=8,
            legend=(),
            span="7d",
            overrides=(_ahead("in a day$", pattern=True),),
        ),
    ),
)

_TRAFFIC = Section(
    "Traffic",
    (
        graph(
            "Requests, by the hour",
            "How many requests a second does each service get, averaged over an hour?",
            Query(expr=f"service:http_requests:avg1h{_SERVICES}", legend="{{service}}"),
            Query(
                expr=f"service:http_requests:peak_predict7d{_SERVICES}",
                legend="{{service}}, busiest hour of the coming week",
            ),
            unit=units.REQUESTS_RATE,
            overrides=(_ahead("coming week$", pattern=True),),
            empty="No service with requests",
        ),
        graph(
            "Growth in a week",
            "How many times the requests of the last week will the coming one have?",
            Query(expr=f"service:http_requests:growth7d{_SERVICES}", legend="{{service}}"),
            limit(f"max({recording('forecast_traffic:growth')}{_SERVICES})"),
            unit=units.COUNT,
            decimals=2,
            empty="Known after ten days of samples",
        ),
        table(
            "Services in a week",
            "How many requests a second had each service in the last week, how many will it have in"
            " the coming one, and in its busiest hour?",
            rows(f"service:http_requests:avg1w{_SERVICES}", ref="week"),
            rows(f"service:http_requests:predict7d{_SERVICES}", ref="next"),
            rows(f"service:http_requests:peak_predict7d{_SERVICES}", ref="peak"),
            rows(f"service:http_requests:growth7d{_SERVICES}", ref="growth"),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="Value #week", title="Last week", unit=units.REQUESTS_RATE),
                Column(source="Value #next", title="Next week", unit=units.REQUESTS_RATE),
                Column(source="Value #peak", title="Busiest hour", unit=units.REQUESTS_RATE),
                Column(
                    source="Value #growth",
                    title="Times as many",
                    decimals=2,
                    steps=(
                        (None, colours.GOOD),
                        (1.2, colours.WATCH),
                        (value("forecast_traffic:growth"), colours.BAD),
                    ),
                ),
            ),
            sort="Times as many",
            height=6,
            empty="Known after six days of samples",
        ),
    ),
)

_FAILURES = Section(
    "Failures and budgets",
    (
        states(
            "When services failed",
            "When was a service down for most of five minutes, or began again and again?",
            Query(expr=f"service:failing:bool{_SERVICES}", legend="{{service}}"),
            named=((0, "well", colours.GOOD), (1, "failing", colours.BAD)),
        ),
        table(
            "Failures",
            "How often did each service fail within a week, how long did it go without, and how"
            " probable is a failure within 48 hours?",
            rows(f"service:failures:count7d{_SERVICES}", ref="count"),
            rows(f"service:failures:mtbf_seconds7d{_SERVICES}", ref="mtbf"),
            rows(
                f"service:failures:probability48h{_SERVICES}"
                f" or 0 * service:failures:count7d{_SERVICES}",
                ref="probability",
            ),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(source="Value #count", title="Failures, 7 days", decimals=0),
                Column(
                    source="Value #mtbf",
                    title="Well between two",
                    unit=units.SECONDS,
                    decimals=1,
                ),
                Column(
                    source="Value #probability",
                    title="Within 48 h",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=(
                        (None, colours.GOOD),
                        (0.5, colours.WATCH),
                        (value("forecast_failure:ratio"), colours.BAD),
                    ),
                ),
            ),
            sort="Failures, 7 days",
            width=12,
            empty="Known after four minutes",
        ),
        graph(
            "Probability of a failure within 48 hours",
            "How probable is it that each service fails, if failures come by chance as often as in"
            " the last week?",
            Query(
                expr=f"service:failures:probability48h{_SERVICES}"
                f" or 0 * service:failures:count7d{_SERVICES}",
                legend="{{service}}",
            ),
            limit(f"max({recording('forecast_failure:ratio')}{_SERVICES})"),
            unit=units.RATIO,
            legend=("lastNotNull",),
            high=1,
            empty="Known after four minutes",
        ),
        graph(
            "Error budgets left",
            "What is left of the budgets for errors that are worst off? Below zero the promise is"
            " broken.",
            Query(
                expr=f"slo:period_error_budget_remaining:ratio{_SERVICES} and bottomk(6,"
                f" min_over_time(slo:period_error_budget_remaining:ratio{_SERVICES}[$__range]"
                " @ end()))",
                legend="{{service}} {{sloth_slo}}",
            ),
            unit=units.RATIO,
            low=None,
            legend=("lastNotNull",),
            high=1,
            links=(links.to("slo", "The promises"),),
            empty="No promise is measured for long enough yet",
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="forecast",
    title="Capacity and forecast",
    purpose="What will be full, and when; how much traffic is coming; what will probably fail.",
    variables=(
        Choice(name="instance", source="resource:saturation:ratio", title="Instance"),
        Choice(
            name="resource",
            source='resource:saturation:ratio{instance=~"$instance"}',
            title="Resource",
        ),
        Choice(name="service", source="service:failing:bool", title="Service"),
    ),
    sections=(_SUMMARY, _LIMITS, _TRAFFIC, _FAILURES),
    about='component="forecast"',
    refresh="5m",
    since="now-35d",
)
