"""A console and all that it shows, running; and a real browser before it."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

import servers
from alertmanagers import Alertmanager, House
from browser import installed
from console.kinds import DASHBOARD
from console.known import known
from rulebook import ROOT

#: Milliseconds for anything that a page has to do, on a machine that is busy.
PATIENCE = 60_000


@dataclass(frozen=True)
class Stack:
    """The addresses of what runs."""

    console: str
    prometheus: str
    shop: str
    alertmanager: Alertmanager = field(repr=False)

    def ask(self, path: str) -> Any:
        """Return what the console answers in JSON."""
        return json.loads(servers.fetch(self.console + path, timeout=30))

    def answer(self, path: str, **asked: object) -> Any:
        """Return what Prometheus itself answers."""
        url = f"{self.prometheus}/api/v1/{path}?{urlencode(asked)}"
        return json.loads(servers.fetch(url, timeout=30))["data"]

    def value(self, expr: str) -> float | None:
        """Return Prometheus' own value of an expression now, None for none."""
        found = self.answer("query", query=expr)["result"]
        return float(found[0]["value"][1]) if found else None


@pytest.fixture(scope="package")
def stack(tmp_path_factory) -> Iterator[Stack]:
    """A console over Prometheus with our rules, Alertmanager, gnomon-exporter, and a service.

    The service asks itself, so there are requests, their exemplars, and their traces.
    """
    folder = tmp_path_factory.mktemp("console")
    port = {name: servers.free_port() for name in ("prometheus", "console", "shop", "exporter")}
    url = {name: f"http://127.0.0.1:{number}" for name, number in port.items()}
    root = folder / "root"
    (root / "grafana").mkdir(parents=True)
    (root / "docs").symlink_to(ROOT / "docs")
    shutil.copytree(ROOT / "grafana/dashboards", root / "grafana/dashboards")
    (root / "grafana/dashboards/kinds.json").write_text(json.dumps(DASHBOARD))
    with ExitStack() as running:

        def start(name: str, words: list[str], ready: str, **env: str) -> None:
            log = folder / f"{name}.log"
            running.enter_context(servers.Server(words, ready=ready, log=log, env=env))

        house = House(folder / "house", running)
        alertmanager = house.start(house.render())
        (folder / "prometheus.yml").write_text(
            json.dumps(  # JSON is YAML, too
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "2s"},
                    "rule_files": [f"{ROOT}/prometheus/rules/*.yml"],
                    "scrape_configs": [
                        _scraped("prometheus", "prometheus", port["prometheus"]),
                        _scraped("application", "shop", port["shop"]),
                        _scraped("node", "host", port["exporter"]),
                    ],
                }
            )
        )
        start(
            "prometheus",
            [
                *servers.program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port['prometheus']}",
                "--enable-feature=exemplar-storage",
            ],
            f"{url['prometheus']}/-/ready",
        )
        start(
            "console",
            [sys.executable, "-m", "gnomon_console"],
            f"{url['console']}/healthz",
            GNOMON_ROOT=str(root),
            GNOMON_CONSOLE_DATA=str(folder / "console"),
            GNOMON_CONSOLE_PORT=str(port["console"]),
            GNOMON_PROMETHEUS_URL=url["prometheus"],
            GNOMON_ALERTMANAGER_URL=alertmanager.url,
            GNOMON_JAEGER_URL="",
        )
        start(
            "exporter",
            [
                str(Path(sys.executable).with_name("gnomon-exporter")),
                f"--web.listen-address=127.0.0.1:{port['exporter']}",
            ],
            f"{url['exporter']}/metrics",
        )
        start(
            "shop",
            [sys.executable, str(Path(__file__).with_name("shop.py")), str(port["shop"])],
            f"{url['shop']}/metrics",
            OTEL_EXPORTER_OTLP_ENDPOINT=url["console"],
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        made = Stack(url["console"], url["prometheus"], url["shop"], alertmanager)
        servers.until(lambda: made.value("sum(up)") == 3)
        yield made


@pytest.fixture(scope="package")
def told(tmp_path_factory) -> Iterator[Stack]:
    """A console over numbers that are known beforehand."""
    with known(tmp_path_factory.mktemp("told")) as (console, prometheus):
        # Nobody is told of anything there.
        made = Stack(console, prometheus, shop="", alertmanager=None)  # type: ignore[arg-type]
        servers.until(lambda: made.value("sum(up)") == 1)
        yield made


def _scraped(job: str, service: str, port: int) -> dict[str, Any]:
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"service": service}}
    return {"job_name": job, "static_configs": [target]}


class Shown:
    """A tab before a running console. What goes wrong on its pages is kept in ``complaints``."""

    def __init__(self, context: BrowserContext, stack: Stack, pictures: Path) -> None:
        self.stack = stack
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self._pictures = pictures
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on(
            "console",
            lambda said: self._complain(said.text) if said.type in {"error", "warning"} else None,
        )

    def _complain(self, text: str) -> None:
        # Browsers say so of a chart that is resized while it is laid out, and where the machine
        # gets another network device; nothing of the page is wrong then.
        if not text.startswith("ResizeObserver loop") and "ERR_NETWORK_CHANGED" not in text:
            self.complaints.append(text)

    def open(self, path: str) -> None:
        """Open a page, and wait until its panels were drawn where it has some."""
        self.page.goto(f"{self.stack.console}{path}")
        self.drawn()

    def drawn(self) -> None:
        """Wait until the page can be used, and until what is on show of its panels was drawn."""
        self.page.wait_for_function(
            "() => document.readyState === 'complete' && window.gnomon"
            " && document.querySelector('main, .q-page')"
            " && (!document.querySelector('.panel-body')"
            "     || +document.body.dataset.drawn > 0)"
        )

    def chart(self, panel: int) -> Any:
        """Return the options that the chart of a panel was given, its series' data included."""
        return self.page.evaluate(
            "id => JSON.parse(JSON.stringify("
            "  getElement(+document.querySelector(`#body-${id} .nicegui-echart`).id.slice(1))"
            "    .chart.getOption()))",
            panel,
        )

    def lines(self, panel: int) -> dict[str, dict[int, float]]:
        """Return the values of each line of a panel by their times, in seconds."""
        found: dict[str, dict[int, float]] = {}
        for series in self.chart(panel)["series"]:
            points = [each["value"] if isinstance(each, dict) else each for each in series["data"]]
            if series["name"]:
                found[series["name"]] = {int(x // 1000): y for x, y in points if y is not None}
        return found

    def pixel(self, panel: int, at: tuple[float, float], axis: int = 0) -> tuple[float, float]:
        """Return where a point of a panel's chart is in the window, which it is scrolled into."""
        self.page.locator(f"#body-{panel}").scroll_into_view_if_needed()
        found: list[float] = self.page.evaluate(
            "([id, at, axis]) => {"
            "  const place = document.querySelector(`#body-${id} .nicegui-echart`);"
            "  const box = place.getBoundingClientRect();"
            "  const [x, y] = getElement(+place.id.slice(1)).chart"
            "    .convertToPixel({xAxisIndex: axis, yAxisIndex: 0}, at);"
            "  return [box.x + x, box.y + y];"
            "}",
            [panel, list(at), axis],
        )
        return found[0], found[1]

    def wide(self, width: int, height: int = 900) -> None:
        """Make the window as wide."""
        self.page.set_viewport_size({"width": width, "height": height})

    def kept(self, name: str) -> None:
        """Keep a picture of all of the page, for people to look at."""
        self.page.screenshot(path=self._pictures / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """A real Chromium, whose pages share what they have loaded and chosen.

    Playwright's own browsers are not needed: the one that is installed speaks its protocol.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser.new_context(
            viewport={"width": 1400, "height": 900}, color_scheme="dark", locale="en-GB"
        )
        browser.close()


@pytest.fixture
def shown(context, stack, tmp_path) -> Iterator[Shown]:
    """A tab of it. Pictures are kept in GNOMON_TEST_SCREENSHOTS where that is set."""
    pictures = Path(os.environ.get("GNOMON_TEST_SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    found = Shown(context, stack, pictures)
    yield found
    found.page.close()
    assert found.complaints == []
