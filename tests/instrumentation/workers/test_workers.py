"""Several workers behind one socket, killed and recycled under load."""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from served import COUNT, saved

UVICORN = ("uvicorn", "program:app", "--port", "PORT", "--workers", "3", "--log-level", "critical")
GUNICORN = ("gunicorn", "program:app", "-b", "127.0.0.1:PORT", "-w", "3")
GUNICORN = (*GUNICORN, "-k", "uvicorn.workers.UvicornWorker")
MINE = 'mine_total{pid="any"}'


@pytest.mark.parametrize(
    "words", [UVICORN, GUNICORN, (*GUNICORN, "--preload")], ids=["uvicorn", "gunicorn", "preload"]
)
def test_one_scrape_tells_of_all(words, start):
    """Whichever of three workers is scraped, it shows their 3,000 requests, and 3 levels."""
    served = start(*words)
    answered = served.load(3000)
    assert len(answered) == 3
    for _ in range(4):
        page = served.page()
        assert page[COUNT] == page[MINE] == page["seconds_count"] == 3000
        assert page["seconds_sum"] == pytest.approx(300, abs=0.01)
        assert page["level"] == page["gnomon_workers"] == 3
    exemplars = served.page("application/openmetrics-text").text
    assert 'seconds_bucket{le="0.1"} 3000.0 # {trace_id="' in exemplars


def stopped(pid):
    """Whether a process has stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_nothing_is_lost_but_what_a_killed_worker_had_not_saved(start, tmp_path, until):
    """While one worker after the other is killed under load, every answer counts and none falls."""
    served = start(*UVICORN)
    (folder,) = (tmp_path / "run").glob("gnomon-*/*")
    answered, lock, enough = [], threading.Lock(), threading.Event()

    def client():
        """Ask again when an answer is cut, until 3,000 have come and the last worker is killed."""
        while not (enough.is_set() and len(answered) >= 3000):
            with contextlib.suppress(OSError, http.client.HTTPException):
                pid = json.loads(served.get())
                with lock:
                    answered.append((pid, time.monotonic()))

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    kept, pages = {}, []
    for _ in range(6):
        done = len(answered)
        until(lambda done=done: len(answered) > done + 200, 60)
        pages += [served.page() for _ in range(4)]
        with lock:
            living = {pid for pid, _ in answered[done:]} - kept.keys()
        victim = living.pop()
        os.kill(victim, signal.SIGSTOP)
        until(lambda victim=victim: stopped(victim), 30)
        end = time.monotonic()
        kept[victim] = saved(folder, victim)
        os.kill(victim, signal.SIGKILL)
        with lock:
            told = sum(pid == victim and when < end - 10 for pid, when in answered)
        assert kept[victim].get(MINE, 0) >= told  # it saves every second
    enough.set()
    for thread in threads:
        thread.join()
    counted = Counter(pid for pid, _ in answered)
    lived = sum(n for pid, n in counted.items() if pid not in kept)
    expected = {
        name: lived + sum(page.get(name, 0) for page in kept.values()) for name in (COUNT, MINE)
    }
    until(lambda: expected.items() <= served.page().items(), 30)
    pages.append(served.page())
    assert {name: pages[-1][name] for name in expected} == expected
    assert [one.fallen(other) for one, other in itertools.pairwise(pages)] == [{}] * 24
    assert len(answered) >= 3000


def test_a_killed_workers_count_stays_and_its_level_goes(start, until):
    """What a dead worker had saved stays in the totals; its gauges leave with it."""
    served = start(*UVICORN)
    answered = served.load(100)
    assert served.page()[COUNT] == 100
    os.kill(next(iter(answered)), signal.SIGKILL)
    until(lambda: served.page().get("level", 0) == len(answered) - 1, 30)
    assert served.page()[COUNT] == 100


def test_removed_labels_are_gone(start):
    """A label set that its worker has removed is on no page."""
    served = start(*UVICORN)
    served.get("/remove")
    assert "mine_total{" not in served.page().text


def test_recycled_workers_leave_no_files(start, tmp_path):
    """After many recycled workers there are the files of the living and one ledger."""
    served = start(*GUNICORN, "--max-requests", "40")
    answered = Counter()
    while len(answered) < 8:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answered[json.loads(served.get())] += 1
    assert served.page()[COUNT] == answered.total()
    (folder,) = (tmp_path / "run").glob("gnomon-*/*")
    assert len(list(folder.iterdir())) <= 3 * 5 + 3


BEFORE = """
    before = Counter("before", "Counted by the master.")
    before.inc(7)
    seconds.observe(2.5)
    exits = Counter("exits", "Workers whose end the master has seen.")
"""
HOOKS = """
def child_exit(server, worker):
    import program
    program.exits.inc()
"""


def test_what_was_counted_before_the_fork_counts_once(start, tmp_path, until):
    """With --preload the master's counts are on the page once, however many workers it forks."""
    program = tmp_path / "program.py"
    program.write_text(program.read_text() + BEFORE.replace("\n    ", "\n"))
    (tmp_path / "gunicorn.conf.py").write_text(HOOKS)
    served = start(*GUNICORN, "--preload")
    for killed in range(3):
        answered = served.load(50)
        page = served.page()
        assert page["before_total"] == 7
        assert page["exits_total"] == killed
        assert page["seconds_count"] == 50 * (killed + 1) + 1
        assert page['seconds_bucket{le="1.0"}'] == 50 * (killed + 1)
        os.kill(next(iter(answered)), signal.SIGKILL)
        until(lambda killed=killed: served.page()["exits_total"] == killed + 1, 30)


@pytest.mark.parametrize("harm", ["gone", "a file", "full"])
def test_a_broken_run_directory_harms_nobody(harm, start, tmp_path, until):
    """Without its directory the page is there, of one worker at least, and requests go on."""
    served = start(*UVICORN)
    served.load(30)
    assert served.page()[COUNT] == 30
    (folder,) = (tmp_path / "run").glob("gnomon-*/*")
    if harm == "full":
        # As good as a full disk: the name that a snapshot is written under first is taken.
        for snapshot in folder.glob("*.snapshot"):
            pid = snapshot.name.split("-")[0]
            Path(f"{snapshot}.{pid}.tmp").mkdir(exist_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if harm == "a file":
        shutil.rmtree(folder.parent, ignore_errors=True)
        with contextlib.suppress(FileExistsError, IsADirectoryError):
            folder.parent.write_text("in the way")
    time.sleep(1.5)  # in which each saves, or would
    served.load(30)
    assert served.page()[COUNT] >= 1
    if harm == "full":
        assert served.page()[COUNT] == 60
    if harm == "gone":  # they meet again
        until(lambda: served.page()[COUNT] == 60, 30)


def test_a_run_may_be_named(start, tmp_path):
    """GNOMON_RUN_DIR joins processes that share no socket."""
    named = str(tmp_path / "named")
    alone = ("uvicorn", "program:app", "--port", "PORT", "--log-level", "critical")
    one = start(*alone, GNOMON_RUN_DIR=named)
    two = start(*alone, GNOMON_RUN_DIR=named)
    one.load(3)
    two.load(4)
    assert one.page()[COUNT] == two.page()[COUNT] == 7


def test_a_single_process_is_alone(start, tmp_path):
    """A server without workers makes no directory and shares nothing."""
    served = start("uvicorn", "program:app", "--port", "PORT", "--log-level", "critical")
    served.load(5)
    page = served.page()
    assert page[COUNT] == 5
    assert page["seconds_sum"] == 0.5
    assert "gnomon_workers" not in page
    assert list((tmp_path / "run").iterdir()) == []
