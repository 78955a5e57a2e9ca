"""The console's pages in a real browser, over a real Prometheus that knows little."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

import servers
from browser import Tab, chromium
from rulebook import ROOT

BOARDS = sorted(path.stem for path in (ROOT / "grafana/dashboards").glob("*.json"))

#: Keeps what a page complains of.
_LISTEN = """
window.complaints = [];
addEventListener('error', e => complaints.push(e.message));
addEventListener('unhandledrejection', e => complaints.push(String(e.reason)));
const error = console.error;
console.error = (...all) => { complaints.push(all.join(' ')); error(...all); };
"""


@dataclass
class Shown:
    """A browser before a running console."""

    tab: Tab
    url: str

    def open(self, path: str) -> None:
        """Open a page, and wait until its panels were drawn where it has some."""
        self.tab.open(f"{self.url}{path}")
        if path.startswith("/d/gnomon-"):
            self.tab.until("+document.body.dataset.drawn > 0")

    @property
    def complaints(self) -> list[str]:
        """What went wrong on the page that is open."""
        found: list[str] = self.tab.run("complaints")
        # Browsers say so of a chart that is resized while it is laid out; nothing is wrong then.
        return [each for each in found if not each.startswith("ResizeObserver loop")]

    def wide(self, width: int, height: int = 900) -> None:
        """Make the window as wide."""
        self.tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Iterator[Shown]:
    """A console over a Prometheus that scrapes itself and evaluates our rules."""
    folder = tmp_path_factory.mktemp("console")
    ports = {name: servers.free_port() for name in ("prometheus", "console", "alertmanager")}
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 2s}\n"
        f"rule_files: ['{ROOT}/prometheus/rules/*.yml']\n"
        "scrape_configs:\n"
        "  - job_name: prometheus\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{ports['prometheus']}'],"
        " labels: {service: prometheus}}]\n"
    )
    url = f"http://127.0.0.1:{ports['console']}"
    with ExitStack() as stack:
        stack.enter_context(
            servers.Server(
                [
                    *servers.program("prometheus"),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
                    "--enable-feature=exemplar-storage",
                ],
                ready=f"http://127.0.0.1:{ports['prometheus']}/-/ready",
                log=folder / "prometheus.log",
            )
        )
        stack.enter_context(
            servers.Server(
                [sys.executable, "-m", "gnomon_console"],
                ready=f"{url}/healthz",
                log=folder / "console.log",
                env={
                    "GNOMON_ROOT": str(ROOT),
                    "GNOMON_CONSOLE_DATA": str(folder / "console"),
                    "GNOMON_CONSOLE_PORT": str(ports["console"]),
                    "GNOMON_PROMETHEUS_URL": f"http://127.0.0.1:{ports['prometheus']}",
                    "GNOMON_ALERTMANAGER_URL": f"http://127.0.0.1:{ports['alertmanager']}",
                    "GNOMON_JAEGER_URL": "",
                },
            )
        )
        tab = stack.enter_context(chromium(folder))
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=_LISTEN)
        yield Shown(tab, url)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("board", BOARDS)
def test_a_dashboard_opens_without_a_complaint(shown, board):
    """Every panel has data, or says in words why not; none is of a kind that is not known."""
    shown.wide(1400)
    shown.open(f"/d/gnomon-{board}")
    said = shown.tab.run(
        "[...document.querySelectorAll('.panel-said.bad')].map(e => e.id + ' ' + e.textContent)"
    )
    assert said == []
    assert shown.complaints == []


@pytest.mark.timeout(300)
def test_numbers_are_prometheus_own(shown):
    """What stands on the page is what Prometheus answers to the panel's query."""
    shown.open("/d/gnomon-meta")
    board = json.loads((ROOT / "grafana/dashboards/meta.json").read_text())
    panel = next(p for p in board["panels"] if p["type"] == "stat" and p["targets"])
    text = shown.tab.run(
        f"document.querySelector('#body-{panel['id']} .number')?.textContent"
        f" ?? document.getElementById('said-{panel['id']}').textContent"
    )
    assert text
    page = json.loads(
        servers.fetch(f"{shown.url}/api/boards/gnomon-meta/panels?ids={panel['id']}", timeout=20)
    )
    drawn = page["panels"][str(panel["id"])]
    assert text in {drawn.get("empty"), *(each["text"] for each in drawn.get("values", ()))}


@pytest.mark.timeout(300)
def test_a_choice_and_a_time_stand_in_the_address(shown):
    """So that a link shows the same to somebody else."""
    shown.open("/d/gnomon-meta?var-job=prometheus&from=now-15m&to=now")
    text = shown.tab.run("document.body.innerText")
    assert "Last 15 minutes" in text
    shown.tab.run("gnomon.go({from: 'now-3h', to: 'now'})")
    shown.tab.until("location.search.includes('from=now-3h')")
    shown.tab.until("+document.body.dataset.drawn > 0")
    assert "var-job=prometheus" in shown.tab.run("location.search")
    assert "Last 3 hours" in shown.tab.run("document.body.innerText")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", ["/", "/alerts", "/traces", "/traces/none", "/d/none"])
def test_the_other_pages_open_too(shown, path):
    """Also where there is nothing to show, which they say."""
    shown.open(path)
    shown.tab.until("document.body.innerText.trim().length > 20")
    assert shown.complaints == []


@pytest.mark.timeout(300)
def test_a_phone_shows_the_whole_width(shown):
    """Nothing has to be pushed sideways."""
    shown.wide(390, 800)
    shown.open("/d/gnomon-host")
    assert shown.tab.run("document.documentElement.scrollWidth") <= 390
    shown.wide(1400)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("ids=1&from=yesterday", 400),
        ("ids=one", 400),
        ("ids=2&from=now&to=now-1h", 400),
        ("ids=999", 200),
        ("ids=2&var-job=%22%7D%20or%20vector(1)%20%23", 200),
        ("ids=", 200),
    ],
)
def test_odd_questions_are_answered_plainly(shown, query, status):
    """Whatever is wrong with them."""
    import urllib.error
    import urllib.request

    url = f"{shown.url}/api/boards/gnomon-meta/panels?{query}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            found = answer.status
    except urllib.error.HTTPError as error:
        found = error.code
    assert found == status


def test_a_panels_data_come_as_csv(shown):
    """With a name for the file."""
    board = json.loads((ROOT / "grafana/dashboards/meta.json").read_text())
    panel = next(p for p in board["panels"] if p["type"] == "timeseries")
    url = f"{shown.url}/api/boards/gnomon-meta/panels/{panel['id']}.csv"
    lines = servers.fetch(url, timeout=20).decode().splitlines()
    assert lines[0] == "time,series,value"
