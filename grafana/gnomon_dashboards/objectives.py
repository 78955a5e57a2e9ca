"""What is shown of objectives wherever they stand: when a budget and its burn are bad."""

from gnomon_dashboards import colours, links, units
from gnomon_dashboards.limits import value
from gnomon_dashboards.panels import Column, Steps

#: A budget is bad once it is used up, and worth a look below what SLOBudgetForecast looks at.
BUDGET: Steps = (
    (None, colours.BAD),
    (0.0001, colours.WATCH),
    (value("slo_budget_forecast:ratio") / 3, colours.GOOD),
)
#: 1 is as fast as promised; from 14.4 on, for a promise over 30 days, somebody is woken.
BURN: Steps = ((None, colours.GOOD), (1, colours.WATCH), (14.4, colours.BAD))

#: From a row of a table to the dashboard of its objective.
LINK = links.to(
    "slo",
    "This objective",
    service=links.column("service"),
    objective=links.column("sloth_id"),
)


def burn(window: str, width: int) -> Column:
    """Return the column of the burn over a window: the value of the query named ``wWINDOW``."""
    return Column(
        source=f"Value #w{window}",
        title=f"Burn {window}",
        unit=units.COUNT,
        decimals=1,
        steps=BURN,
        width=width,
    )
