"""The console in a real browser: what somebody sees of the dashboards, and does with them."""

import csv
import re
import statistics
import time
from urllib.parse import parse_qs, urlsplit

import pytest

import servers
from console.kinds import BARS, CHOSEN, EVER, GRAPH, LATE, LINES, STAT, STRANGE, TABLE, UID
from rulebook import ROOT

BOARDS = sorted(path.stem for path in (ROOT / "grafana/dashboards").glob("*.json"))

#: What people hold in one hand.
PHONE = 400

pytestmark = pytest.mark.timeout(300)


def said(address: str) -> dict[str, list[str]]:
    """Return the parameters of an address."""
    return parse_qs(urlsplit(address).query)


@pytest.mark.parametrize("board", BOARDS)
def test_a_dashboard_opens_without_a_complaint(shown, board):
    """Also what is folded, and on a phone, where nothing has to be pushed sideways.

    Every panel has data, or says in words why not; none is of a kind that is not known.
    """
    shown.wide(1400)
    shown.open(f"/d/gnomon-{board}")
    shown.page.evaluate(
        "document.querySelectorAll('.section .q-item[aria-expanded=false]')"
        ".forEach(fold => fold.click())"
    )
    shown.page.wait_for_function(
        "() => [...document.querySelectorAll('.panel-body')]"
        ".every(e => +e.dataset.drawn > 0 || e.querySelector('.words'))"
    )
    assert shown.page.locator(".panel-said.bad").all_inner_texts() == []
    shown.kept(f"{board}-dark")
    shown.wide(PHONE)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= PHONE


@pytest.mark.parametrize("path", ["/", "/alerts", "/traces", "/traces/none", "/d/none"])
def test_the_other_pages_open_too(shown, path):
    """Also where there is nothing to show, which they say; and on a phone."""
    shown.open(path)
    shown.page.wait_for_function("() => document.querySelector('main').innerText.length > 20")
    shown.wide(PHONE)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= PHONE


def test_what_is_not_known_is_said_in_its_place(shown):
    """And every other kind of panel is drawn."""
    shown.open(f"/d/{UID}")
    bad = shown.page.locator(".panel-said.bad")
    assert bad.all_inner_texts() == ["The console does not know panels of the kind piechart."]
    assert bad.get_attribute("id") == f"said-{STRANGE}"
    empty = shown.page.locator(".panel-said:not(.bad)").all_inner_texts()
    assert [each for each in empty if each] == []
    shown.kept("kinds-dark")


def test_numbers_are_prometheus_own(shown):
    """In lines, legends, figures, bars, rows and graphs: what it answers to the same query."""
    end = int(time.time()) // 5 * 5
    at = {"start": end - 120, "end": end, "step": 5}
    shown.open(f"/d/{UID}?from={at['start']}000&to={at['end']}000")
    expr = 'sum by (job) (scrape_samples_scraped{job=~".*"})'
    answer = {
        each["metric"]["job"]: {int(when): float(value) for when, value in each["values"]}
        for each in shown.stack.answer("query_range", query=expr, **at)["result"]
    }
    assert shown.lines(LINES) == answer
    legend = shown.page.evaluate(
        "id => { const chart = getElement("
        "+document.querySelector(`#body-${id} .nicegui-echart`).id.slice(1)).chart;"
        " const legend = chart.getOption().legend[0]; return legend.data.map(legend.formatter) }",
        LINES,
    )
    assert len(legend) == len(answer)
    for words in legend:
        found = re.fullmatch(r"(\w+)   mean (\S+)   max (\S+)   last (\S+)", words)
        assert found, words
        values = list(answer[found[1]].values())
        wanted = (statistics.fmean(values), max(values), values[-1])
        shown_values = [float(each.replace(",", "")) for each in found.groups()[1:]]
        assert shown_values == pytest.approx(wanted, rel=0.005)
    assert shown.page.locator(f"#body-{STAT} .number").inner_text() == "3"
    bars = shown.chart(BARS)
    assert [bar["value"] for bar in bars["series"][0]["data"]] == [1, 1, 1]
    rows = shown.page.locator(f"#body-{TABLE} .ag-center-cols-container .ag-row")
    assert rows.count() == 3
    edges = shown.chart(GRAPH)["series"][0]["links"]
    assert [(each["source"], each["target"]) for each in edges] == [("shop", "bank")]


def test_a_choice_is_followed_and_stands_in_the_address(shown):
    """Of one value or several; a link and the way back show what they showed."""
    shown.open(f"/d/{UID}?var-service=host&from=now-15m&to=now")
    assert shown.page.locator(f"#body-{CHOSEN}").is_visible()
    assert len(shown.lines(LINES)) == 3
    shown.page.get_by_label("Job").click()
    shown.page.get_by_role("option", name="node", exact=True).click()
    with shown.page.expect_navigation():
        shown.page.keyboard.press("Escape")
    shown.drawn()
    chosen = {"var-service": ["host"], "var-job": ["node"], "from": ["now-15m"], "to": ["now"]}
    assert said(shown.page.url) == chosen
    assert list(shown.lines(LINES)) == ["node"]
    link = shown.page.url

    shown.page.get_by_label("Service").click()
    with shown.page.expect_navigation():
        shown.page.get_by_role("option", name="shop", exact=True).click()
    shown.drawn()
    assert said(shown.page.url)["var-service"] == ["shop"]
    assert shown.page.get_by_text("Of shop").is_visible()
    shown.page.go_back()
    shown.drawn()
    assert shown.page.url == link
    assert shown.page.get_by_text("Of host").is_visible()
    shown.page.go_forward()
    shown.drawn()
    assert shown.page.get_by_text("Of shop").is_visible()
    shown.open(link.removeprefix(shown.stack.console))
    assert shown.page.get_by_label("Time").input_value() == "Last 15 minutes"
    assert list(shown.lines(LINES)) == ["node"]


def test_a_time_is_chosen_by_drawing_over_it(shown):
    """The other panels follow, and the way back leads to the time before."""
    end = time.time()
    shown.open(f"/d/{UID}?from={int(end - 600)}000&to={int(end)}000")
    before = shown.page.url
    height = shown.chart(LINES)["yAxis"][0].get("min") or 1
    first = shown.pixel(LINES, ((end - 300) * 1000, height))
    last = shown.pixel(LINES, ((end - 60) * 1000, height))
    shown.page.mouse.move(first[0], first[1] - 40)
    shown.page.mouse.down()
    shown.page.mouse.move(last[0], last[1] - 60, steps=5)
    with shown.page.expect_navigation():
        shown.page.mouse.up()
    shown.drawn()
    since, until = (int(said(shown.page.url)[name][0]) / 1000 for name in ("from", "to"))
    assert since == pytest.approx(end - 300, abs=10)
    assert until == pytest.approx(end - 60, abs=10)
    axis = shown.chart(EVER)["xAxis"][0]
    assert (axis["min"] / 1000, axis["max"] / 1000) == pytest.approx((since, until), abs=10)
    shown.page.go_back()
    shown.drawn()
    assert shown.page.url == before


def test_a_panels_data_are_downloaded(shown):
    """As CSV, with the numbers that are on show and a name for the file."""
    end = int(time.time()) // 5 * 5
    shown.open(f"/d/{UID}?from={end - 60}000&to={end}000")
    shown.page.get_by_label("Lines", exact=True).hover()
    with shown.page.expect_download() as download:
        shown.page.get_by_label("Data of Lines as CSV").click()
    assert download.value.suggested_filename == f"{UID}-{LINES}.csv"
    first, *rows = csv.reader(download.value.path().read_text().splitlines())
    assert first == ["time", "series", "value"]
    drawn = {
        (when, name, value)
        for name, values in shown.lines(LINES).items()
        for when, value in values.items()
    }
    assert {(int(float(when)), name, float(value)) for when, name, value in rows} == drawn


def test_a_dot_opens_the_trace_of_that_request(shown):
    """By a click: from the graph of a time to the spans of one request."""

    def dots():
        panel = shown.stack.ask(f"/api/boards/{UID}/panels?ids={LATE}&from=now-5m&to=now")
        series = panel["panels"][str(LATE)].get("chart", {}).get("series", [])
        return next((each["data"] for each in series if each["name"] == "traces"), None)

    newest = max(servers.until(dots), key=lambda dot: dot["value"][0])
    servers.until(lambda: b"shop" in servers.fetch(f"{shown.stack.console}/traces", 20))
    end = newest["value"][0] + 5000
    shown.open(f"/d/{UID}?from={end - 60_000:.0f}&to={end:.0f}")
    there = next(each for each in shown.chart(LATE)["series"] if each["name"] == "traces")
    dot = there["data"][0]
    x, y = shown.pixel(LATE, tuple(dot["value"]))
    shown.kept("exemplars-dark")
    with shown.page.expect_navigation():
        shown.page.mouse.click(x, y)
    shown.page.wait_for_function("() => document.body.innerText.includes('spans')")
    opened = urlsplit(shown.page.url).path.removeprefix("/traces/")
    assert opened in {each["trace"] for each in there["data"]}
    assert "shop" in shown.page.inner_text("body")
    shown.kept("trace-dark")


def test_an_alert_is_acknowledged(shown):
    """By name, with what is done about it; Alertmanager has the silence of exactly that alert."""
    labels = {"alertname": "DiskFull", "service": "shop", "severity": "critical", "instance": "b"}
    shown.stack.alertmanager.post(labels, summary="A disk is full")
    shown.open("/alerts")
    shown.page.get_by_role("button", name="A disk is full").first.click()
    shown.page.get_by_role("button", name="Acknowledge", exact=True).first.click()
    dialog = shown.page.get_by_role("dialog")
    dialog.get_by_label("Your name").fill("Ada")
    dialog.get_by_label("What you do about it").fill("deleting logs")
    dialog.get_by_role("button", name="Acknowledge").click()
    dialog.wait_for(state="detached")
    shown.page.get_by_text("deleting logs").locator("visible=true").first.wait_for()

    [silence] = [
        each
        for each in shown.stack.alertmanager.ask("/api/v2/silences")
        if each["createdBy"] == "Ada" and each["status"]["state"] == "active"
    ]
    assert "deleting logs" in silence["comment"]
    assert {each["name"]: each["value"] for each in silence["matchers"]} == labels
    assert not any(each["isRegex"] for each in silence["matchers"])
    shown.kept("acknowledged-dark")


def test_light_or_dark_stays(shown):
    """The system's, until somebody chooses; then on every page, and after a reload."""

    def dark():
        return shown.page.evaluate("document.body.classList.contains('body--dark')")

    shown.open(f"/d/{UID}")
    assert dark()
    shown.page.emulate_media(color_scheme="light")
    shown.page.wait_for_function("() => document.body.classList.contains('body--light')")
    shown.page.emulate_media(color_scheme="dark")
    shown.page.wait_for_function("() => document.body.classList.contains('body--dark')")
    try:
        shown.page.get_by_label("Light or dark").click()
        shown.page.wait_for_function("() => document.body.classList.contains('body--light')")
        shown.page.reload()
        shown.drawn()
        assert not dark()
        shown.kept("kinds-light")
        shown.open("/alerts")
        assert not dark()
        shown.page.get_by_label("Light or dark").click()
        shown.page.wait_for_function("() => document.body.classList.contains('body--dark')")
        shown.page.emulate_media(color_scheme="light")
        shown.open("/")
        assert dark()
    finally:
        shown.page.context.clear_cookies()
