"""What is unusual for this hour of the week: each signal in the band that it has learned."""

from dataclasses import replace

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import value
from gnomon_dashboards.panels import (
    NONE_IS_GOOD,
    Column,
    Panel,
    graph,
    heatmap,
    number,
    states,
    styled,
    table,
    words,
)
from gnomon_dashboards.queries import Query, now, rows
from gnomon_dashboards.variables import Choice, Options

_NONE = "No signal of this kind"

#: Signals of a service, by what they are of: one cache or queue at a time, or the service itself.
_OF = 'service=~"$service", queue=~"$queue|", cache=~"$cache|", tier=~"$tier|"'
_CHOSEN = f'{{anomaly_name=~"$anomaly_name", {_OF}}}'
_SERVICE = '{service=~"$service"}'

_SIGNAL = "{{anomaly_name}} {{queue}}{{cache}} {{tier}}"
_DISTANCE = "((anomaly:level:last5m - anomaly:baseline:median3w) / (anomaly:width:max > 0))"

_STATES = (
    (0, "as usual", colours.GOOD),
    (1, "learning", colours.FAINT),
    (2, "above its band", colours.BAD),
    (3, "below its band", colours.WATCH),
    (4, "left out", colours.PLAIN),
)


def _state(matchers: str) -> str:
    """Return in which of _STATES each signal is, by the first that holds."""
    return (
        f"0 * (threshold:anomaly_watched:switch{matchers} == 0) + 4"
        f" or 0 * anomaly:level:above_band{matchers} + 2"
        f" or 0 * anomaly:level:below_band{matchers} + 3"
        f" or 0 * (anomaly:level:last5m{matchers} unless anomaly:baseline:median3w{matchers}) + 1"
        f" or 0 * anomaly:level:last5m{matchers}"
    )


def _band(
    signal: str, title: str, question: str, unit: str, *, high: float | None = None, width: int = 12
) -> Panel:
    """Return one signal's level in its band."""
    chosen = f'{{anomaly_name="{signal}", {_OF}}}'
    return graph(
        title,
        question,
        # Not what stands in until three weeks are there: far off, it would rule the axis.
        Query(
            expr=f"max(anomaly:band:upper{chosen} and anomaly:baseline:median3w{chosen})",
            legend="the most that is usual",
        ),
        Query(expr=f"max(anomaly:band:lower{chosen})", legend="the least that is usual"),
        Query(expr=f"max(anomaly:baseline:median3w{chosen})", legend="usual"),
        Query(expr=f"max(anomaly:level:last5m{chosen})", legend="now"),
        unit=unit,
        high=high,
        width=width,
        legend=(),
        overrides=(
            styled(
                "the most that is usual",
                color={"mode": "fixed", "fixedColor": colours.GOOD},
                custom__fillBelowTo="the least that is usual",
                custom__fillOpacity=15,
                custom__gradientMode="none",
                custom__lineWidth=0,
            ),
            styled(
                "the least that is usual",
                color={"mode": "fixed", "fixedColor": colours.GOOD},
                custom__fillOpacity=0,
                custom__lineWidth=0,
            ),
            styled(
                "usual",
                color={"mode": "fixed", "fixedColor": colours.FAINT},
                custom__fillOpacity=0,
                custom__lineStyle={"fill": "dash", "dash": [6, 6]},
            ),
            styled(
                "now",
                color={"mode": "fixed", "fixedColor": colours.MOST},
                custom__fillOpacity=0,
                custom__lineWidth=2,
            ),
        ),
        empty=_NONE,
    )


_SUMMARY = Section(
    "",
    (
        number(
            "Unusual, all",
            "How many signals of all services are outside of their bands?",
            now("sum(service:anomalies:count) or 0 * sum(service:signals:count)"),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            empty="No service has a signal yet",
        ),
        number(
            "Unusual here",
            "How many signals of the service chosen are outside of their bands?",
            now(
                f"sum(service:anomalies:count{_SERVICE})"
                f" or 0 * sum(service:signals:count{_SERVICE})"
            ),
            unit=units.WHOLE,
            steps=(
                (None, colours.GOOD),
                (1, colours.WATCH),
                (value("anomaly_storm:signals") + 1, colours.BAD),
            ),
            empty="This service has no signal yet",
        ),
        number(
            "Storms",
            "Of how many services are so many signals unusual at once that it is one piece of"
            " news?",
            now(
                "count(service:anomalies:count > threshold:anomaly_storm:signals)"
                " or 0 * sum(service:signals:count)"
            ),
            unit=units.WHOLE,
            steps=NONE_IS_GOOD,
            empty="No service has a signal yet",
        ),
        number(
            "Watched",
            "How many signals of all services are compared?",
            now("count(threshold:anomaly_watched:switch > 0)"),
            unit=units.WHOLE,
            empty="No service has a signal yet",
        ),
        number(
            "Learning",
            "For how many signals do three weeks' samples not stand yet, so that a fixed number"
            " stands in?",
            now(
                "count(anomaly:level:last5m unless anomaly:baseline:median3w)"
                " or 0 * count(anomaly:level:last5m)"
            ),
            unit=units.WHOLE,
            empty="No service has a signal yet",
        ),
        number(
            "Left out",
            "How many signals are drawn, and nobody is told of them, by a switch in"
            " thresholds.yml?",
            now(
                "count(threshold:anomaly_watched:switch == 0)"
                " or 0 * count(threshold:anomaly_watched:switch)"
            ),
            unit=units.WHOLE,
            empty="No service has a signal yet",
        ),
    ),
)

_BANDS = Section(
    "",
    (
        _band(
            "traffic",
            "Traffic in its band",
            "Does the service get as many requests as it usually does at this hour of the week?",
            units.REQUESTS_RATE,
        ),
        _band(
            "latency",
            "Latency in its band",
            "Does the service take as long as usual? 95 of 100 requests are faster.",
            units.SECONDS,
        ),
        _band(
            "error_ratio",
            "Errors in their band",
            "Does the service fail no more often than usual?",
            units.RATIO,
            width=8,
        ),
        _band(
            "queue_depth",
            "Queue in its band",
            "Do no more items wait in the queue chosen than usual?",
            units.COUNT,
            width=8,
        ),
        _band(
            "hit_ratio",
            "Cache in its band",
            "Does the cache chosen answer as much as usual?",
            units.RATIO,
            width=8,
            high=1,
        ),
        graph(
            "How far from usual",
            "How far is each signal of the service from what is usual, in half widths of its band?"
            " Beyond 1 it is outside.",
            Query(
                expr=f"(anomaly:level:last5m{_SERVICE} - anomaly:baseline:median3w{_SERVICE})"
                f" / (anomaly:width:max{_SERVICE} > 0)",
                legend=_SIGNAL,
            ),
            Query(expr="vector(1)", legend="edge of the band"),
            Query(expr="vector(-1)", legend="the other edge"),
            unit=units.COUNT,
            low=None,
            legend=(),
            overrides=(
                styled(
                    "edge",
                    pattern=True,
                    color={"mode": "fixed", "fixedColor": colours.FAINT},
                    custom__fillOpacity=0,
                    custom__lineStyle={"fill": "dash", "dash": [8, 8]},
                ),
            ),
            empty="Known after three weeks",
        ),
        states(
            "When it was unusual",
            "When was each signal of the service outside of its band?",
            Query(
                expr=_state(_SERVICE),
                legend=_SIGNAL,
            ),
            named=_STATES,
            empty="This service has no signal yet",
        ),
    ),
)

_SIGNALS = Section(
    "All signals",
    (
        table(
            "Signals",
            "In which state is each signal of each service, and what is usual for it at this hour"
            " of the week?",
            rows(_state(""), ref="state"),
            rows("anomaly:level:last5m", ref="level"),
            rows("anomaly:baseline:median3w", ref="usual"),
            rows("anomaly:band:lower", ref="from"),
            rows("anomaly:band:upper", ref="to"),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("anomaly", "Its signals", service=links.column("Service")),),
                ),
                Column(source="anomaly_name", title="Signal"),
                Column(source="queue", title="Queue"),
                Column(source="cache", title="Cache"),
                Column(source="tier", title="Tier", width=60),
                Column(
                    source="Value #state",
                    title="State",
                    width=140,
                    mappings=(words(*_STATES),),
                    steps=((None, colours.GOOD),),
                ),
                Column(source="Value #level", title="Now", unit=units.COUNT, width=100),
                Column(source="Value #usual", title="Usual", unit=units.COUNT, width=100),
                Column(source="Value #from", title="From", unit=units.COUNT, width=100),
                Column(source="Value #to", title="To", unit=units.COUNT, width=100),
            ),
            sort="State",
            height=10,
            empty="No service has a signal yet",
        ),
        graph(
            "Furthest from usual",
            "Which signals of all services are furthest from what is usual, in half widths of their"
            " bands? Beyond 1, or below -1, they are outside.",
            Query(
                expr=f"{_DISTANCE}"
                f" and topk(6, max_over_time(abs({_DISTANCE})[$__range:1h] @ end()))",
                legend=f"{{{{service}}}} {_SIGNAL}",
            ),
            unit=units.COUNT,
            decimals=1,
            low=None,
            legend=(),
            empty="Known after three weeks",
        ),
        graph(
            "Unusual signals by service",
            "How many signals of each service were unusual at the same time?",
            Query(expr="service:anomalies:count", legend="{{service}}"),
            unit=units.COUNT,
            decimals=0,
            bars=True,
            stacked=True,
            legend=(),
            empty="Nothing was unusual",
        ),
    ),
)

#: Of the week, as Prometheus counts its days.
_WEEK = (
    (1, "Monday"),
    (2, "Tuesday"),
    (3, "Wednesday"),
    (4, "Thursday"),
    (5, "Friday"),
    (6, "Saturday"),
    (0, "Sunday"),
)


#: The hour and the day that an average of the hour before is about. Hours have two digits, for
#: they are put in order as words.
_THEN = "vector(time() - 1800)"
_LEVEL = (
    f"avg(avg_over_time(anomaly:level:last5m{_CHOSEN}[1h]))"
    f' * on () group_left (hour) count_values("hour", hour({_THEN}))'
)


def _two_digits(expr: str) -> str:
    return f'label_replace({expr}, "hour", "0$1", "hour", "(.)")'


def _by_hour(weekday: int) -> str:
    """Return a signal's averages by hour of one day of the week, over the last three weeks."""
    day = f"and on () day_of_week({_THEN}) == {weekday}"
    return _two_digits(f"avg_over_time(({_LEVEL} {day})[3w:1h])")


def _week() -> Panel:
    """Return the hours of the week as a table whose cells are darker where a signal is higher."""
    panel = table(
        "A usual week",
        "At which hours of which days is the signal chosen high? Averages of the last three weeks,"
        " hours in UTC.",
        *(rows(_by_hour(weekday), ref=name) for weekday, name in _WEEK),
        columns=(
            Column(source="hour", title="Hour", width=70),
            *(Column(source=f"Value #{name}", title=name[:3]) for _, name in _WEEK),
        ),
        sort="Hour",
        ascending=True,
        width=12,
        height=26,
        unit=units.COUNT,
        empty="Known after an hour",
    )
    shade = styled(
        "^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)$",
        pattern=True,
        color={"mode": "continuous-BlPu"},
        custom__align="center",
        custom__minWidth=45,
        custom__displayMode="color-background-solid",
    )
    return replace(panel, overrides=(*panel.overrides, shade))


_HOURS = Section(
    "Hours of the week",
    (
        _week(),
        heatmap(
            "Five weeks, hour by hour",
            "How high was the signal chosen in each hour (UTC) of each day? A day that differs"
            " stands out as a column, an hour that is always busy as a line.",
            Query(
                # All of the day that begins then, and no hour twice.
                expr=_two_digits(f"avg_over_time(({_LEVEL})[86399s:1h] offset -1d)"),
                legend="{{hour}}",
                least="1d",
            ),
            unit=units.WHOLE,
            cells=units.COUNT,
            span="35d",
            width=12,
            height=26,
            empty="Known after an hour",
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="anomaly",
    title="Anomalies",
    purpose="What is unusual for this hour of the week, and how far from usual it is.",
    variables=(
        # Whoever has queues or caches alone is reached by a click in the table of signals.
        Choice(
            name="service",
            source='anomaly:level:last5m{anomaly_name="traffic"}',
            title="Service",
            one=True,
        ),
        Choice(
            name="queue",
            source='anomaly:level:last5m{service=~"$service"}',
            title="Queue",
            one=True,
        ),
        Choice(
            name="cache",
            source='anomaly:level:last5m{service=~"$service"}',
            title="Cache",
            one=True,
        ),
        Choice(
            name="tier",
            source='anomaly:level:last5m{service=~"$service", cache=~"$cache"}',
            title="Tier",
            one=True,
        ),
        Options(
            name="anomaly_name",
            title="Signal by hour",
            values=(
                ("traffic", "traffic"),
                ("latency", "latency"),
                ("errors", "error_ratio"),
                ("queue", "queue_depth"),
                ("cache", "hit_ratio"),
            ),
        ),
    ),
    sections=(_SUMMARY, _BANDS, _SIGNALS, _HOURS),
    about='component="anomaly", service=~"$service"',
    deploys='service=~"$service"',
    refresh="1m",
    since="now-7d",
)
