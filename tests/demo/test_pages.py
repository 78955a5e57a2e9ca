"""The pages, as far as text tells; how they look was looked at."""

import re

import pytest

from gnomon_demo.tones import tone


def test_the_market_page_begins_with_prices(desk, eventually):
    """A card for each symbol, with what was written down lately; models, reports and faults."""
    eventually(lambda: desk.get("/api/analytics").json()["symbols"])
    page = desk.get("/").text
    assert len(re.findall(r'data-symbol="[A-Z]{4}" data-prices="[\d. ]+"', page)) == 12
    assert "Who speaks when" in page
    assert set(re.findall(r'data-fault="([^"]+)"', page)) == {
        "slow",
        "errors",
        "leak",
        "pool",
        "cache-storm",
        "backlog",
        "outage",
    }


def test_the_performance_page_lists_batches_and_leads_to_each_file(desk):
    """Batch table, batch's summary, file's detail with all eight numbers."""
    batch = desk.send(("one.wav", tone(1)), ("two.wav", tone(2)))
    found = desk.done(batch)
    assert f"/performance/batches/{batch}" in desk.get("/performance").text
    page = desk.get(f"/performance/batches/{batch}").text
    assert "2 of 2 done" in page
    assert len(re.findall(r"<dt>", page)) == 8
    for file in found["files"]:
        assert f"/performance/files/{file['id']}" in page
    detail = desk.get(f"/performance/files/{found['files'][0]['id']}").text
    assert "tone at 440 Hz" in detail
    assert len(re.findall(r"<dt>", detail)) == 13


def test_a_failed_file_says_why(desk):
    """On its own page; it has no numbers, and no page needs them."""
    batch = desk.send(("bad.wav", b"nothing"))
    found = desk.done(batch)
    page = desk.get(f"/performance/files/{found['files'][0]['id']}").text
    assert "not a WAV file" in page
    assert "1 failed" in desk.get(f"/performance/batches/{batch}").text


def test_a_report_has_its_page(desk):
    """With what it says."""
    number = desk.post("/api/reports", json={"title": "A <b>bold</b> one"}).json()["id"]
    page = desk.get(f"/reports/{number}").text
    assert "A &lt;b&gt;bold&lt;/b&gt; one" in page
    assert "Moved together" in page


@pytest.mark.parametrize(
    "path",
    [
        "/performance/batches/x",
        "/performance/files/x",
        "/reports/99999",
        "/static/none",
        "/static/..%2fdesk.py",
    ],
)
def test_pages_of_nothing_are_not_found(desk, path):
    """404, not a page that is empty."""
    assert desk.get(path).status_code == 404


def test_pages_ask_nothing_of_other_hosts(desk):
    """Styles, scripts and pictures are the desk's own."""
    for path in ("/", "/performance"):
        assert re.findall(r'(?:src|href)="(?:https?:)?//', desk.get(path).text) == []
