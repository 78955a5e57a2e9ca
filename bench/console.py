"""What the console costs: its memory, a refresh, fifty viewers; and how soon a dashboard is seen.

Prometheus is a program here that answers every graph with eight series of 240 points, at once, so
that what is counted is the console's alone; --prometheus asks a real one. A viewer asks for the
page, and for its panels again and again, as a browser does. Dashboards are opened by Chromium.

CPU is the console's own, on the scheduler's clock. Only opening is in wall-clock time, which says
little on a busy machine: the better of two. Run by ``make bench``; the exit status is 1 if a figure
is over its budget.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import psutil
from aiohttp import web
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from browser import installed
from gnomon_console.boards import Board, Boards
from servers import ROOT, Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

RESIDENT_MIB = 120.0
REFRESH_MS = 300.0
VIEWERS_CORES = 1.0
OPENED_S = 1.0

VIEWERS, EVERY_S, LOOKING_S = 50, 4.0, 30.0
PANELS, SERIES = 30, 8
REFRESHES = 12

_LE = ("0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "+Inf")


def _labels(number: int) -> dict[str, str]:
    names = {"job": "node", "service": f"service-{number}", "host": f"host-{number}"}
    return names | {"instance": f"10.0.0.{number}", "le": _LE[number], "http_route": f"/r{number}"}


@functools.lru_cache(maxsize=256)
def _lines(start: float, end: float, step: float) -> bytes:
    """Return the answer over a time: made once, so that nobody waits for it."""
    result = [
        {
            "metric": _labels(number),
            "values": [
                [start + n * step, f"{(n * (number + 7)) % 97 / 9.7:.6f}"]
                for n in range(int((end - start) / step) + 1)
            ],
        }
        for number in range(SERIES)
    ]
    data = {"resultType": "matrix", "result": result}
    return orjson.dumps({"status": "success", "data": data})


async def _range(request: web.Request) -> web.Response:
    asked = await request.post()
    start, end, step = (float(str(asked[key])) for key in ("start", "end", "step"))
    return web.Response(body=_lines(start, end, step), content_type="application/json")


async def _query(request: web.Request) -> web.Response:
    at = float(str((await request.post())["time"]))
    result = [{"metric": _labels(n), "value": [at, f"{n + 0.5}"]} for n in range(SERIES)]
    return _said({"resultType": "vector", "result": result})


async def _exemplars(request: web.Request) -> web.Response:
    end = float(str((await request.post())["end"]))
    found = [
        {"labels": {"trace_id": f"{n:032x}"}, "value": f"{n / 10}", "timestamp": end - n}
        for n in range(60)
    ]
    return _said([{"seriesLabels": {}, "exemplars": found}])


async def _values(request: web.Request) -> web.Response:
    del request
    return _said([f"value-{n}" for n in range(SERIES)])


def _said(data: Any) -> web.Response:
    return web.json_response({"status": "success", "data": data})


def _serve(port: int) -> None:
    app = web.Application()
    app.router.add_post("/api/v1/query_range", _range)
    app.router.add_post("/api/v1/query", _query)
    app.router.add_post("/api/v1/query_exemplars", _exemplars)
    app.router.add_get("/api/v1/label/{name}/values", _values)
    app.router.add_get("/-/ready", _values)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


async def _viewer(session: aiohttp.ClientSession, url: str, ids: str, until: float) -> int:
    """Look at a dashboard as a browser does; return how often its panels came."""
    async with session.get(f"{url}/d/{BOARD}") as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
    came = 0
    while time.monotonic() < until:
        asked = f"{url}/api/boards/{BOARD}/panels?from=now-1h&to=now&ids={ids}"
        async with session.get(asked) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        came += 1
        await asyncio.sleep(EVERY_S)
    return came


async def _looking(url: str, ids: str) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        until = time.monotonic() + LOOKING_S
        all_ = []
        for _ in range(VIEWERS):
            all_.append(asyncio.create_task(_viewer(session, url, ids, until)))
            await asyncio.sleep(EVERY_S / VIEWERS)
        return sum(await asyncio.gather(*all_))


async def _refreshed(url: str, ids: str, times: int) -> None:
    """Ask for panels, each time over another time, which nobody has asked for before."""
    async with aiohttp.ClientSession() as session:
        for number in range(times):
            until = int(time.time()) - 60 * (number + 1)
            asked = f"from={until - 3600}000&to={until}000&ids={ids}"
            async with session.get(f"{url}/api/boards/{BOARD}/panels?{asked}") as answer:
                assert answer.status == 200, await answer.text()
                assert len(await answer.read()) > 1000


def _opened(url: str, boards: dict[str, Board]) -> dict[str, float]:
    """Return the seconds until what fits each dashboard's screen was drawn, the better of two."""
    best: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        for _, uid in itertools.product(range(2), boards):
            started = time.monotonic()
            page.goto(f"{url}/d/{uid}", wait_until="commit")
            page.wait_for_function("() => +document.body?.dataset.seen > 0")
            took = time.monotonic() - started
            best[uid] = min(took, best.get(uid, took))
        browser.close()
    return best


BOARD = "gnomon-service"


@contextlib.contextmanager
def _running(prometheus: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    env = {
        "GNOMON_CONSOLE_PORT": str(port),
        "GNOMON_CONSOLE_DATA": str(folder / "data"),
        "GNOMON_PROMETHEUS_URL": prometheus,
        "GNOMON_ALERTMANAGER_URL": f"http://127.0.0.1:{free_port()}",
        "GNOMON_JAEGER_URL": "",
        "GNOMON_ROOT": str(ROOT),
    }
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "gnomon_console"]
    with Server(words, ready=f"{url}/healthz", log=folder / "console.log", env=env) as server:
        yield url, psutil.Process(server.process.pid)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _resident(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def main() -> int:
    """Measure, show, judge."""
    parser = argparse.ArgumentParser(description="What the console costs.")
    parser.add_argument("--prometheus", default="", help="a real one, by its address")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        _serve(asked.serve)
        return 0
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        prometheus = asked.prometheus
        if not prometheus:
            port = free_port()
            prometheus = f"http://127.0.0.1:{port}"
            words = [sys.executable, __file__, "--serve", str(port)]
            ready = f"{prometheus}/-/ready"
            stack.enter_context(Server(words, ready=ready, log=folder / "prometheus.log"))
        url, process = stack.enter_context(_running(prometheus, folder))
        return _shown(*_measured(url, process))


def _measured(url: str, process: psutil.Process) -> tuple[list[tuple[str, float, float, str]], str]:
    boards = Boards(ROOT / "grafana/dashboards").all()
    drawn = [p.id for p in boards[BOARD].panels.values() if p.kind != "text"][:PANELS]
    ids = ",".join(str(each) for each in drawn)
    started = _resident(process)
    asyncio.run(_refreshed(url, ids, 2))  # what is done once is not counted
    before = _cpu(process)
    asyncio.run(_refreshed(url, ids, REFRESHES))
    refresh_ms = (_cpu(process) - before) / REFRESHES * 1000
    before, since = _cpu(process), time.monotonic()
    came = asyncio.run(_looking(url, ids))
    cores = (_cpu(process) - before) / (time.monotonic() - since)
    opened = _opened(url, boards)
    slowest = max(opened, key=lambda uid: opened[uid])
    rows = [
        ("resident after the start", started, RESIDENT_MIB, "MiB"),
        (f"CPU of a refresh of {len(drawn)} panels", refresh_ms, REFRESH_MS, "ms"),
        (f"{VIEWERS} viewers, each every {EVERY_S:.0f} s", cores, VIEWERS_CORES, "cores"),
        (f"slowest of {len(opened)} dashboards to open", opened[slowest], OPENED_S, "s"),
        ("resident after all that", _resident(process), RESIDENT_MIB, "MiB"),
    ]
    return rows, f"{came} answers to viewers; slowest to open: {slowest}"


def _shown(rows: list[tuple[str, float, float, str]], note: str) -> int:
    table = Table(title="The console", title_justify="left", caption=note, caption_justify="left")
    for column in ("", "measured", "budget"):
        table.add_column(column, justify="right" if column else "left")
    over = False
    for name, value, budget, unit in rows:
        over |= value > budget
        style = "red" if value > budget else ""
        table.add_row(name, f"{value:.3g} {unit}", f"{budget:g} {unit}", style=style)
    Console().print(table)
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
