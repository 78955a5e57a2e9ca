"""One collector under guard: failing, hanging, flooding, asked by many at once."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.exposition import write
from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.guard import Guard
from gnomon_exporter.helpers import Helpers


class Scripted:
    """A collector that does what its test says."""

    def __init__(self, script: Callable[[], Iterable[Metric]]) -> None:
        self.script = script
        self.runs = 0

    def collect(self) -> Iterable[Metric]:
        self.runs += 1
        return self.script()


def _guard(script, *, threaded=True, timeout=5.0, cap=100):
    return Guard(
        "scripted",
        Scripted(script),
        helpers=Helpers() if threaded else None,
        timeout=timeout,
        cap=cap,
    )


def _run(guarded, patience=5.0):
    return guarded.finish(guarded.begin(), time.monotonic() + patience)


def _one():
    yield GaugeMetricFamily("one", "One.", 1)


@pytest.mark.parametrize("threaded", [True, False])
def test_success(threaded):
    """A run gives its families, its duration and the time of the success."""
    guarded = _guard(_one, threaded=threaded)
    outcome = _run(guarded)
    assert outcome.success is True
    assert [family.name for family in outcome.families] == ["one"]
    assert 0 < outcome.duration < 5
    assert abs(guarded.last_success - time.time()) < 5


@pytest.mark.parametrize("threaded", [True, False])
def test_failure_keeps_what_was_read_before_it(threaded):
    """What was yielded before the error is true and stays; success is 0."""

    def script():
        yield from _one()
        raise ZeroDivisionError("by the script")

    outcome = _run(_guard(script, threaded=threaded))
    assert outcome.success is False
    assert outcome.error == "ZeroDivisionError: by the script"
    assert [family.name for family in outcome.families] == ["one"]


def test_no_data_is_neither_success_nor_failure():
    """A machine without the subject has not failed, and has not succeeded either."""

    def script():
        raise NoData("no such device")

    guarded = _guard(script)
    assert _run(guarded).success is None
    assert guarded.last_success is None


@pytest.mark.parametrize("success", [None, True])
def test_what_is_absent_is_looked_for_again_later(monkeypatch, success):
    """A subject that is not there costs one run in ABSENT seconds, and is found when it comes.

    Whether its collector says so or just yields nothing.
    """
    there = False

    def script():
        if not there and success is None:
            raise NoData("no such device")
        if there:
            yield from _one()

    guarded = _guard(script)
    for _ in range(10):
        assert _run(guarded).success is success
    assert guarded.collector.runs == 1
    there = True
    monkeypatch.setattr("gnomon_exporter.guard.ABSENT", 0.0)
    assert _run(guarded).success is True
    monkeypatch.undo()
    assert _run(guarded).success is True
    assert guarded.collector.runs == 3


def test_a_family_is_written_anew_when_anything_in_it_changes():
    """Values, labels and series: the text is always that of the last run."""
    families = []

    def script():
        yield from families

    def _family(labels, *rows):
        family = GaugeMetricFamily("f", "F.", labels=labels)
        family.rows = list(rows)
        return family

    guarded = _guard(script)
    for family in (
        _family(["a"], (["x"], 1)),
        _family(["a"], (["x"], 1)),
        _family(["a"], (["x"], 2)),
        _family(["a"], (["y"], 2)),
        _family(["b"], (["y"], 2)),
        _family(["b"], (["y"], 2), (["z"], 3)),
        _family(["b"]),
        _family(["b"], (["y"], 2)),
        _family([], ([], 2)),
    ):
        families[:] = [family] if len(family) else [GaugeMetricFamily("g", "G.", 1)]
        assert _run(guarded).texts == [write(each) for each in families]


def test_hang_holds_one_thread_and_fails_later_scrapes_at_once():
    """However often it is asked, a stuck collector has one thread, and stays quick to refuse."""
    release = threading.Event()

    def script():
        release.wait(60)
        yield from _one()

    guarded = _guard(script, timeout=0.2)
    before = threading.active_count()
    assert "timed out" in _run(guarded).error
    started = time.monotonic()
    for _ in range(1000):
        assert _run(guarded).success is False
    assert time.monotonic() - started < 1.0  # 1,000 waits of 0.2 s would be 200 s
    assert threading.active_count() == before + 1
    assert guarded.collector.runs == 1
    release.set()


def test_recovers_after_a_hang():
    """When the stuck run comes back, the next scrape starts a new one and succeeds."""
    release = threading.Event()

    def script():
        release.wait(60)
        yield from _one()

    guarded = _guard(script, timeout=0.2)
    assert _run(guarded).success is False
    release.set()
    end = time.monotonic() + 5
    while guarded._flight is not None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert _run(guarded).success is True


def test_scrape_deadline_is_kept_though_the_collector_has_more_time():
    """The scrape's deadline ends the wait when it is earlier than the collector's timeout."""
    release = threading.Event()

    def script():
        release.wait(60)
        yield from _one()

    started = time.monotonic()
    outcome = _run(_guard(script, timeout=60), patience=0.2)
    assert time.monotonic() - started < 1.0
    assert outcome.success is False
    release.set()


@pytest.mark.parametrize("threaded", [True, False])
def test_two_scrapes_at_once_share_a_run(threaded):
    """Two scrapers at the same moment cost one run and see the same families."""
    entered, release = threading.Event(), threading.Event()

    def script():
        entered.set()
        release.wait(5)
        yield from _one()

    guarded = _guard(script, threaded=threaded)
    outcomes = []

    def scrape():
        outcomes.append(_run(guarded))

    first = threading.Thread(target=scrape)
    first.start()
    assert entered.wait(5)
    second = threading.Thread(target=scrape)
    second.start()
    release.set()
    first.join(5)
    second.join(5)
    assert guarded.collector.runs == 1
    assert outcomes[0] is outcomes[1]


def test_flood_of_series_is_cut_and_counted():
    """A family beyond the cap is cut; what was cut is counted, what is left is whole."""

    def script():
        family = GaugeMetricFamily("flood", "Flood.", labels=["n"])
        for n in range(1000):
            family.add_metric([str(n)], n)
        yield family

    guarded = _guard(script, cap=100)
    outcome = _run(guarded)
    assert len(outcome.families[0].samples) == 100
    assert outcome.success is True
    _run(guarded)
    assert guarded.dropped_total == 1800


def test_flood_of_families_is_stopped():
    """An endless stream of families ends at the cap, as a failure."""

    def script():
        n = 0
        while True:
            n += 1
            yield GaugeMetricFamily(f"flood_{n}", "Flood.", 1)

    outcome = _run(_guard(script, cap=100))
    assert outcome.success is False
    assert len(outcome.families) == 101


def test_slow_flood_is_stopped_at_its_timeout():
    """A collector that never stops yielding ends with its timeout; its thread does not linger."""

    def script():
        while True:
            time.sleep(0.01)
            yield GaugeMetricFamily("slow", "Slow.", 1)

    guarded = _guard(script, timeout=0.2, cap=100_000)
    assert _run(guarded).success is False
    end = time.monotonic() + 5
    while guarded._flight is not None:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_cannot_be_written_costs_only_its_family():
    """A bad name, label or value is left out, counted and reported; the rest stays."""

    def script():
        family = GaugeMetricFamily("ok", "Ok.")
        family.add_sample("not ok\n", {}, 1)
        yield family
        family = GaugeMetricFamily("label", "Label.")
        family.add_sample("label", {'x="': "y"}, 1)
        yield family
        yield GaugeMetricFamily("valueless", "Valueless.", "1")
        family = GaugeMetricFamily("numbered", "Numbered.", labels=["cpu"])
        family.add_metric([0], 1)
        yield family
        family = GaugeMetricFamily("short", "Short.", labels=["a", "b"])
        family.add_metric(["a"], 1)
        yield family
        yield from _one()

    guarded = _guard(script)
    outcome = _run(guarded)
    assert [family.name for family in outcome.families] == ["one"]
    assert outcome.success is False
    assert guarded.dropped_total == 5


def test_logs_changes_of_state_only(caplog):
    """Ten failures in a row are one line, the recovery is another."""
    broken = True

    def script():
        if broken:
            raise OSError("no luck")
        yield from _one()

    caplog.set_level(logging.INFO)
    guarded = _guard(script)
    for _ in range(10):
        _run(guarded)
    broken = False
    for _ in range(10):
        _run(guarded)
    assert [record.getMessage() for record in caplog.records] == [
        "collector scripted failed: no luck",
        "collector scripted works again",
    ]


def test_out_of_threads_is_a_failure_of_this_collector_only(monkeypatch):
    """When no thread can be had, the collector fails and can run again later."""

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    guarded = _guard(_one)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert _run(guarded).error == "can't start new thread"
    assert _run(guarded).success is True
