"""What the workers of one run tell of each other, of those that have died, and of what is gone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from gnomon.families import Counters
from gnomon.workers import ledger, worker
from gnomon.workers.worker import Worker, shared


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The directory of a run that this test's workers share."""
    monkeypatch.setenv("GNOMON_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(worker, "INTERVAL", 3600)  # they save when the test says so
    return tmp_path


class One:
    """A worker with a counter, in this process."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.asked = Counter("asked", "Asked.", ["who"], registry=self.registry)
        self.worker = Worker("of the test", self.registry)
        assert self.page() is not None  # it has joined

    def page(self):
        """Give the counts of the run by label."""
        return {
            sample.labels["who"]: sample.value
            for family in self.worker.gather()
            for sample in family.samples
            if sample.name == "asked_total"
        }

    def die(self):
        """Leave the files of a worker that was killed after it had saved."""
        self.worker.save()
        seat = self.worker._seat
        self.seat = seat.name
        self.worker._alone = True
        self.worker._seat = None
        seat.leave()


def test_a_removed_series_stays_until_no_living_worker_has_it(run):  # noqa: ARG001
    """It does not fall while others show it, then goes, with what the dead had counted in it."""
    one, two, dead = One(), One(), One()
    for each in (one, two, dead):
        each.asked.labels("x").inc(5)
        each.asked.labels("y").inc(1)
    dead.die()
    assert one.page() == two.page() == {"x": 15, "y": 3}
    one.asked.remove("x")
    assert two.page() == one.page() == {"x": 15, "y": 3}
    two.asked.remove("x")
    assert two.page() == one.page() == {"y": 3}
    two.asked.labels("x").inc()
    assert one.page()["y"] == 3
    assert "x" in one.page()


def test_a_removed_series_is_not_brought_back_by_a_death(run):  # noqa: ARG001
    """Whoever has removed a series and dies leaves nothing in it."""
    one, two = One(), One()
    for each in (one, two):
        each.asked.labels("x").inc(5)
        each.asked.labels("y").inc(1)
    assert one.page() == {"x": 10, "y": 2}
    one.asked.remove("x")
    assert two.page() == {"x": 10, "y": 2}
    one.die()
    assert two.page() == {"x": 10, "y": 2}
    two.asked.remove("x")
    assert two.page() == {"y": 2}
    two.die()
    assert One().page() == {"y": 2}


def test_a_series_of_the_dead_alone_stays(run):  # noqa: ARG001
    """What nobody has removed counts on, though no living worker has it."""
    one, two = One(), One()
    one.asked.labels("rare").inc(2)
    one.die()
    assert two.page() == {"rare": 2}
    assert two.page() == {"rare": 2}


def test_gnomons_own_families_are_removed_likewise(run):  # noqa: ARG001
    """Family.remove is a removal like any other."""
    workers = []
    for _ in range(2):
        registry = CollectorRegistry()
        family = Counters("asked", "Asked.", ("who",), 10)

        class Own:
            __module__ = "gnomon.of_the_test"

            def collect(self, family=family):
                yield family.metric()

        registry.register(Own())
        family.child("x").inc(2)
        workers.append((Worker("of the test", registry), family))

    def page():
        return [sample.value for family in workers[0][0].gather() for sample in family.samples]

    workers[1][0].gather()
    assert page() == [4, 2]  # with the number of workers
    workers[1][1].remove("x")
    assert page() == [4, 2]
    workers[0][1].remove("x")
    assert page() == [2]


def test_removed_series_do_not_pile_up(run):
    """Labels that come and go leave neither the worker nor the run's files larger."""
    one, two = One(), One()
    sizes = []
    for n in range(30):
        one.asked.labels(f"session {n}").inc()
        one.worker.save()
        one.asked.remove(f"session {n}")
        one.worker.save()
        one.worker._tidy(bury=False)
        assert two.page() == {}
        (folder,) = run.iterdir()
        sizes.append(sum(file.stat().st_size for file in folder.iterdir()))
    assert sizes[-1] <= sizes[2] + 200
    assert one.worker._removed == []


def test_without_the_runs_lock_nobody_counts_twice_or_not_at_all(run):
    """While others hold the lock and bury, a page has each worker once."""
    one, others = One(), [One() for _ in range(12)]
    for each in others:
        each.asked.labels("x").inc()
    (folder,) = map(str, run.iterdir())
    seen, stop = [], threading.Event()
    for each in others:
        each.worker.save()

    def bury():
        with ledger.locked(folder, 10) as held:
            assert held
            for each in others:
                each.die()
                time.sleep(0.02)
                ledger.bury(folder, ledger.members(folder).dead)
            stop.wait(30)

    thread = threading.Thread(target=bury)
    thread.start()
    one.worker.__dict__["_whole"] = lambda seat: _unlocked(one.worker, seat)
    while thread.is_alive() and len(seen) < 40:
        seen.append(one.page().get("x", 0))
    stop.set()
    thread.join()
    seen.append(one.page()["x"])
    assert set(seen) == {12}


def _unlocked(self, seat):
    """Do what a worker does that has waited for the run's lock in vain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "PATIENCE", 0)
        return Worker._whole(self, seat)


def test_a_fork_while_a_page_is_made_does_not_keep_the_runs_lock(run):
    """The child has the lock's file open, too, while it lives; whoever asks need not wait."""
    with ledger.locked(str(run), 1) as held:
        assert held
        pid = os.fork()
        if pid == 0:
            time.sleep(60)  # until it is killed
            os._exit(1)
    try:
        with ledger.locked(str(run), 0) as held:
            assert held
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_custom_collector_is_asked_for_pages_only(run):  # noqa: ARG001
    """What may ask a database is not asked every second; its counts outlive their worker."""
    one, two = One(), One()
    calls = []

    class Orders:
        def collect(self):
            calls.append(1)
            yield CounterMetricFamily("orders", "Orders.", value=len(calls))
            yield GaugeMetricFamily("open_orders", "Open orders.", 1)

    two.registry.register(Orders())
    for _ in range(5):
        two.worker.save()
    assert calls == []

    def orders():
        return {
            sample.name: sample.value
            for family in one.worker.gather()
            for sample in family.samples
            if "orders" in sample.name
        }

    assert orders() == {"orders_total": 1, "open_orders": 1}
    two.worker.save()
    two.die()
    assert orders() == {"orders_total": 1}


def test_a_broken_collector_of_a_peer_costs_no_counts(run):  # noqa: ARG001
    """A peer whose own collector raises tells everything else."""
    one, two = One(), One()
    two.asked.labels("x").inc(3)

    class Broken:
        def collect(self):
            raise OSError("no database")

        def describe(self):
            return []

    two.registry.register(Broken())
    assert one.page() == {"x": 3}
    with pytest.raises(OSError, match="no database"):
        two.page()


def test_a_hung_peer_is_told_of_by_its_last_snapshot(run):  # noqa: ARG001
    """Whoever does not answer in time counts as it had saved."""
    one, two = One(), One()
    two.asked.labels("x").inc(3)
    two.worker.save()
    hung = threading.Event()

    class Slow:
        def collect(self):
            hung.wait(30)
            return []

        def describe(self):
            return []

    two.registry.register(Slow())
    assert one.page() == {"x": 3}
    two.asked.labels("x").inc(1)
    two.worker.save()  # which waits for no collector
    assert one.page() == {"x": 4}
    hung.set()


def test_one_page_of_a_process_has_one_worker():
    """Two applications that show the same registry under one name are one worker."""
    registry = CollectorRegistry()
    one = shared(registry, "a /metrics")
    assert shared(registry, "a /metrics") is one
    assert shared(registry, "b /metrics") is not one
    assert shared(CollectorRegistry(), "a /metrics") is not one


def test_a_directory_that_is_emptied_again_and_again_leaves_no_threads(run, until):
    """Each new place ends what listened at the old one."""
    one = One()
    one.asked.labels("x").inc()
    before = threading.active_count()
    for _ in range(5):
        (folder,) = run.iterdir()
        for file in folder.iterdir():
            with contextlib.suppress(OSError):
                file.unlink()
        assert one.page() == {"x": 1}
    until(lambda: threading.active_count() <= before)


RECYCLED = """
import json, os, sys, time
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from gnomon.workers import ledger, worker

worker.INTERVAL = 3600
registry = CollectorRegistry()
asked = Counter("asked", "Asked.", ["route"], registry=registry)
seconds = Histogram("seconds", "Seconds.", ["route"], registry=registry)
Gauge("level", "Level.", registry=registry).set(1)

def one():
    return worker.Worker("recycled", registry)

folder = os.path.join(os.environ["GNOMON_RUN_DIR"], one()._name)
scraper = worker.Worker("recycled", CollectorRegistry())

def scrape():
    began = time.thread_time()
    page = {s.name: s.value for f in scraper.gather() for s in f.samples if s.name in
            ("asked_total", "seconds_count", "level", "gnomon_workers") and
            s.labels.get("route") in (None, "/0")}
    names = os.listdir(folder)
    size = sum(os.stat(os.path.join(folder, name)).st_size for name in names)
    return {"s": time.thread_time() - began, "files": len(names), "bytes": size, **page}

print(json.dumps(scrape()), flush=True)
for n in range(1, int(sys.argv[1]) + 1):
    mine = one()
    pid = os.fork()
    if pid == 0:
        for route in range(10):
            asked.labels(f"/{route}").inc()
            seconds.labels(f"/{route}").observe(0.1)
        mine.start()
        mine._joined()
        mine.save()
        until = time.monotonic() + 20
        while ledger.members(folder).dead and time.monotonic() < until:
            time.sleep(0.001)  # its own thread buries who came before
        os._exit(0)
    os.waitpid(pid, 0)
    if n % 100 == 0:
        print(json.dumps(scrape()), flush=True)
    if n % 100 == 50:  # and some die between two scrapes
        print(json.dumps({"files": len(os.listdir(folder))}), flush=True)
"""


@pytest.mark.parametrize("cut", range(4))
def test_a_burial_that_is_cut_short_counts_once_and_is_made_good(cut, run, monkeypatch):
    """Whoever is killed while it removes a dead worker's files leaves them to the next."""
    one, two = One(), One()
    two.asked.labels("x").inc(3)
    two.die()
    unlink, left = os.unlink, [cut]

    def killed(path):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", killed)
        with contextlib.suppress(KeyboardInterrupt):
            one.page()
    assert One().page() == one.page() == {"x": 3}
    (folder,) = run.iterdir()
    assert len(list(folder.glob("*.alive"))) == 2
    assert list(folder.glob(f"{two.seat}*")) == []


@pytest.mark.timeout(300)
def test_a_thousand_recycled_workers_leave_one_ledger(tmp_path):
    """After 1,000 workers that came, counted and died, counts are whole and files and work few."""
    done = subprocess.run(
        [sys.executable, "-c", RECYCLED, "1000"],
        env=os.environ | {"GNOMON_RUN_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stderr == ""
    told = [json.loads(line) for line in done.stdout.splitlines()]
    scrapes = [page for page in told if "s" in page]
    assert [page.get("asked_total", 0) for page in scrapes] == list(range(0, 1001, 100))
    assert [page.get("seconds_count", 0) for page in scrapes] == list(range(0, 1001, 100))
    assert {page["gnomon_workers"] for page in scrapes} == {1}
    assert max(page["files"] for page in told) <= 10
    assert scrapes[-1]["bytes"] <= 1.2 * scrapes[1]["bytes"]
    # The work of a scrape, not the time that others take from it.
    assert min(page["s"] for page in scrapes[6:]) <= 5 * max(page["s"] for page in scrapes[1:5])


FORKS = """
import os, sys
from prometheus_client import CollectorRegistry, Counter
from gnomon.workers.worker import Worker

registry = CollectorRegistry()
asked = Counter("asked", "Asked.", registry=registry)
mine = Worker("forked", registry)
asked.inc(3)
for child in range(4):
    if os.fork() == 0:
        asked.inc()
        total = [s.value for f in mine.gather() for s in f.samples if s.name == "asked_total"]
        os._exit(0 if total == [3 + child + 1] else 1)
    _, status = os.wait()
    assert status == 0, child
"""


def test_a_forked_worker_leaves_its_parents_counts_to_the_parent(tmp_path):
    """What a parent had counted is in the total once, after any number of children."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        env=os.environ | {"GNOMON_RUN_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
