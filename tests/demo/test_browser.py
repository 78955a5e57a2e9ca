"""The pages in a real browser: what moves, what its buttons do, and that it fits."""

import pytest

from browser import chromium


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """A tab of a real Chromium."""
    with chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


def sized(tab, width):
    """Give the tab a width in pixels."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 800}
    tab.call("Emulation.setDeviceMetricsOverride", **size)


def test_prices_come_by_themselves(desk, tab):
    """Each card has a price and a line, and the page says that it is live."""
    tab.open(f"{desk.url}/")
    tab.until("document.getElementById('state').textContent === 'live'")
    tab.until("[...document.querySelectorAll('.price')].every(e => parseFloat(e.textContent) > 0)")
    tab.until(
        "[...document.querySelectorAll('polyline')]"
        ".every(e => e.getAttribute('points').split(' ').length > 1)"
    )


def test_a_fault_is_begun_and_ended_by_its_button(desk, tab):
    """The button shows it for as long as it is under way."""
    tab.open(f"{desk.url}/")
    button = "document.querySelector('[data-fault=outage]')"
    tab.run(f"{button}.click()")
    tab.until(f"{button}.getAttribute('aria-pressed') === 'true'")
    assert desk.get("/faults").json()["outage"]["left"] > 0
    tab.run(f"{button}.click()")
    tab.until(f"{button}.getAttribute('aria-pressed') === 'false'")
    assert desk.get("/faults").json()["outage"]["left"] is None


def test_made_up_recordings_become_a_batch_that_is_followed_to_its_end(desk, tab):
    """From the button to the eight numbers of all five, without a reload by hand."""
    tab.open(f"{desk.url}/performance")
    tab.run("document.getElementById('sample').click()")
    tab.until("location.pathname.startsWith('/performance/batches/')")
    tab.until("document.getElementById('progress')?.textContent.includes('5 of 5 done')")
    tiles = "[...document.querySelectorAll('.tiles dd')].map(e => e.textContent)"
    assert len(tab.run(tiles)) == 8
    assert tab.run("document.querySelectorAll('tbody tr').length") == 5


def test_a_page_without_a_file_says_so(desk, tab):
    """Instead of sending nothing."""
    tab.open(f"{desk.url}/performance")
    tab.run("document.querySelector('button[type=submit]').click()")
    tab.until("document.getElementById('said').textContent === 'Choose a file first.'")


@pytest.mark.parametrize("width", [320, 420, 1600])
def test_no_page_is_wider_than_its_window(desk, tab, width, wav, sound):
    """Wide tables scroll by themselves, long names break."""
    sized(tab, width)
    data = wav(sound(1, (0.2, 0.8, 440)))
    name = "a-very-long-name-of-a-recording-without-any-space-" * 2 + ".wav"
    recording = desk.post("/transcribe", files={"file": (name, data)}).json()["id"]
    batch = desk.send((name, data), ("b.wav", b"nothing"))
    desk.done(batch)
    report = desk.post("/api/reports", json={"title": "x" * 120}).json()["id"]
    for path in (
        "/",
        "/performance",
        f"/performance/batches/{batch}",
        f"/performance/files/{recording}",
        f"/reports/{report}",
    ):
        tab.open(desk.url + path)
        assert tab.run("document.documentElement.scrollWidth") <= width, path
