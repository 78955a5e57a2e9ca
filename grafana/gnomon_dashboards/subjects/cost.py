"""What it costs: by the hour, since the month began, at its end; and what is paid for nothing."""

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
    styled,
    table,
    text,
)
from gnomon_dashboards.queries import Query, highest, now, rows
from gnomon_dashboards.variables import Choice

_HERE = '{instance=~"$instance"}'
_FREE = "No prices: thresholds.yml, section cost"
_BUDGET = f"({recording('cost_budget:per_month')} > 0)"
_SPENT: Steps = ((None, colours.GOOD), (0.8, colours.WATCH), (1, colours.BAD))

_SUMMARY = Section(
    "",
    (
        number(
            "An hour",
            "What does everything cost for an hour, at this moment?",
            now("cost:total:per_hour"),
            unit=units.MONEY,
            decimals=2,
            empty=_FREE,
        ),
        number(
            "24 hours",
            "What did the last day cost?",
            now("sum_over_time(cost:total:per_hour[1d:1h])"),
            unit=units.MONEY,
            decimals=2,
            empty=_FREE,
        ),
        number(
            "This month",
            "What did everything cost since the month began (UTC)?",
            now("cost:total:month_to_date"),
            unit=units.MONEY,
            decimals=2,
            empty=_FREE,
        ),
        number(
            "Month's end",
            "What will the month have cost, at the pace of the last day?",
            now("cost:total:month_forecast"),
            unit=units.MONEY,
            decimals=2,
            empty="Known after half a day with prices",
        ),
        number(
            "Of the budget",
            "How much of the month's budget will be spent?",
            now(f"cost:total:month_forecast / {_BUDGET}"),
            unit=units.RATIO,
            decimals=0,
            steps=_SPENT,
            empty="No budget: thresholds.yml, section cost",
        ),
        number(
            "Idle GPUs",
            "What is paid within a day for the time in which GPUs did nothing?",
            now("sum(instance:cost_gpu_idle:per_day)"),
            unit=units.MONEY,
            decimals=2,
            steps=(
                (None, colours.GOOD),
                (value("cost_gpu_idle:per_day") / 2, colours.WATCH),
                (value("cost_gpu_idle:per_day"), colours.BAD),
            ),
            links=(links.to("gpu", "The GPUs"),),
            empty="No GPU has a price",
        ),
    ),
)

_COURSE = Section(
    "",
    (
        graph(
            "An hour, by what is paid for",
            "What does an hour cost: machines, processors, memory, disks, GPUs?",
            Query(
                expr=f"sum by (resource) (instance_resource:cost:per_hour{_HERE})",
                legend="{{resource}}",
            ),
            unit=units.MONEY,
            decimals=2,
            stacked=True,
            empty=_FREE,
        ),
        graph(
            "An hour, and what is usual",
            "Does an hour cost more than usual? Usual is the median of four weeks.",
            Query(expr="cost:total:per_hour", legend="an hour"),
            Query(expr="cost:total:median4w", legend="usual"),
            limit(f"cost:total:median4w * {recording('cost_spike:ratio')}"),
            unit=units.MONEY,
            decimals=2,
            overrides=(
                coloured("an hour", colours.MOST),
                coloured("usual", colours.FAINT),
                styled(
                    "usual",
                    custom__fillOpacity=0,
                    custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                ),
            ),
            empty=_FREE,
        ),
        graph(
            "The month, its forecast and its budget",
            "What has been spent since the month began, what will it be at its end, and what may it"
            " be?",
            Query(expr="cost:total:month_to_date", legend="spent"),
            Query(expr="cost:total:month_forecast", legend="at its end"),
            limit(f"{_BUDGET}", "alert at the budget"),
            unit=units.MONEY,
            height=9,
            overrides=(
                coloured("spent", colours.MOST),
                coloured("at its end", colours.FAINT),
                styled(
                    "at its end",
                    custom__fillOpacity=0,
                    custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                ),
            ),
            empty=_FREE,
        ),
        graph(
            "An hour, by service",
            "What does each service cost an hour, by the processor time that its processes use?",
            Query(expr=highest("service:cost:per_hour"), legend="{{service}}"),
            unit=units.MONEY,
            height=9,
            decimals=3,
            stacked=True,
            links=(links.to("service", "The service", service=links.label("service")),),
            empty="No service runs on a machine that has a price",
        ),
    ),
)

_WHO = Section(
    "Machines and services",
    (
        table(
            "Machines",
            "What does each machine cost, by the hour and since the month began, and what of that"
            " is for idle GPUs?",
            rows(f"instance:cost:per_hour{_HERE}", ref="hour"),
            rows(f"instance:cost:month_to_date{_HERE}", ref="month"),
            rows(f"instance:cost_gpu_idle:per_day{_HERE}", ref="idle"),
            rows(
                f"avg_over_time(instance:node_cpu_utilisation:ratio_rate5m{_HERE}[1d])", ref="cpu"
            ),
            columns=(
                Column(
                    source="instance",
                    title="Machine",
                    link=(links.to("host", "The machine", instance=links.column("Machine")),),
                ),
                Column(
                    source="Value #hour", title="An hour", unit=units.MONEY, decimals=2, width=110
                ),
                Column(
                    source="Value #month",
                    title="This month",
                    unit=units.MONEY,
                    decimals=2,
                    width=120,
                ),
                Column(
                    source="Value #idle",
                    title="Idle GPUs, a day",
                    unit=units.MONEY,
                    decimals=2,
                    width=140,
                ),
                Column(
                    source="Value #cpu",
                    title="Processors used, 24 h",
                    unit=units.RATIO,
                    decimals=0,
                    bar=True,
                    high=1,
                    steps=((None, colours.PLAIN),),
                ),
            ),
            sort="This month",
            width=14,
            empty=_FREE,
        ),
        table(
            "Services",
            "What does each service cost, by the hour and since the month began?",
            rows("service:cost:per_hour", ref="hour"),
            rows("service:cost:month_to_date", ref="month"),
            columns=(
                Column(
                    source="service",
                    title="Service",
                    link=(links.to("service", "The service", service=links.column("Service")),),
                ),
                Column(
                    source="Value #hour", title="An hour", unit=units.MONEY, decimals=3, width=120
                ),
                Column(
                    source="Value #month",
                    title="This month",
                    unit=units.MONEY,
                    decimals=2,
                    width=120,
                ),
            ),
            sort="This month",
            width=10,
            empty="No service runs on a machine that has a price",
        ),
        graph(
            "Paid for idle GPUs",
            "What is paid within a day for the time in which the GPUs of each machine did nothing?",
            Query(expr=f"instance:cost_gpu_idle:per_day{_HERE}", legend="{{instance}}"),
            limit(f"max({recording('cost_gpu_idle:per_day')}{_HERE})"),
            unit=units.MONEY,
            decimals=2,
            width=14,
            links=(links.to("gpu", "The GPUs", instance=links.label("instance")),),
            empty="No GPU has a price",
        ),
        text(
            "Where prices stand",
            "What do these numbers follow from?",
            "Prices are what you say they are: `prometheus/thresholds.yml`, section `cost`, in"
            " whatever currency you pay in. Then run `make rules`.\n\n"
            "- A machine costs what it **has**, not what it uses.\n"
            "- A service's part is its part of its machines' processor time, so services together"
            " cost less than the machines: the rest is idle.\n"
            "- What has no price costs nothing here, and an hour that was not measured is not"
            " counted.\n"
            "- Months are UTC's.",
            width=10,
        ),
    ),
)

DASHBOARD = Dashboard(
    subject="cost",
    title="Cost",
    purpose="What it costs by the hour and the month, whether it stays within its budget, and what"
    " is paid for nothing.",
    variables=(Choice(name="instance", source="node_uname_info", title="Machine"),),
    sections=(_SUMMARY, _COURSE, _WHO),
    about='component="cost"',
    refresh="5m",
    since="now-35d",
)
