"""multiprocessing's queues: what several processes put and take, told once."""

import multiprocessing
import os
import queue as threads
import signal
import time

import pytest

import gnomon
from gnomon.queues.processes import OVERTAKING, Envelope, Ledger
from queue_work import PATIENCE, echo, priority, put_some

# Processes that begin, on a machine that is busy.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["fork", "spawn"])
def context(request):
    """Both ways to begin a process."""
    return multiprocessing.get_context(request.param)


@pytest.fixture
def now(seen):
    """Return a function that gives a series as it is, None if it is not there."""

    def value(name, *labels):
        return seen.now().get((name, *labels))

    return value


def ended(process):
    """Wait for a process that succeeds."""
    process.join(PATIENCE)
    assert process.exitcode == 0


def until(condition):
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_another_processs_items_are_seen_here(context, now):
    """Depth by priority and the oldest item's age, of what only others have put."""
    name = f"from another {context.get_start_method()}"
    queue = gnomon.watch_queue(context.Queue(20), name, priority=priority)
    began = time.monotonic()
    process = context.Process(target=put_some, args=(queue, [1, 2, 30]))
    process.start()
    ended(process)
    until(lambda: queue.qsize() == 3)
    assert now("gnomon_queue_depth", name, "high") == 2
    assert now("gnomon_queue_depth", name, "low") == 1
    assert now("gnomon_queue_capacity", name) == 20
    first = now("gnomon_queue_oldest_age_seconds", name)
    assert 0 < first <= time.monotonic() - began
    assert sorted(queue.get(timeout=PATIENCE) for _ in range(3)) == [1, 2, 30]
    assert now("gnomon_queue_depth", name, "high") == 0
    assert now("gnomon_queue_oldest_age_seconds", name) is None
    waits = [now("gnomon_queue_wait_seconds_count", name, label) for label in ("high", "low")]
    assert waits == [2, 1]


def test_waits_cross_processes(context, now):
    """What was put here and taken elsewhere waited as long as the clock says."""
    name = f"to another {context.get_start_method()}"
    queue, answers = gnomon.watch_queue(context.JoinableQueue(), name), context.Queue()
    before = time.monotonic()
    queue.put("item")
    queue.put(None)
    after = time.monotonic()
    time.sleep(0.2)
    asked = time.monotonic()
    assert asked - after <= now("gnomon_queue_oldest_age_seconds", name)
    process = context.Process(target=echo, args=(queue, answers))
    process.start()
    item, waited = answers.get(timeout=PATIENCE)
    assert item == "item"
    assert asked - after <= waited <= time.monotonic() - before
    assert answers.get(timeout=PATIENCE)[0] is None
    ended(process)
    queue.join()  # take has called task_done there
    assert now("gnomon_queue_submitted_total", name, "") == 2
    assert now("gnomon_queue_capacity", name) is None
    assert now("gnomon_queue_in_flight", name) is None, "that process tells it"


def test_full_and_empty_are_its_own(now):
    """They are raised as ever, and nothing is counted for them."""
    queue = gnomon.watch_queue(multiprocessing.Queue(1), "own")
    with pytest.raises(threads.Empty):
        queue.get_nowait()
    with pytest.raises(threads.Empty):
        queue.get(timeout=0.01)
    queue.put(1)
    with pytest.raises(threads.Full):
        queue.put_nowait(2)
    with pytest.raises(threads.Full):
        queue.put(2, timeout=0.01)
    assert queue.full()
    assert not hasattr(queue, "task_done")
    assert now("gnomon_queue_submitted_total", "own", "") == 1
    assert queue.get(timeout=PATIENCE) == 1
    assert now("gnomon_queue_oldest_age_seconds", "own") is None
    queue.close()
    queue.join_thread()
    with pytest.raises(ValueError, match="closed"):
        queue.put(3)
    assert now("gnomon_queue_submitted_total", "own", "") == 1


def test_an_item_that_cannot_be_pickled_is_forgotten(now, capfd):
    """It is lost as ever; its place and its age do not stay."""
    queue = gnomon.watch_queue(multiprocessing.Queue(), "unpicklable")
    queue.put(lambda: None)
    until(lambda: "pickle" in capfd.readouterr().err)
    assert now("gnomon_queue_oldest_age_seconds", "unpicklable") is None
    queue.put("fine")
    assert queue.get(timeout=PATIENCE) == "fine"


def test_a_process_that_dies_in_the_middle_of_counting_stops_no_other(now):
    """The lock that it held for ever costs the gauges, not the queue."""
    context = multiprocessing.get_context("fork")
    queue = gnomon.watch_queue(context.Queue(), "killed")
    lock = queue._ledger._lock
    process = context.Process(target=lambda: (lock.acquire(), os.kill(os.getpid(), signal.SIGKILL)))
    process.start()
    process.join(PATIENCE)
    queue.put(1)
    queue.put(2)
    assert [queue.get(timeout=PATIENCE) for _ in range(2)] == [1, 2]
    assert now("gnomon_queue_submitted_total", "killed", "") == 2
    assert now("gnomon_queue_wait_seconds_count", "killed", "") == 2
    queue.put(3)
    assert now("gnomon_queue_oldest_age_seconds", "killed") is None
    assert now("gnomon_queue_depth", "killed", "") == 1


def test_who_puts_into_the_queue_itself_is_served(now):
    """What comes without an envelope has no wait."""
    bare = multiprocessing.Queue()
    queue = gnomon.watch_queue(bare, "bare")
    bare.put("plain")
    assert queue.get(timeout=PATIENCE) == "plain"
    assert now("gnomon_queue_wait_seconds_count", "bare", "") is None
    assert gnomon.watch_queue(queue, "bare") is queue


def entered(ledger, at, label=""):
    """Let an item enter at a time; return its envelope."""
    place, token = ledger.reserve()
    ledger.enter(place, token, label, at)
    return Envelope("item", label, place, token, None, at)


def test_a_longer_queue_than_there_are_places_tells_no_wrong_age():
    """Where the oldest item has no place the age is not known, and comes back later."""
    ledger = Ledger(2, multiprocessing)
    one, two, three, four = (entered(ledger, at) for at in (100.0, 101.0, 102.0, 103.0))
    assert (three.place, four.place) == (-1, -1)
    assert ledger.oldest() == 100.0
    ledger.leave(one)
    five = entered(ledger, 104.0)
    assert ledger.oldest() == 101.0
    ledger.leave(two)
    assert ledger.oldest() is None, "the third, of which nothing is known"
    ledger.leave(three)
    ledger.leave(four)
    assert ledger.oldest() == 104.0
    ledger.leave(five)
    assert ledger.oldest() is None


def test_an_item_that_was_lost_on_its_way_grows_no_older():
    """What left entered much later: the lost one's place is free again."""
    ledger = Ledger(1, multiprocessing)
    entered(ledger, 100.0)
    later = Envelope("item", "", -1, 0, None, 100.0 + 2 * OVERTAKING)
    ledger.leave(later)
    assert ledger.oldest() is None
    assert entered(ledger, 120.0).place == 0
    assert ledger.oldest() == 120.0


def test_an_item_that_leaves_before_its_entry_is_noted_leaves_nothing():
    """The consumer may be faster than the rest of put."""
    ledger = Ledger(4, multiprocessing)
    place, token = ledger.reserve()
    ledger.leave(Envelope("item", "", place, token, None, 100.0))
    ledger.enter(place, token, "", 100.0)
    assert ledger.oldest() is None
    assert ledger.counts() == {"": 0}


def test_twenty_priorities_are_sixteen():
    """The last is of all that are too many."""
    ledger = Ledger(100, multiprocessing)
    for number in range(20):
        entered(ledger, 1.0, f"p{number}")
    assert ledger.counts() == {**{f"p{n}": 1 for n in range(15)}, "_OTHER": 5}
