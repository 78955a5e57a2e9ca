"""Queues of one process: their own behaviour stays, and what is told of them is true."""

import asyncio
import contextlib
import enum
import gc
import logging
import logging.handlers
import queue as threads
import random
import threading
import time
import weakref

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import Metric

import gnomon
from gnomon import guard
from gnomon.queues import families
from gnomon.workers.merging import merge

KINDS = [
    *(threads.Queue, threads.LifoQueue, threads.PriorityQueue),
    *(asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue),
]


@pytest.fixture
def now(seen):
    """Return a function that gives a series as it is, None if it is not there."""

    def value(name, *labels):
        return seen.now().get((name, *labels))

    return value


def watched(made, name, **options):
    """Watch a queue that stays itself."""
    assert gnomon.watch_queue(made, name, **options) is made
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_keeps_its_order_and_is_counted(kind, now):
    """Depth, submissions and waits of every kind of both modules."""
    name = f"{kind.__module__} {kind.__name__}"
    queue = watched(kind(maxsize=5), name, priority=lambda _: "any")
    for number in (2, 1, 3):
        queue.put_nowait(number)
    assert now("gnomon_queue_depth", name, "any") == 3
    assert now("gnomon_queue_capacity", name) == 5
    order = {"LifoQueue": [3, 1, 2], "PriorityQueue": [1, 2, 3]}.get(kind.__name__, [2, 1, 3])
    assert [queue.get_nowait() for _ in range(3)] == order
    assert now("gnomon_queue_depth", name, "any") == 0
    assert now("gnomon_queue_submitted_total", name, "any") == 3
    assert now("gnomon_queue_wait_seconds_count", name, "any") == 3
    assert now("gnomon_queue_oldest_age_seconds", name) is None
    assert now("gnomon_queue_in_flight", name) is None, "nobody has told"


def test_what_does_not_enter_is_not_counted(now):
    """Full, in both ways and after a time limit, leaves everything as it was."""
    queue = watched(threads.Queue(1), "full")
    queue.put(1)
    with pytest.raises(threads.Full):
        queue.put_nowait(2)
    with pytest.raises(threads.Full):
        queue.put(2, timeout=0.01)
    assert now("gnomon_queue_submitted_total", "full", "") == 1
    assert now("gnomon_queue_depth", "full", "") == 1


def test_what_does_not_leave_is_not_counted(now):
    """Empty, in both ways and after a time limit."""
    queue = watched(threads.Queue(), "empty")
    with pytest.raises(threads.Empty):
        queue.get_nowait()
    with pytest.raises(threads.Empty):
        queue.get(timeout=0.01)
    with pytest.raises(threads.Empty), gnomon.take(queue, timeout=0.01):
        pass
    assert now("gnomon_queue_wait_seconds_count", "empty", "") is None
    assert now("gnomon_queue_in_flight", "empty") == 0
    assert now("gnomon_queue_workers", "empty") == 0


def test_cancellation_loses_no_item(now):
    """A getter and a putter that are cancelled leave asyncio's queue as it was."""

    async def run():
        queue = watched(asyncio.Queue(1), "cancelled")
        getter = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait("first")
        getter.cancel()  # it was woken already
        with pytest.raises(asyncio.CancelledError):
            await getter
        assert now("gnomon_queue_depth", "cancelled", "") == 1
        putter = asyncio.create_task(queue.put("second"))
        await asyncio.sleep(0)
        putter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putter
        assert now("gnomon_queue_submitted_total", "cancelled", "") == 1
        assert await queue.get() == "first"
        queue.task_done()
        await asyncio.wait_for(queue.join(), 30)
        assert queue.empty()
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()

    asyncio.run(run())
    assert now("gnomon_queue_completed_total", "cancelled", "0") == 1


def test_waits_and_the_oldest_items_age_are_true(now):
    """They lie between what clocks before and after each step say, whatever leaves first."""
    for kind in (threads.Queue, threads.LifoQueue, threads.PriorityQueue):
        name = f"true {kind.__name__}"
        queue = watched(kind(), name)
        entered = {}
        for number in (3, 1, 2):
            before = time.monotonic()
            queue.put((number, "item"))
            entered[number] = before, time.monotonic()
            time.sleep(0.05)
        least = most = 0.0
        while entered:
            earliest, latest = min(entered.values())
            before = time.monotonic()
            age = now("gnomon_queue_oldest_age_seconds", name)
            assert before - latest <= age <= time.monotonic() - earliest
            before = time.monotonic()
            number, _ = queue.get()
            earliest, latest = entered.pop(number)
            least += before - latest
            most += time.monotonic() - earliest
        label = {"PriorityQueue": ("1", "2", "3")}.get(kind.__name__, ("",))
        told = sum(now("gnomon_queue_wait_seconds_sum", name, value) for value in label)
        assert 0.29 < least <= told <= most
        assert now("gnomon_queue_oldest_age_seconds", name) is None


def test_the_oldest_of_a_heap_is_found_among_equal_and_repeated_items(now):
    """Random puts and gets against a model; the same object may be in it several times."""
    chance = random.Random(4)
    same = (1, -1)
    queue = watched(threads.PriorityQueue(), "heap", priority=lambda item: item[0])
    order = queue._put.__self__._order
    model = []
    for step in range(3000):
        if not model or chance.random() < 0.55:
            item = same if chance.random() < 0.3 else (chance.randrange(5), step)
            queue.put(item)
            model.append(item)
        else:
            item = queue.get()
            model.remove(item)
        assert len(order._entries) == len(model)
    by_priority = {str(p): sum(item[0] == p for item in model) for p in range(5)}
    shown = {p: now("gnomon_queue_depth", "heap", p) for p in by_priority}
    assert shown == by_priority
    while not queue.empty():
        queue.get()
    assert order.oldest() is None
    assert not order._numbers


class Urgency(enum.Enum):
    """Of a test's items."""

    HIGH = 1
    LOW = 2


def test_depth_by_priority(now):
    """By the function's word, an Enum by its name."""
    queue = watched(threads.Queue(), "by priority", priority=lambda item: item)
    for item in (Urgency.HIGH, Urgency.LOW, Urgency.LOW):
        queue.put(item)
    assert now("gnomon_queue_depth", "by priority", "high") == 1
    assert now("gnomon_queue_depth", "by priority", "low") == 2
    queue.get()
    assert now("gnomon_queue_depth", "by priority", "high") == 0


@pytest.mark.parametrize(
    ("item", "label"),
    [((3, "x"), "3"), ((-1, "x"), "-1"), ((1_700_000_000, "x"), ""), ((0.5, "x"), ""), (7, "")],
)
def test_the_first_of_a_priority_queues_tuples_is_the_priority_if_it_can_be_one(item, label, now):
    """A timestamp is none."""
    name = f"tuples {item}"
    queue = watched(threads.PriorityQueue(), name)
    queue.put(item)
    assert now("gnomon_queue_depth", name, label) == 1


def test_priorities_and_workers_are_few(seen):
    """Ten thousand different ones give 32 and 64 and one for the rest."""
    queue = watched(threads.Queue(), "few", priority=lambda item: item)
    for number in range(10_000):
        queue.put(number)
        with gnomon.take(queue, worker=f"w{number}"):
            pass
    series = [key for key in seen.now() if key[1] == "few"]
    assert len([key for key in series if key[0] == "gnomon_queue_submitted_total"]) == 33
    completed = {key[2] for key in series if key[0] == "gnomon_queue_completed_total"}
    assert len(completed) == 65
    assert seen("gnomon_queue_completed_total", "few", "_OTHER") == 10_000 - 64


def test_a_priority_function_that_fails_harms_nobody(now):
    """The item enters without a priority, and the fault is told at the next scrape."""

    def broken(_):
        raise RuntimeError("as ordered")

    queue = watched(threads.Queue(), "broken priority", priority=broken)
    queue.put(1)
    assert now("gnomon_queue_depth", "broken priority", "") == 1
    (faults,) = guard.families()
    assert any(s.labels["where"] == "queue" and s.value for s in faults.samples)
    assert queue.get() == 1


def test_a_queue_of_log_records_may_be_watched():
    """A fault inside of it is not logged into it while its lock is held."""

    def broken(_):
        raise RuntimeError("as ordered")

    queue = watched(threads.Queue(), "log records", priority=broken)
    handler = logging.handlers.QueueHandler(queue)
    logging.getLogger("gnomon").addHandler(handler)
    try:
        done = threading.Event()
        threading.Thread(target=lambda: (queue.put(1), done.set()), daemon=True).start()
        assert done.wait(20)
    finally:
        logging.getLogger("gnomon").removeHandler(handler)


def test_what_is_in_it_already_is_counted_but_its_wait_is_not_known(now):
    """Its age is at least what has passed since."""
    queue = threads.Queue()
    queue.put("before")
    watched(queue, "late")
    time.sleep(0.1)
    queue.put("after")
    assert now("gnomon_queue_depth", "late", "") == 2
    assert now("gnomon_queue_oldest_age_seconds", "late") >= 0.1
    assert now("gnomon_queue_submitted_total", "late", "") == 1
    assert [queue.get(), queue.get()] == ["before", "after"]
    assert now("gnomon_queue_wait_seconds_count", "late", "") == 1


class Wanted(threads.Queue):
    """Takes each item once."""

    def _init(self, _maxsize):
        self.queue = set()

    def _put(self, item):
        self.queue.add(item)

    def _get(self):
        return self.queue.pop()


def test_a_subclass_that_takes_each_item_once_is_told_truly(now):
    """What it does not take in did not enter."""
    queue = watched(Wanted(), "wanted")
    for item in "abab":
        queue.put(item)
    assert now("gnomon_queue_submitted_total", "wanted", "") == 2
    assert sorted((queue.get(), queue.get())) == ["a", "b"]
    assert now("gnomon_queue_wait_seconds_count", "wanted", "") == 2


@pytest.mark.skipif(not hasattr(threads.Queue, "shutdown"), reason="Python 3.13 brought it")
def test_items_that_a_shutdown_drops_did_not_wait(now):
    """They have left, and nobody got them."""
    queue = watched(threads.Queue(), "shut down")
    queue.put(1)
    queue.shutdown(immediate=True)
    assert now("gnomon_queue_depth", "shut down", "") == 0
    assert now("gnomon_queue_wait_seconds_count", "shut down", "") is None


def test_outcomes_of_what_was_taken(now):
    """Completed, failed, retried, dead, cancelled: each counts where it belongs, once."""
    queue = watched(threads.Queue(), "outcomes")
    for number in range(6):
        queue.put(number)
    with gnomon.take(queue, worker="w") as taken:
        assert taken.item == 0
        assert taken.waited < 10
        assert now("gnomon_queue_in_flight", "outcomes") == 1
        assert now("gnomon_queue_workers", "outcomes") == 1
        assert now("gnomon_queue_dead_total", "outcomes") == 0
    assert now("gnomon_queue_failed_total", "outcomes", "w") == 0
    assert now("gnomon_queue_retried_total", "outcomes", "w") == 0
    with pytest.raises(ValueError, match="as ordered"), gnomon.take(queue, worker="w"):
        raise ValueError("as ordered")
    with gnomon.take(queue, worker="w") as taken:
        taken.retried()
        queue.put(taken.item)
    with gnomon.take(queue, worker="w") as taken:
        taken.gave_up()
    with gnomon.take(queue, worker="w") as taken:
        taken.failed()
    with pytest.raises(KeyboardInterrupt), gnomon.take(queue, worker="w"):
        raise KeyboardInterrupt
    with gnomon.take(queue, worker="w"):
        pass
    assert now("gnomon_queue_completed_total", "outcomes", "w") == 2
    assert now("gnomon_queue_failed_total", "outcomes", "w") == 3
    assert now("gnomon_queue_retried_total", "outcomes", "w") == 1
    assert now("gnomon_queue_dead_total", "outcomes") == 1
    assert now("gnomon_queue_submitted_total", "outcomes", "") == 7
    assert now("gnomon_queue_run_seconds_count", "outcomes", "w") == 7
    assert now("gnomon_queue_in_flight", "outcomes") == 0
    assert queue.unfinished_tasks == 0, "take calls task_done"


def test_workers_of_asyncio_are_named_by_the_place_they_take(now):
    """Three workers at a time, thirty in all: three series; one that has a name keeps it."""

    async def worker(queue):
        for _ in range(2):
            async with gnomon.take(queue, timeout=30):
                await asyncio.sleep(0)

    async def run():
        queue = watched(asyncio.Queue(), "places")
        for _ in range(10):
            for number in range(6):
                queue.put_nowait(number)
            await asyncio.gather(*(asyncio.create_task(worker(queue)) for _ in range(3)))
            gc.collect()
        queue.put_nowait(1)
        queue.put_nowait(2)
        await asyncio.create_task(worker(queue), name="reaper")
        await asyncio.wait_for(queue.join(), 30)

    asyncio.run(run())
    done = [now("gnomon_queue_completed_total", "places", str(place)) for place in range(3)]
    assert sum(done) == 60
    assert now("gnomon_queue_completed_total", "places", "3") is None
    assert now("gnomon_queue_completed_total", "places", "reaper") == 2


def test_a_worker_that_is_cancelled_while_it_waits_takes_nothing(now):
    """And is no worker any more."""
    queue = watched(asyncio.Queue(), "leaving")

    async def run():
        async def work():
            async with gnomon.take(queue):
                pass

        worker = asyncio.create_task(work())
        for _ in range(3):
            await asyncio.sleep(0)
        assert now("gnomon_queue_workers", "leaving") == 1
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        with pytest.raises(TimeoutError):
            async with gnomon.take(queue, timeout=0.01):
                pass

    asyncio.run(run())
    assert now("gnomon_queue_workers", "leaving") == 0
    assert now("gnomon_queue_completed_total", "leaving", "0") is None


def test_without_take_task_done_tells(now):
    """In flight are those for which it is due, and it completes an item."""
    queue = watched(threads.Queue(), "plain")
    for number in range(3):
        queue.put(number)
    queue.get()
    queue.get()
    queue.task_done()
    assert now("gnomon_queue_in_flight", "plain") == 1
    worker = threading.current_thread().name
    assert now("gnomon_queue_completed_total", "plain", worker) == 1


def test_many_threads_lose_nothing(now):
    """Eight threads put and take ten thousand items."""
    queue = watched(threads.Queue(100), "threads", priority=lambda item: item % 3)

    def put():
        for number in range(2500):
            queue.put(number)

    def work():
        while True:
            with gnomon.take(queue, timeout=30) as taken:
                if taken.item is STOP:
                    return

    workers = [threading.Thread(target=work) for _ in range(4)]
    putters = [threading.Thread(target=put) for _ in range(4)]
    for thread in (*workers, *putters):
        thread.start()
    for thread in putters:
        thread.join(60)
    for _ in workers:
        queue.put(STOP)
    for thread in workers:
        thread.join(60)
        assert not thread.is_alive()
    counts = [now("gnomon_queue_submitted_total", "threads", str(p)) for p in range(3)]
    assert sum(counts) == 10_004
    assert [now("gnomon_queue_depth", "threads", str(p)) for p in range(3)] == [0, 0, 0]
    assert now("gnomon_queue_in_flight", "threads") == 0


STOP = 3_000_000


def test_two_queues_of_one_name_are_one(now):
    """Depths and capacities are added, and one that is gone leaves."""
    one, two = (watched(threads.Queue(2), "twins") for _ in range(2))
    one.put(1)
    time.sleep(0.05)
    two.put(1)
    assert now("gnomon_queue_depth", "twins", "") == 2
    assert now("gnomon_queue_capacity", "twins") == 4
    assert now("gnomon_queue_oldest_age_seconds", "twins") >= 0.05
    kept = weakref.ref(one)
    del one
    assert kept() is None, "no cycle keeps it alive"
    assert now("gnomon_queue_depth", "twins", "") == 1


def test_a_scrape_does_not_wait_for_the_queues_lock(now):
    """Somebody holds it."""
    queue = watched(threads.Queue(), "locked")
    queue.put(1)
    with queue.mutex:
        assert now("gnomon_queue_depth", "locked", "") == 1


def test_a_simple_queue_is_watched_from_outside(now):
    """It is still a SimpleQueue, and never waits to put."""
    bare = threads.SimpleQueue()
    queue = gnomon.watch_queue(bare, "simple", priority=lambda item: item)
    assert isinstance(queue, threads.SimpleQueue)
    began = time.monotonic()
    queue.put("a")
    queue.put_nowait("b")
    bare.put("c")  # past us
    time.sleep(0.1)
    assert now("gnomon_queue_depth", "simple", "a") == 1
    age = now("gnomon_queue_oldest_age_seconds", "simple")
    assert 0.1 <= age <= time.monotonic() - began
    with gnomon.take(queue, worker="w") as taken:
        assert taken.item == "a"
        assert age <= taken.waited <= time.monotonic() - began
    assert (queue.get(timeout=1), queue.get_nowait()) == ("b", "c")
    with pytest.raises(threads.Empty):
        queue.get(timeout=0.01)
    assert (queue.qsize(), queue.empty()) == (0, True)
    assert now("gnomon_queue_submitted_total", "simple", "b") == 1
    assert now("gnomon_queue_completed_total", "simple", "w") == 1


def test_work_continues_the_trace_of_who_submitted_it():
    """What is taken runs in the submitter's trace, and the wait's exemplar is that trace."""
    tracer = TracerProvider().get_tracer("test")
    queue = watched(threads.Queue(), "traced")
    with tracer.start_as_current_span("submit") as span:
        queue.put(1)
    queue.put(2)
    ids = span.get_span_context()
    with gnomon.take(queue):
        current = trace.get_current_span().get_span_context()
        assert (current.trace_id, current.span_id) == (ids.trace_id, ids.span_id)
    with gnomon.take(queue):
        assert not trace.get_current_span().get_span_context().is_valid
    exemplars = [
        sample.exemplar.labels
        for sample in families.wait.metric().samples
        if sample.exemplar and sample.labels["queue"] == "traced"
    ]
    assert exemplars == [
        {
            "trace_id": trace.format_trace_id(ids.trace_id),
            "span_id": trace.format_span_id(ids.span_id),
        }
    ]


def test_a_worker_that_a_request_began_is_no_part_of_that_request():
    """Its own span is current again after the block; within, it is the submitter's."""
    tracer = TracerProvider().get_tracer("test")
    queue = watched(threads.Queue(), "begun in a request")
    with tracer.start_as_current_span("submit") as submit:
        queue.put(1)
    with tracer.start_as_current_span("request") as request:
        with gnomon.take(queue):
            inside = trace.get_current_span().get_span_context().span_id
        assert trace.get_current_span() is request
    assert inside == submit.get_span_context().span_id


@pytest.mark.parametrize(
    ("end", "outcome", "failed"),
    [
        (lambda taken: None, "completed", False),  # noqa: ARG005
        (lambda taken: taken.retried(), "retried", True),
        (lambda taken: taken.gave_up(), "dead", True),
        (lambda taken: {}[taken], "failed", True),
    ],
    ids=["completed", "retried", "gave up", "raised"],
)
def test_work_is_a_span_below_the_submitter_s(monkeypatch, end, outcome, failed):
    """Of a consumer, as long as the block; what the block does is below it, its failure is told."""
    provider, kept = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    queue = watched(threads.Queue(), "spans")
    with provider.get_tracer("test").start_as_current_span("submit") as submit:
        queue.put(1)
    with contextlib.suppress(KeyError), gnomon.take(queue, worker="w") as taken:
        with provider.get_tracer("test").start_as_current_span("inside"):
            pass
        end(taken)
    assert not trace.get_current_span().get_span_context().is_valid
    _, inside, work = kept.get_finished_spans()
    assert (work.name, work.kind) == ("process spans", trace.SpanKind.CONSUMER)
    assert work.parent.span_id == submit.get_span_context().span_id
    assert inside.parent.span_id == work.context.span_id
    assert work.attributes["messaging.destination.name"] == "spans"
    assert work.attributes["gnomon.queue.outcome"] == outcome
    assert (work.status.status_code is trace.StatusCode.ERROR) is failed
    assert not work.events


def test_work_of_no_trace_or_of_one_that_is_not_kept_is_no_span(monkeypatch):
    """Nothing is made that nobody would see."""
    provider, kept = TracerProvider(sampler=ALWAYS_OFF), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    asked = []
    monkeypatch.setattr(trace, "get_tracer", lambda *names: asked.append(names))
    queue = watched(threads.Queue(), "no spans")
    with provider.get_tracer("test").start_as_current_span("submit"):
        queue.put(1)
    queue.put(2)
    for _ in range(2):
        with gnomon.take(queue):
            pass
    assert (asked, kept.get_finished_spans()) == ([], ())


def test_wrong_use_is_named():
    """With what to do instead."""
    with pytest.raises(TypeError, match=r"takes an asyncio\.Queue"):
        gnomon.watch_queue([], "list")
    with pytest.raises(ValueError, match="give the queue's"):
        gnomon.watch_queue(threads.Queue(), "")
    with pytest.raises(TypeError, match="priority is a function"):
        gnomon.watch_queue(threads.Queue(), "x", priority=3)
    queue = watched(threads.Queue(), "one name")
    assert gnomon.watch_queue(queue, "one name") is queue
    with pytest.raises(ValueError, match="watched already"):
        gnomon.watch_queue(queue, "another")
    with pytest.raises(TypeError, match="not watched"):
        gnomon.take(threads.Queue())

    async def run():
        with pytest.raises(TypeError, match="would block the event loop"):
            async with gnomon.take(queue):
                pass
        of_asyncio = watched(asyncio.Queue(), "of asyncio")
        with pytest.raises(TypeError, match="async with"), gnomon.take(of_asyncio):
            pass

    asyncio.run(run())


def test_queues_of_several_workers_are_one():
    """Depths are added; the oldest item is that of all workers."""

    def page(depth, age):
        for name, value in (("depth", depth), ("oldest_age_seconds", age)):
            metric = Metric(f"gnomon_queue_{name}", "", "gauge")
            metric.add_sample(metric.name, {"queue": "q"}, value)
            yield metric

    merged = merge([page(2, 7.5), page(3, 1.5)])
    assert [sample.value for family in merged for sample in family.samples] == [5, 7.5]
