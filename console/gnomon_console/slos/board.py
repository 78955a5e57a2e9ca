"""What the page of objectives asks: the recordings of ``prometheus/rules/slo.yml``."""

from typing import Any

from gnomon_console.boards import Board, parsed
from gnomon_dashboards import colours, links, objectives, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.panels import Column, graph, styled, table, words
from gnomon_dashboards.queries import Query, rows
from gnomon_dashboards.variables import Choice

_WHICH = 'service=~"$service", sloth_id=~"$objective"'
_LEFT = f"slo:period_error_budget_remaining:ratio{{{_WHICH}}}"
_NONE = "No objective is set yet: a file in prometheus/slo/ and `make rules` make one"
_YOUNG = "Nothing has been measured yet: the first budget is known after five minutes"

#: What stands in the place of a date, for there is none.
LASTS, USED_UP = -1, -2

#: When the budget is used up, in milliseconds of Unix time, as dates are counted.
_FORECAST = (
    f"{_LEFT} * 0 + {USED_UP} and {_LEFT} <= 0"
    f" or 1000 * (time() + slo:error_budget_exhaustion:seconds{{{_WHICH}}})"
    f" or {_LEFT} * 0 + {LASTS}"
)


def _each(expr: str, ref: str) -> Query:
    return rows(f"max by (service, sloth_id, sloth_slo) ({expr})", ref=ref)


_OBJECTIVES = table(
    "Objectives",
    "Which promises are in danger? Kept: the share of good events over the promise's whole period."
    " Burn 1 is just as fast as the promise allows, over each window. Used up on: at the pace of"
    " the last six hours. A click opens the dashboard of that objective.",
    _each(f"slo:objective:ratio{{{_WHICH}}}", "promised"),
    _each(
        f"1 - slo:period_burn_rate:ratio{{{_WHICH}}} * slo:error_budget:ratio{{{_WHICH}}}", "kept"
    ),
    _each(f"1 - slo:sli_error:ratio_rate5m{{{_WHICH}}}", "now"),
    _each(_LEFT, "left"),
    *(
        _each(
            f"slo:sli_error:ratio_rate{window}{{{_WHICH}}} / slo:error_budget:ratio{{{_WHICH}}}",
            f"w{window}",
        )
        for window in ("5m", "1h", "6h")
    ),
    _each(_FORECAST, "gone"),
    columns=(
        Column(
            source="sloth_slo",
            title="Objective",
            width=190,
            link=(objectives.LINK,),
        ),
        Column(
            source="Value #left",
            title="Budget left",
            unit=units.RATIO,
            decimals=1,
            steps=objectives.BUDGET,
            bar=True,
            high=1,
            width=150,
        ),
        Column(
            source="Value #gone",
            title="Used up on",
            unit=units.DATE,
            steps=((None, colours.GOOD), (0, colours.WATCH)),
            mappings=(words((LASTS, "lasts", colours.GOOD), (USED_UP, "is used up", colours.BAD)),),
            width=140,
        ),
        *(objectives.burn(window, 86) for window in ("5m", "1h", "6h")),
        Column(source="Value #now", title="Good now", unit=units.RATIO, decimals=2, width=100),
        Column(source="Value #kept", title="Kept", unit=units.RATIO, decimals=3, width=100),
        Column(source="Value #promised", title="Promised", unit=units.RATIO, decimals=2, width=100),
        Column(
            source="service",
            title="Service",
            link=(links.to("service", "The service", service=links.column("service")),),
        ),
        Column(source="sloth_id", title="Name", hidden=True),
    ),
    sort="Budget left",
    ascending=True,
    width=24,
    height=12,
    empty=_NONE,
)

_FIRING = table(
    "Firing now",
    "Which alerts about objectives fire? A click opens what to do about it.",
    rows(
        "max by (alertname, severity, service, sloth_slo, sloth_id)"
        f' (ALERTS{{alertstate="firing", alertname=~"SLO.+", {_WHICH}}})'
    ),
    columns=(
        Column(
            source="alertname",
            title="Alert",
            width=200,
            link=({"title": "Runbook", "url": f"/runbooks/slo/{links.column('alertname')}"},),
        ),
        Column(source="severity", title="Severity", width=100),
        Column(source="service", title="Service", width=120),
        Column(
            source="sloth_slo",
            title="Objective",
            link=(objectives.LINK,),
        ),
        Column(source="sloth_id", title="Name", hidden=True),
    ),
    width=24,
    height=5,
    empty="No alert about these objectives fires",
)

_OVER_TIME = graph(
    "Budget left, alerts and deploys",
    "How did each budget shrink, and what happened then? Red: an alert about it fired; blue: a new"
    " version of its service came. Below zero the promise is broken. A click on a line opens the"
    " dashboard of its objective.",
    Query(
        expr=f"max by (service, sloth_id, sloth_slo) (clamp_min({_LEFT}, -1))",
        legend="{{service}}: {{sloth_slo}}",
    ),
    unit=units.RATIO,
    low=None,
    high=1,
    filled=0,
    legend=("lastNotNull", "min"),
    overrides=(
        styled(
            ".*",
            pattern=True,
            links=[
                links.to(
                    "slo",
                    "This objective",
                    service=links.label("service"),
                    objective=links.label("sloth_id"),
                )
            ],
        ),
    ),
    width=24,
    height=14,
    empty=_YOUNG,
)


def _events() -> list[dict[str, Any]]:
    """Return alerts and deploys, so asked for that none falls between two points of a month."""
    versions = "count by (service, service_version) (last_over_time("
    versions += 'target_info{service=~"$service"}'
    return [
        {
            "name": "Alerts",
            "enable": True,
            "iconColor": colours.BAD,
            "expr": f'last_over_time(ALERTS{{alertstate="firing", alertname=~"SLO.+", {_WHICH}}}'
            "[$__rate_interval])",
            "titleFormat": "{{alertname}}: {{sloth_slo}}",
        },
        {
            "name": "Deploys",
            "enable": True,
            "iconColor": colours.PLAIN,
            "expr": f"{versions}[$__rate_interval]))"
            f" unless {versions}[1h] offset $__rate_interval))",
            "titleFormat": "{{service}} {{service_version}}",
        },
    ]


def board() -> Board:
    """Return the objectives: a table of them all, their alerts, and their budgets over time."""
    made = _dashboard()
    for panel in made["panels"]:
        if panel["title"] == _OVER_TIME.title:
            # Half an hour of a month: an alert is not to be over before it is seen.
            panel["maxDataPoints"] = 1440
    return parsed({**made, "annotations": {"list": _events()}})


def _dashboard() -> dict[str, Any]:
    return Dashboard(
        subject="objectives",
        title="SLOs",
        purpose="Promises to users: how well each is kept, what is left of its error budget, how"
        " fast it burns, and when it will be gone.",
        variables=(
            Choice(name="service", source="slo:objective:ratio", title="Service"),
            Choice(
                name="objective",
                source='slo:objective:ratio{service=~"$service"}',
                title="Objective",
                label="sloth_id",
            ),
        ),
        sections=(Section("", (_OBJECTIVES, _OVER_TIME, _FIRING)),),
        about=None,
        refresh="30s",
        since="now-30d",
    ).json()
