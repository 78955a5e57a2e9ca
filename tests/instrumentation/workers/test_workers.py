"""Several workers behind one socket, killed and recycled under load."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import httpx
import pytest

import servers

APP = """
    import os
    from fastapi import FastAPI
    from prometheus_client import Counter, Gauge
    import gnomon

    app = FastAPI()
    mine = Counter("mine", "The application's own.", ["pid"])
    level = Gauge("level", "The application's own.")

    @app.get("/a")
    async def a():
        mine.labels("any").inc()
        level.set(1)
        return os.getpid()

    @app.get("/remove")
    async def remove():
        mine.labels(str(os.getpid())).inc()
        mine.remove(str(os.getpid()))

    gnomon.instrument(app, service="several")
"""
COUNT = "http_server_request_duration_seconds_count"


class Page(dict):
    """The samples of one scrape, by name, summed over the route that is counted."""

    def __init__(self, address):
        self.text = httpx.get(f"{address}/metrics", timeout=20).raise_for_status().text
        for name, labels, value in re.findall(r"^(\w+)(\{.*\})? (\S+)$", self.text, re.MULTILINE):
            if not labels or '"/a"' in labels or '"any"' in labels:
                self[name] = self.get(name, 0) + float(value)


@pytest.fixture
def start(tmp_path):
    """Return a function that serves the application with several workers."""
    (tmp_path / "program.py").write_text(textwrap.dedent(APP))
    (tmp_path / "run").mkdir()
    running = []

    def run(*words, **environment):
        port = servers.free_port()
        command = [word.replace("PORT", str(port)) for word in words]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run")} | environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        running.append(process)
        process.address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline
            assert process.poll() is None
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{process.address}/metrics")
                return process
            time.sleep(0.1)

    yield run
    for process in running:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()


UVICORN = ("uvicorn", "program:app", "--port", "PORT", "--workers", "3", "--log-level", "critical")
GUNICORN = ("gunicorn", "program:app", "-b", "127.0.0.1:PORT", "-w", "3")
GUNICORN = (*GUNICORN, "-k", "uvicorn.workers.UvicornWorker")


def load(address, count):
    """Make requests, each over a connection of its own, and return who answered how often."""
    answered = {}
    for _ in range(count):
        with contextlib.suppress(httpx.TransportError):
            pid = httpx.get(f"{address}/a").json()
            answered[pid] = answered.get(pid, 0) + 1
    return answered


@pytest.mark.parametrize(
    "words", [UVICORN, GUNICORN, (*GUNICORN, "--preload")], ids=["uvicorn", "gunicorn", "preload"]
)
def test_one_scrape_tells_of_all(words, start):
    """Whichever worker is scraped, totals are those of all, levels those of the living."""
    address = start(*words).address
    answered = load(address, 200)
    assert len(answered) > 1
    for _ in range(4):
        page = Page(address)
        assert page[COUNT] == page["mine_total"] == 200
        assert page["level"] == len(answered)
        assert page["gnomon_workers"] == 3


def test_nothing_falls_while_workers_are_killed(start):
    """Under load and SIGKILL again and again no counter falls; only last seconds are lost."""
    address = start(*UVICORN).address
    stop = threading.Event()
    sent = []

    def loader():
        while not stop.is_set():
            with contextlib.suppress(httpx.TransportError):
                sent.append(httpx.get(f"{address}/a", timeout=5).json())

    threads = [threading.Thread(target=loader) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = []
    for _ in range(4):
        for _ in range(5):
            with contextlib.suppress(httpx.TransportError, httpx.HTTPStatusError):
                seen.append(Page(address)[COUNT])
            time.sleep(0.2)
        with contextlib.suppress(ProcessLookupError):
            os.kill(sent[-1], signal.SIGKILL)
        time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    seen.append(Page(address)[COUNT])
    assert seen == sorted(seen)
    assert len(seen) > 10
    assert seen[-1] >= 0.6 * len(sent)
    assert len(set(sent)) > 3


def test_a_killed_workers_count_stays_and_its_level_goes(start, until):
    """What a dead worker had saved stays in the totals; its gauges leave with it."""
    process = start(*UVICORN)
    answered = load(process.address, 100)
    assert Page(process.address)[COUNT] == 100
    os.kill(next(iter(answered)), signal.SIGKILL)
    until(lambda: Page(process.address).get("level", 0) == len(answered) - 1, 30)
    assert Page(process.address)[COUNT] == 100


def test_removed_labels_are_gone(start):
    """A label set that its worker has removed is on no page."""
    address = start(*UVICORN).address
    httpx.get(f"{address}/remove")
    assert "mine_total{" not in Page(address).text


def test_recycled_workers_leave_no_files(start, tmp_path):
    """After many recycled workers there are the files of the living and one ledger."""
    address = start(*GUNICORN, "--max-requests", "5").address
    answered = load(address, 150)
    assert len(answered) > 10
    page = Page(address)
    assert page[COUNT] == sum(answered.values())
    (folder,) = (tmp_path / "run").glob("gnomon-*/*")
    assert len(list(folder.iterdir())) <= 3 * 4 + 3


@pytest.mark.parametrize("harm", ["gone", "a file", "full"])
def test_a_broken_run_directory_harms_nobody(harm, start, tmp_path):
    """Without its directory the page is there, of one worker at least, and requests go on."""
    process = start(*UVICORN)
    load(process.address, 30)
    (folder,) = (tmp_path / "run").glob("gnomon-*/*")
    if harm == "full":
        # As good as a full disk: the name that a snapshot is written under first is taken.
        for snapshot in folder.glob("*.snapshot"):
            pid = snapshot.name.split("-")[0]
            Path(f"{snapshot}.{pid}.tmp").mkdir(exist_ok=True)
    else:
        shutil.rmtree(folder)
    if harm == "a file":
        shutil.rmtree(folder.parent)
        folder.parent.write_text("in the way")
    time.sleep(1.5)
    assert sum(load(process.address, 30).values()) == 30
    assert Page(process.address)[COUNT] >= 1
    if harm == "full":
        assert Page(process.address)[COUNT] == 60
    if harm == "gone":  # they meet again
        time.sleep(2)
        assert Page(process.address)[COUNT] == 60


def test_a_run_may_be_named(start, tmp_path):
    """GNOMON_RUN_DIR joins processes that share no socket."""
    named = str(tmp_path / "named")
    alone = ("uvicorn", "program:app", "--port", "PORT", "--log-level", "critical")
    one = start(*alone, GNOMON_RUN_DIR=named)
    two = start(*alone, GNOMON_RUN_DIR=named)
    load(one.address, 3)
    load(two.address, 4)
    assert Page(one.address)[COUNT] == Page(two.address)[COUNT] == 7


def test_a_single_process_is_alone(start, tmp_path):
    """A server without workers makes no directory and shares nothing."""
    process = start("uvicorn", "program:app", "--port", "PORT", "--log-level", "critical")
    load(process.address, 5)
    page = Page(process.address)
    assert page[COUNT] == 5
    assert "gnomon_workers" not in page
    assert list((tmp_path / "run").iterdir()) == []
