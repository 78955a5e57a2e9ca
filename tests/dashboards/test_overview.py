"""The overview's ways out: each alert leads to a page that there is, and that knows its choices."""

import re

import pytest

from dashboards import asked
from gnomon_dashboards import catalogue
from gnomon_dashboards.subjects import overview
from rulebook import ALERTS


def _page(component):
    """Return the page's word, as the overview's query finds it."""
    found = component
    for page, components in overview.PAGES:
        if re.fullmatch(components, component):
            found = page
    return found


@pytest.mark.parametrize(
    "alert",
    [alert for alert in ALERTS if alert.labels["severity"] != "none"],
    ids=lambda alert: alert.name,
)
def test_an_alert_leads_to_a_dashboard(alert):
    """Its component is a dashboard's own word, or is listed with the page that explains it."""
    assert _page(alert.labels["component"]) in catalogue.SUBJECTS


def test_no_component_has_two_pages():
    """Which one would win depends on the order."""
    components = [one for _, listed in overview.PAGES for one in listed.split("|")]
    assert sorted(set(components)) == sorted(components)


def test_the_query_of_alerts_names_every_page():
    """The table is sorted by severity, and a click finds its page in a column that is not shown."""
    board = asked.dashboard(asked.FOLDER / "overview.json")
    [panel] = [panel for panel in asked.panels(board) if panel["title"] == "What is wrong now"]
    for target in panel["targets"][:-1]:  # the last is there to be answered, nothing else
        for page, components in overview.PAGES:
            assert f'"page", "{page}", "component", "{components}"' in target["expr"]
    [include] = [
        step["options"]["include"]["names"]
        for step in panel["transformations"]
        if step["id"] == "filterFieldsByName"
    ]
    assert {"page", "at", "objective"} <= set(include)
