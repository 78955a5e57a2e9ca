"""Promises to users: how well each is kept, how fast its budget burns, when it will be gone."""

from gnomon_dashboards import colours, links, objectives, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import value
from gnomon_dashboards.panels import (
    PLAIN,
    Column,
    coloured,
    graph,
    limit,
    number,
    states,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, now, rows
from gnomon_dashboards.variables import Choice

_ALL = '{service=~"$service"}'
_ONE = '{service=~"$service", sloth_id="$objective"}'
_NONE = "No objective is set: prometheus/slo/ is where they stand"
_LASTS = "It lasts at this pace"

_SUMMARY = Section(
    "",
    (
        number(
            "Objectives",
            "How many promises are watched?",
            now(f"count(slo:objective:ratio{_ALL})"),
            unit=units.WHOLE,
            empty=_NONE,
        ),
        number(
            "Used up",
            "Of how many is the error budget used up?",
            now(f"count(slo:period_error_budget_remaining:ratio{_ALL} <= 0) or vector(0)"),
            unit=units.WHOLE,
            steps=((None, colours.GOOD), (1, colours.BAD)),
        ),
        number(
            "Too fast",
            "How many burn faster than their period allows, over the last hour?",
            now(
                f"count(slo:sli_error:ratio_rate1h{_ALL} > slo:error_budget:ratio{_ALL})"
                " or vector(0)"
            ),
            unit=units.WHOLE,
            steps=((None, colours.GOOD), (1, colours.WATCH)),
        ),
        number(
            "Least left",
            "How much is left of the budget that is nearest to its end?",
            now(f"min(slo:period_error_budget_remaining:ratio{_ALL})"),
            unit=units.RATIO,
            decimals=1,
            steps=objectives.BUDGET,
            empty=_NONE,
        ),
        number(
            "Fastest burn",
            "How many times faster than allowed does the fastest of them burn, over five minutes?",
            now(f"max(slo:current_burn_rate:ratio{_ALL})"),
            unit=units.COUNT,
            decimals=1,
            steps=objectives.BURN,
            empty=_NONE,
        ),
        number(
            "First gone in",
            "When is the first budget used up, at the pace of the last six hours?",
            now(f"min(slo:error_budget_exhaustion:seconds{_ALL})"),
            unit=units.SECONDS,
            decimals=1,
            steps=(
                (None, colours.BAD),
                (86400, colours.WATCH),
                (value("slo_budget_forecast:seconds"), colours.GOOD),
            ),
            empty="All last at this pace",
        ),
    ),
)


def _of_all(metric: str, ref: str) -> Query:
    return rows(f"max by (service, sloth_id) ({metric}{_ALL})", ref=ref)


_EVERY = Section(
    "",
    (
        table(
            "All objectives",
            "Which promises are in danger? Click on one to see it below. Burn 1 is just as much as"
            " the promise allows, over each window.",
            rows(
                f"max by (service, sloth_id, sloth_description) (sloth_slo_info{_ALL})", ref="info"
            ),
            _of_all("slo:objective:ratio", "promised"),
            _of_all("slo:period_error_budget_remaining:ratio", "left"),
            *(
                rows(
                    f"max by (service, sloth_id) (slo:sli_error:ratio_rate{window}{_ALL}"
                    f" / slo:error_budget:ratio{_ALL})",
                    ref=f"w{window}",
                )
                for window in ("5m", "1h", "6h", "1d", "3d")
            ),
            _of_all("slo:error_budget_exhaustion:seconds", "gone"),
            _of_all("slo:sli_total:rate5m", "events"),
            columns=(
                Column(
                    source="sloth_id",
                    title="Objective",
                    width=230,
                    link=(objectives.LINK,),
                ),
                Column(
                    source="service",
                    title="Service",
                    width=110,
                    link=(links.to("service", "The service", service=links.column("service")),),
                ),
                Column(source="sloth_description", title="Promise"),
                Column(
                    source="Value #promised",
                    title="Promised",
                    unit=units.RATIO,
                    decimals=2,
                    width=90,
                ),
                Column(
                    source="Value #events",
                    title="Events",
                    unit=units.EVENTS_RATE,
                    decimals=2,
                    width=90,
                ),
                *(objectives.burn(window, 80) for window in ("5m", "1h", "6h", "1d", "3d")),
                Column(
                    source="Value #left",
                    title="Budget left",
                    unit=units.RATIO,
                    decimals=1,
                    steps=objectives.BUDGET,
                    bar=True,
                    high=1,
                    width=190,
                ),
                Column(
                    source="Value #gone", title="Gone in", unit=units.SECONDS, decimals=1, width=100
                ),
            ),
            sort="Budget left",
            ascending=True,
            height=11,
            empty=_NONE,
        ),
    ),
)

_FIRST = Section(
    "Objective: $objective",
    (
        number(
            "Promised",
            "Which share of the events shall be good?",
            now(f"slo:objective:ratio{_ONE}"),
            unit=units.RATIO,
            decimals=2,
            steps=PLAIN,
            empty=_NONE,
        ),
        number(
            "Kept",
            "Which share of the events was good, over the promise's whole period?",
            now(f"1 - slo:period_burn_rate:ratio{_ONE} * slo:error_budget:ratio{_ONE}"),
            unit=units.RATIO,
            decimals=3,
            steps=PLAIN,
            empty="Nothing happened yet",
        ),
        number(
            "Budget left",
            "How much of what may fail within the period is left?",
            now(f"slo:period_error_budget_remaining:ratio{_ONE}"),
            unit=units.RATIO,
            decimals=1,
            steps=objectives.BUDGET,
            empty="Nothing happened yet",
        ),
        number(
            "Burns",
            "How many times faster than allowed does it burn, over five minutes?",
            now(f"slo:current_burn_rate:ratio{_ONE}"),
            unit=units.COUNT,
            decimals=1,
            steps=objectives.BURN,
            empty="Nothing happened within five minutes",
        ),
        number(
            "Used up on",
            "When is the budget gone, at the pace of the last six hours?",
            now(f"1000 * (time() + slo:error_budget_exhaustion:seconds{_ONE})"),
            unit=units.DATE,
            steps=((None, colours.WATCH),),
            empty=_LASTS,
        ),
        number(
            "Bad events",
            "How many events were bad within the last hour?",
            now(f"slo:sli_bad:increase1h{_ONE}"),
            unit=units.COUNT,
            decimals=0,
            steps=((None, colours.GOOD), (1, colours.WATCH)),
            empty="Nothing happened within an hour",
        ),
    ),
)

_ALERTS = ("SLOFastBurn", "SLOSlowBurn", "SLOBudgetExhausted", "SLOBudgetForecast")


def _states() -> str:
    """Return 2 for an alert that fires, 1 for one that waits for its time, 0 for the others."""
    which = 'service=~"$service", sloth_id="$objective"'
    silent = (
        f'label_replace(0 * slo:objective:ratio{_ONE}, "alertname", "{name}", "", "")'
        for name in _ALERTS
    )
    return " or ".join(
        (
            f'2 * ALERTS{{alertstate="firing", {which}}}',
            f'ALERTS{{alertstate="pending", {which}}}',
            *silent,
        )
    )


_DRILL = Section(
    "",
    (
        graph(
            "Budget left, over 30 days",
            "How did the error budget go down, and which days took most of it?",
            Query(expr=f"slo:period_error_budget_remaining:ratio{_ONE}", legend="left"),
            limit("vector(0)", "alert at 0"),
            unit=units.RATIO,
            span="30d",
            low=None,
            high=1,
            filled=20,
            legend=(),
            overrides=(coloured("left", colours.GOOD),),
            empty="Nothing happened yet",
        ),
        graph(
            "Burn, by window",
            "How many times faster than allowed does the budget burn? An alert needs a long and a"
            " short window above its line; 1 is just as fast as promised.",
            *(
                Query(
                    expr=f"slo:sli_error:ratio_rate{window}{_ONE} / slo:error_budget:ratio{_ONE}",
                    legend=window,
                )
                for window in ("5m", "1h", "6h", "1d", "3d")
            ),
            limit(f"slo:time_period:days{_ONE} * 24 * 0.02", "alert at 5m and 1h"),
            limit(f"slo:time_period:days{_ONE} * 4 * 0.05", "alert at 30m and 6h"),
            limit(f"slo:time_period:days{_ONE} * 0.1", "alert at 2h and 1d"),
            unit=units.COUNT,
            filled=0,
            overrides=(
                coloured("5m", colours.MEDIAN),
                coloured("1h", colours.MOST),
                coloured("6h", colours.NEARLY_ALL),
                coloured("1d", colours.WATCH),
                coloured("3d", colours.FAINT),
            ),
            legend=(),
            empty="Nothing happened yet",
        ),
        graph(
            "Good events",
            "Which share of the events is good, over five minutes and over an hour?",
            Query(expr=f"1 - slo:sli_error:ratio_rate5m{_ONE}", legend="5 min"),
            Query(expr=f"1 - slo:sli_error:ratio_rate1h{_ONE}", legend="1 hour"),
            Query(expr=f"slo:objective:ratio{_ONE}", legend="promised"),
            unit=units.RATIO,
            low=None,
            high=1,
            filled=0,
            overrides=(
                coloured("5 min", colours.MEDIAN),
                coloured("1 hour", colours.MOST),
                styled(
                    "promised",
                    color={"mode": "fixed", "fixedColor": colours.FAINT},
                    custom__lineStyle={"fill": "dash", "dash": [8, 8]},
                ),
            ),
            legend=("lastNotNull", "min"),
            empty="Nothing happened yet",
        ),
        graph(
            "Events",
            "How many events are there each second, and how many of them are bad?",
            Query(expr=f"slo:sli_total:rate5m{_ONE} - slo:sli_bad:rate5m{_ONE}", legend="good"),
            Query(expr=f"slo:sli_bad:rate5m{_ONE}", legend="bad"),
            unit=units.EVENTS_RATE,
            stacked=True,
            overrides=(coloured("good", colours.GOOD), coloured("bad", colours.BAD)),
            empty="Nothing happened yet",
        ),
        states(
            "Alerts of this objective",
            "When did its alerts wait, and when did they fire?",
            Query(expr=f"max by (alertname) ({_states()})", legend="{{alertname}}"),
            named=(
                (0, "silent", colours.GOOD),
                (1, "waits", colours.WATCH),
                (2, "fires", colours.BAD),
            ),
            width=24,
            height=5,
            empty=_NONE,
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="slo",
    title="Objectives",
    purpose="Promises to users: how well each is kept, what is left of its error budget, how fast"
    " it burns, and when it will be gone.",
    variables=(
        Choice(name="service", source="slo:objective:ratio", title="Service"),
        Choice(
            name="objective",
            source='slo:objective:ratio{service=~"$service"}',
            title="Objective",
            label="sloth_id",
            one=True,
        ),
    ),
    sections=(_SUMMARY, _EVERY, _FIRST, _DRILL),
    about='service=~"$service", component="slo"',
    deploys='service=~"$service"',
    since="now-6h",
)
