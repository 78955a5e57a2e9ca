"""The map: who calls what, with the numbers that Prometheus has."""

import time
from itertools import pairwise

import pytest

import servers
from console.conftest import Shown
from console.known import EDGES
from gnomon_console.boards import Panel, Target
from gnomon_console.map.board import NOTHING, board
from gnomon_console.map.layers import columns
from gnomon_console.panels import servicemap
from gnomon_console.panels.drawn import Given
from gnomon_console.prometheus import Series
from gnomon_console.ranges import Range

pytestmark = pytest.mark.timeout(300)

MAP, TABLE = (panel.id for panel in board().sections[0].panels)


def answer(ref, *series):
    """Return a query's answer: ends, kinds and a value each."""
    target = Target(ref, "", "", instant=True, table=True, exemplars=False, least="")
    return target, [
        Series(
            {"source": a, "source_kind": a_kind, "target": b, "target_kind": b_kind}, [(1.0, value)]
        )
        for a, a_kind, b, b_kind, value in series
    ]


def drawn(*answers):
    """Return what is drawn of answers by the panel of the page."""
    spec = board().panels[MAP].spec
    panel = Panel(1, "map", "", "", (), 0, 0, 24, 18, spec)
    return servicemap.draw(Given(panel, answers, Range(0, 900, 5), link="from=now-1h&to=now"))


def test_each_stands_right_of_what_leads_to_it():
    """By the longest way; and always at the same place."""
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("d", "e")]
    found = columns("edcba", edges)
    assert [sorted(column) for column in found] == [["a", "d"], ["b", "e"], ["c"]]
    assert columns("abcde", reversed(edges)) == found


def test_circles_and_strangers_are_placed_too():
    """Who calls itself, each other, or what nobody knows."""
    edges = [("in", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("a", "a"), ("a", "gone")]
    assert columns(["a", "b", "c", "in", "alone"], edges) == [["alone", "in"], ["a"], ["b"], ["c"]]
    assert columns(["x", "y"], [("x", "y"), ("y", "x")]) == [["x"], ["y"]]
    assert columns([], []) == []


def test_a_long_chain_needs_no_deep_stack():
    """As long as somebody may make it."""
    names = [f"n{number:05}" for number in range(5000)]
    assert len(columns(names, pairwise(names))) == 5000


def test_what_fails_is_red_and_says_how_much():
    """From one call in five on, from one in twenty orange; what nobody measures is not said."""
    ends = ("shop", "service", "bank", "outside API")
    for share, shade in ((0.2, "#e0364c"), (0.05, "#e8871e"), (0.049, None)):
        found = drawn(answer("rate", (*ends, 2.0)), answer("failing", (*ends, share)))
        [edge] = found["chart"]["series"][0]["links"]
        assert edge["label"].get("color") == shade
        assert f"{share * 100:g} % fail" in edge["label"]["formatter"]
    [edge] = drawn(answer("rate", (*ends, 2.0)))["chart"]["series"][0]["links"]
    assert edge["label"]["formatter"] == "2 /s"


def test_nothing_of_a_name_is_taken_for_more():
    """Neither as HTML in what is shown at the mouse, nor as a style of a label, nor in a link."""
    evil = "<img src=x onerror=alert(1)>{bad|x}"
    found = drawn(answer("rate", (evil, "service", "b", "database", 1.0)))
    [series] = found["chart"]["series"]
    for part in (*series["data"], *series["links"]):
        assert "<img" not in part["tooltip"]["formatter"]
    node = next(each for each in series["data"] if each["id"] == evil)
    assert "{bad|" not in node["label"]["formatter"]
    assert "<" not in node["link"]


def test_without_an_edge_it_says_what_adds_one():
    """With the line that does."""
    assert drawn(answer("rate"))["empty"] == NOTHING
    assert 'gnomon.instrument(app, service="shop")' in NOTHING


def test_numbers_are_prometheus_own(told):
    """Rate, share of failures and time of each edge, on the arrows and in the table."""
    # After the first scrape, and over before it is asked for: both see the same samples.
    end = int(time.time()) // 5 * 5 + 5
    servers.until(lambda: time.time() > end + 1)
    given = told.ask(
        f"/api/boards/gnomon-map/panels?ids={MAP},{TABLE}&from={end - 300}000&to={end}000"
    )["panels"]
    ends = "source, target"
    queries = {
        "Calls": f"max by ({ends}) (avg_over_time(edge:calls:rate5m[300s]))",
        "Failing": f"max by ({ends}) (sum_over_time(edge:errors:rate5m[300s]))"
        f" / max by ({ends}) (sum_over_time(edge:calls:rate5m[300s]))",
        "95 of 100 within": f"max by ({ends}) (max_over_time(edge:latency_seconds:p95_5m[300s]))",
    }
    table = given[str(TABLE)]
    place = {column["field"]: f"c{n}" for n, column in enumerate(table["columns"])}
    for title, query in queries.items():
        answered = {
            (each["metric"]["source"], each["metric"]["target"]): float(each["value"][1])
            for each in told.answer("query", query=query, time=end)["result"]
        }
        there = {
            (row[place["From"]]["t"], row[place["To"]]["t"]): row[place[title]]["v"]
            for row in table["rows"]
            if "v" in row[place[title]]
        }
        assert there == pytest.approx(answered)
    [series] = given[str(MAP)]["chart"]["series"]
    said = {
        (each["source"], each["target"]): each["label"]["formatter"] for each in series["links"]
    }
    assert said[("shop", "bank.example:443")] == "2 /s · 50 % fail · 900 ms"
    assert said[("shop", "shop/prices")] == "40 /s"
    assert set(said) == {(a, b) for a, _, b, _ in EDGES if a != b}
    shop = next(each for each in series["data"] if each["id"] == "shop")
    assert "calls itself 0.5 /s · 40 % fail · 10 ms" in shop["label"]["formatter"]


def test_a_click_on_a_service_opens_its_dashboard(context, told, tmp_path):
    """From a map that is drawn without a complaint, wide, and on a phone in its own frame."""
    shown = Shown(context, told, tmp_path)
    try:
        shown.wide(1400)
        shown.open("/map?from=now-5m&to=now")
        shown.page.wait_for_function(
            f"() => document.querySelectorAll('#body-{TABLE} .ag-center-cols-container .ag-row')"
            f".length === {len(EDGES)}"
        )
        shown.wide(400)
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400
        shown.wide(1400)
        x, y = shown.page.evaluate(
            "id => { const place = document.querySelector(`#body-${id} .nicegui-echart`);"
            " const chart = getElement(+place.id.slice(1)).chart;"
            " const data = chart.getModel().getSeriesByIndex(0).getData();"
            " const number = data.indexOfName('shop');"
            " const box = place.getBoundingClientRect();"
            " const [x, y] = chart.convertToPixel({seriesIndex: 0}, data.getItemLayout(number));"
            " return [box.x + x, box.y + y]; }",
            MAP,
        )
        with shown.page.expect_navigation():
            shown.page.mouse.click(x, y)
        assert "/d/gnomon-service?from=now-5m&to=now&var-service=shop" in shown.page.url
        assert shown.complaints == []
    finally:
        shown.page.close()
