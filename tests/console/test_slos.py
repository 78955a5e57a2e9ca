"""Objectives: what is left, how fast it burns, when it is gone; with the numbers of Prometheus."""

import time

import pytest

import servers
from console.conftest import Shown
from console.known import OBJECTIVES
from gnomon_console.slos.board import board

pytestmark = pytest.mark.timeout(300)

TABLE, GRAPH, FIRING = (panel.id for panel in board().sections[0].panels)
UID = board().uid


@pytest.fixture(scope="module")
def given(told):
    """What the panels are given, and the moment that they were asked about."""
    # After the first scrape, and over before it is asked for: both see the same samples.
    end = int(time.time()) // 5 * 5 + 5
    servers.until(lambda: time.time() > end + 1)
    path = f"/api/boards/{UID}/panels?ids={TABLE},{GRAPH},{FIRING}&from={end - 300}000&to={end}000"
    return {int(key): each for key, each in told.ask(path)["panels"].items()}, end


def rows(panel):
    """Return a table's rows by their first cell: cells by column."""
    titles = [column["field"] for column in panel["columns"]]
    return {
        row["c0"]["t"]: {title: row[f"c{n}"] for n, title in enumerate(titles)}
        for row in panel["rows"]
    }


def test_numbers_are_prometheus_own(told, given):
    """The promise, what is kept and left, and each burn."""
    panels, end = given
    ask = {
        "Promised": "slo:objective:ratio",
        "Budget left": "slo:period_error_budget_remaining:ratio",
        "Kept": "1 - slo:period_burn_rate:ratio * slo:error_budget:ratio",
        "Good now": "1 - slo:sli_error:ratio_rate5m",
        "Burn 5m": "slo:sli_error:ratio_rate5m / slo:error_budget:ratio",
        "Burn 1h": "slo:sli_error:ratio_rate1h / slo:error_budget:ratio",
        "Burn 6h": "slo:sli_error:ratio_rate6h / slo:error_budget:ratio",
    }
    found = rows(panels[TABLE])
    assert set(found) == set(OBJECTIVES)
    for title, query in ask.items():
        answered = {
            each["metric"]["sloth_slo"]: float(each["value"][1])
            for each in told.answer("query", query=query, time=end)["result"]
        }
        there = {name: row[title]["v"] for name, row in found.items() if "v" in row[title]}
        assert there == pytest.approx(answered), title
    assert len(answered) == 3


def test_the_forecast_is_a_date_or_says_why_there_is_none(given):
    """A slow pace lasts, a budget that is gone says so; what is not measured says nothing."""
    panels, end = given
    found = {name: row["Used up on"] for name, row in rows(panels[TABLE]).items()}
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(end + 3 * 86400))
    assert found["requests"]["t"] == date
    assert found["logins"]["t"] == "lasts"
    assert found["mails"]["t"] == "is used up"
    assert found["young"]["t"] == ""


def test_alerts_and_deploys_stand_in_the_graph(given):
    """An alert as a band from its beginning on, a new version as a line; below them the budgets."""
    panels, _ = given
    *lines, events = panels[GRAPH]["chart"]["series"]
    last = {
        each["name"]: next(v for v in reversed(each["values"]) if v is not None) for each in lines
    }
    assert last == {"shop: requests": 60, "shop: logins": 90, "shop: mails": -50}
    marks = {each["name"] for each in events["markLine"]["data"]}
    assert marks == {"SLOFastBurn: requests", "shop 1.1"}
    assert panels[GRAPH]["links"]["shop: mails"].endswith(
        "var-service=shop&var-objective=shop-mails"
    )


def test_every_row_leads_on(given):
    """An objective to its dashboard, an alert to its runbook."""
    panels, _ = given
    assert rows(panels[TABLE])["mails"]["Objective"]["l"].endswith(
        "var-service=shop&var-objective=shop-mails"
    )
    [alert] = rows(panels[FIRING]).values()
    assert (alert["Alert"]["t"], alert["Objective"]["t"]) == ("SLOFastBurn", "requests")
    assert alert["Alert"]["l"] == "/runbooks/slo/SLOFastBurn"


def test_an_alert_is_followed_to_what_to_do(context, told, tmp_path):
    """In a browser: from the page, drawn without a complaint, to the runbook; on a phone, too."""
    shown = Shown(context, told, tmp_path)
    try:
        shown.open("/slos?from=now-5m&to=now")
        shown.page.get_by_role("link", name="SLOFastBurn").wait_for()
        shown.wide(400)
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400
        shown.wide(1400)
        with shown.page.expect_navigation():
            shown.page.get_by_role("link", name="SLOFastBurn").click()
        shown.page.get_by_role("heading", name="SLOFastBurn").wait_for()
        shown.open("/runbooks/slo/Nothing")
        assert "No runbook of slo has a section Nothing" in shown.page.inner_text("body")
        assert shown.complaints == []
    finally:
        shown.page.close()
