"""Jobs: runs, outcomes, durations, retries and progress, also under a real scheduler."""

import asyncio
import functools
import threading
import time

import pytest
from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import gnomon


@pytest.fixture
def now(seen):
    """Return a function that gives a series as it is, None if it is not there."""

    def value(name, *labels):
        return seen.now().get((name, *labels))

    return value


@pytest.fixture
def spans(monkeypatch):
    """The spans that the test makes, by a provider of its own that counts as the global one."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(
        trace, "get_tracer", lambda name, version="": provider.get_tracer(name, version)
    )
    return exporter.get_finished_spans


def test_a_job_that_never_ran_is_there():
    """Its failures are 0, not absent, so that an increase can be seen."""

    @gnomon.job("registered")
    def work():
        pass

    assert work.__name__ == "work"


def test_counters_exist_from_registration_on(now):
    """At 0; what has not happened has no time."""
    gnomon.job("from the start")
    assert now("gnomon_job_runs_total", "from the start", "success") == 0
    assert now("gnomon_job_runs_total", "from the start", "failure") == 0
    assert now("gnomon_job_retries_total", "from the start") == 0
    assert now("gnomon_job_active", "from the start") == 0
    assert now("gnomon_job_last_success_timestamp_seconds", "from the start") is None
    assert now("gnomon_job_progress_ratio", "from the start") is None


def test_a_function_keeps_its_result_and_its_exception(now):
    """Both pass through, and both are counted with their time."""

    @gnomon.job("a function")
    def work(number, *, fail=False):
        """Do it."""
        if fail:
            raise ValueError("as ordered")
        return number + 1

    before = time.time()
    assert work(1) == 2
    assert work.__doc__ == "Do it."
    success = now("gnomon_job_last_success_timestamp_seconds", "a function")
    assert before <= success <= time.time()
    with pytest.raises(ValueError, match="as ordered"):
        work(1, fail=True)
    assert now("gnomon_job_runs_total", "a function", "success") == 1
    assert now("gnomon_job_runs_total", "a function", "failure") == 1
    assert now("gnomon_job_duration_seconds_count", "a function", "failure") == 1
    assert now("gnomon_job_active", "a function") == 0
    assert now("gnomon_job_last_success_timestamp_seconds", "a function") == success
    assert now("gnomon_job_last_run_timestamp_seconds", "a function") >= success


def test_an_async_function_stays_one(now):
    """Its duration is until it has ended, and its cancellation is no failure."""

    @gnomon.job("async")
    async def work(seconds):
        await asyncio.sleep(seconds)
        return seconds

    assert asyncio.iscoroutinefunction(work)

    async def run():
        assert await work(0.1) == 0.1
        task = asyncio.create_task(work(3600))
        await asyncio.sleep(0.01)
        assert now("gnomon_job_active", "async") == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await work(3600)

    asyncio.run(run())
    assert now("gnomon_job_duration_seconds_sum", "async", "success") >= 0.1
    # What the function sees of a time limit around it is a cancellation.
    assert now("gnomon_job_runs_total", "async", "cancelled") == 2
    assert now("gnomon_job_runs_total", "async", "failure") == 0


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TimeoutError(), "timeout"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(0), "cancelled"),
        (SystemExit(3), "failure"),
        (OSError(), "failure"),
    ],
)
def test_outcomes(error, outcome, seen):
    """By what ended the run."""
    gnomon.job("outcomes")
    with pytest.raises(type(error)), gnomon.job("outcomes"):
        raise error
    assert seen("gnomon_job_runs_total", "outcomes", outcome) == 1


def test_time_limits_of_workers_are_timeouts(seen):
    """Those of Celery and RQ."""
    from celery.exceptions import Ignore, SoftTimeLimitExceeded
    from rq.timeouts import JobTimeoutException

    for error in (SoftTimeLimitExceeded(), JobTimeoutException()):
        with pytest.raises(type(error)), gnomon.job("limits"):
            raise error
    with pytest.raises(Ignore), gnomon.job("limits"):
        raise Ignore
    assert seen("gnomon_job_runs_total", "limits", "timeout") == 2
    assert seen("gnomon_job_runs_total", "limits", "cancelled") == 1


def test_progress_is_shown_while_it_runs(now):
    """Of several runs the one that is furthest behind; none once they have ended."""
    name = "progressing"
    with gnomon.job(name) as one:
        assert now("gnomon_job_progress_ratio", name) is None
        one.progress(0.75)
        assert now("gnomon_job_progress_ratio", name) == 0.75
        started, go = threading.Event(), threading.Event()

        def other():
            with gnomon.job(name):
                gnomon.current_run().progress(0.5)
                started.set()
                go.wait(30)

        thread = threading.Thread(target=other)
        thread.start()
        assert started.wait(30)
        assert now("gnomon_job_progress_ratio", name) == 0.5
        assert now("gnomon_job_active", name) == 2
        go.set()
        thread.join(30)
        assert now("gnomon_job_progress_ratio", name) == 0.75
        one.progress(7)
        assert now("gnomon_job_progress_ratio", name) == 1
        one.progress(float("nan"))
        one.progress("what")
        assert now("gnomon_job_progress_ratio", name) == 1
    assert now("gnomon_job_progress_ratio", name) is None


def test_outside_of_a_job_there_is_nothing_to_tell(seen):
    """The methods are there and do nothing."""
    gnomon.current_run().progress(0.5)
    gnomon.current_run().retried()
    assert seen.now().keys() == seen.before.keys()


def test_jobs_may_be_nested_and_the_same_object_used_again(seen):
    """Each block is a run; the inner one is current until it ends."""
    outer = gnomon.job("outer")
    with outer as first, gnomon.job("inner") as second:
        assert gnomon.current_run() is second
        with outer as third:
            assert gnomon.current_run() is third
        assert gnomon.current_run() is second
        second.retried()
    assert first is not third
    assert gnomon.current_run().name == ""
    assert seen("gnomon_job_runs_total", "outer", "success") == 2
    assert seen("gnomon_job_retries_total", "inner") == 1


def test_one_object_serves_many_tasks_at_once(seen):
    """Each task's block ends its own run."""
    shared = gnomon.job("shared")

    async def work(number):
        async with shared as run:
            await asyncio.sleep(0.001 * number)
            assert gnomon.current_run() is run

    async def run():
        await asyncio.gather(*(work(10 - number) for number in range(10)))

    asyncio.run(run())
    assert seen("gnomon_job_runs_total", "shared", "success") == 10


def test_a_function_that_fails_is_called_again(seen):
    """As often as asked, each call a run; the last failure is raised."""
    calls = []

    @gnomon.job("again", retries=2, pause=0)
    def work(until):
        calls.append(1)
        if len(calls) < until:
            raise OSError("as ordered")
        return "done"

    assert work(3) == "done"
    calls.clear()
    with pytest.raises(OSError, match="as ordered"):
        work(9)
    assert len(calls) == 3
    assert seen("gnomon_job_runs_total", "again", "failure") == 5
    assert seen("gnomon_job_runs_total", "again", "success") == 1
    assert seen("gnomon_job_retries_total", "again") == 4


def test_an_async_function_that_is_cancelled_is_not_called_again(seen):
    """Only failures are."""
    calls = []

    @gnomon.job("cancelled", retries=5, pause=0)
    async def work(again):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("as ordered")
        again.set()
        await asyncio.sleep(3600)

    async def run():
        again = asyncio.Event()
        task = asyncio.create_task(work(again))
        await asyncio.wait_for(again.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert len(calls) == 2
    assert seen("gnomon_job_retries_total", "cancelled") == 1


def test_each_run_is_a_span_and_continues_who_submitted_it(spans):
    """Below the parent that was given; a failure is told without its text."""
    with trace.get_tracer("test").start_as_current_span("submit") as span:
        headers = gnomon.trace_headers()
    ids = span.get_span_context()
    with pytest.raises(ValueError, match="secret"), gnomon.job("traced", parent=headers):
        raise ValueError("a secret")
    with gnomon.job("on its own"):
        pass
    _, child, alone = spans()
    assert child.name == "job traced"
    assert (child.context.trace_id, child.parent.span_id) == (ids.trace_id, ids.span_id)
    assert child.attributes["error.type"] == "ValueError"
    assert child.attributes["gnomon.job.outcome"] == "failure"
    assert "secret" not in child.to_json()
    assert alone.parent is None


def test_without_a_span_there_are_no_headers():
    """Nothing is invented, and hostile ones continue nothing."""
    assert gnomon.trace_headers() == {}
    with gnomon.job("hostile", parent={"traceparent": "00-zz-zz-01"}):
        assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    ("use", "kind", "remedy"),
    [
        (lambda: gnomon.job(lambda: None), TypeError, r'@gnomon\.job\("nightly"\)'),
        (lambda: gnomon.job(""), ValueError, "give the job's"),
        (lambda: gnomon.job("x")(3), TypeError, "no function"),
        (lambda: gnomon.job("x", retries=-1), ValueError, "below 0"),
        (lambda: gnomon.job("x", retries=1).__enter__(), TypeError, "with the decorator"),
    ],
)
def test_wrong_use_is_named(use, kind, remedy):
    """With what to do instead."""
    with pytest.raises(kind, match=remedy):
        use()


def test_generators_and_tasks_are_refused_at_once():
    """They would be measured wrongly."""

    def generator():
        yield 1

    with pytest.raises(TypeError, match="does nothing when it is called"):
        gnomon.job("x")(generator)
    from celery import Celery

    @Celery("x", set_as_current=False).task
    def task():
        pass

    with pytest.raises(TypeError, match="below the task's own decorator"):
        gnomon.job("x")(task)


def test_a_partial_and_a_method_are_jobs(seen):
    """Whatever can be called."""

    class Report:
        @gnomon.job("method")
        def write(self, text):
            return text

    assert Report().write("text") == "text"
    assert gnomon.job("method")(functools.partial(int, base=2))("101") == 5
    assert seen("gnomon_job_runs_total", "method", "success") == 2


def burn(seconds):
    """Use so many seconds of this thread's CPU."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_what_is_measured_in_a_job_knows_its_own_cpu_seconds():
    """Sync, and async beside another task that burns as much."""

    @gnomon.job("burning")
    def work():
        with gnomon.measure("burning") as usage:
            burn(0.2)
        return usage.own.cpu_seconds

    assert work() == pytest.approx(0.2, abs=0.05)

    @gnomon.job("burning")
    async def later():
        async with gnomon.measure("burning") as usage:
            for _ in range(10):
                burn(0.02)
                await asyncio.sleep(0)
        return usage.own.cpu_seconds

    async def run():
        return await asyncio.gather(later(), later())

    for seconds in asyncio.run(run()):
        assert seconds == pytest.approx(0.2, abs=0.05)


def test_under_apscheduler_in_threads(seen, until):
    """A real scheduler calls the function; it sees no difference."""
    calls = []

    @gnomon.job("scheduled")
    def work():
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("as ordered")

    scheduler = BackgroundScheduler()
    scheduler.add_job(work, "interval", seconds=0.05)
    scheduler.start()
    try:
        until(lambda: len(calls) >= 3, 30)
    finally:
        scheduler.shutdown()
    assert seen("gnomon_job_runs_total", "scheduled", "failure") == 1
    assert seen("gnomon_job_runs_total", "scheduled", "success") == len(calls) - 1


def test_under_apscheduler_in_an_event_loop(seen):
    """A coroutine function is recognised as one."""

    async def run():
        done = asyncio.Semaphore(0)

        @gnomon.job("scheduled async")
        async def work():
            await asyncio.sleep(0)
            done.release()

        scheduler = AsyncIOScheduler(executors={"default": AsyncIOExecutor()})
        scheduler.add_job(work, "interval", seconds=0.05)
        scheduler.start()
        async with asyncio.timeout(30):
            for _ in range(3):
                await done.acquire()
        scheduler.shutdown()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert seen("gnomon_job_runs_total", "scheduled async", "success") >= 2
