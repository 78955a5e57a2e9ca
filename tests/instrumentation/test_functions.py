"""Functions that are timed."""

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import sys
import threading
import time
import weakref
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI

import gnomon
from gnomon import functions, subjects


@pytest.fixture
def shown():
    """Return a function that gives a sample's value on the page, None if it is not there."""

    def value(name, **labels):
        for family in subjects.collect():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    return value


@pytest.fixture
def calls(shown):
    """Return a function that gives a timed function's number of calls."""
    return lambda name: shown("gnomon_function_duration_seconds_count", function=name)


@pytest.fixture
def errors(shown):
    """Return a function that gives a timed function's number of errors of a type."""
    return lambda name, kind: shown("gnomon_function_errors_total", function=name, error_type=kind)


def burn(seconds):
    """Use so much CPU time of this thread; return how much it was."""
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        sum(range(1000))
    return time.thread_time() - began


def test_calls_time_and_cpu_are_those_of_the_function(shown, calls):
    """Two calls that burn 0.1 s each and sleep as long use 0.2 s of CPU, and take 0.4 s."""

    @gnomon.timed("burns and sleeps")
    def work():
        used = burn(0.1)
        time.sleep(0.1)
        return used

    used = work() + work()
    assert calls("burns and sleeps") == 2
    cpu = shown("gnomon_function_cpu_seconds_total", function="burns and sleeps")
    assert used <= cpu <= used + 0.02
    assert shown("gnomon_function_duration_seconds_sum", function="burns and sleeps") >= 0.4


def test_an_exception_passes_unchanged_and_is_counted_by_its_class(errors, calls):
    """The same object comes out, and the call counts."""

    class BrokenError(Exception):
        pass

    broken = BrokenError("secret")

    @gnomon.timed("raises")
    def raises():
        raise broken

    with pytest.raises(BrokenError) as caught:
        raises()
    assert caught.value is broken
    assert calls("raises") == 1
    assert errors("raises", f"{__name__}.{BrokenError.__qualname__}") == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration])
def test_even_what_is_no_exception_is_counted(errors, error):
    """Whatever ends a call passes through."""

    @gnomon.timed(f"ends by {error.__name__}")
    def ends():
        raise error

    with pytest.raises(error):
        ends()
    assert errors(f"ends by {error.__name__}", error.__name__) == 1


def test_of_a_coroutine_only_its_own_steps_cost_cpu(shown, calls):
    """Three at once in one loop, each burning 0.1 s in pieces, report 0.3 s and not 0.9."""

    @gnomon.timed("coroutine")
    async def work():
        used = 0.0
        for _ in range(5):
            used += burn(0.02)
            await asyncio.sleep(0.001)
        return used

    async def run():
        return sum(await asyncio.gather(work(), work(), work()))

    used = asyncio.run(run())
    assert calls("coroutine") == 3
    cpu = shown("gnomon_function_cpu_seconds_total", function="coroutine")
    assert used <= cpu <= used + 0.03


def test_a_cancelled_task_is_cancelled_and_counted(errors, calls):
    """The function sees the cancellation, may tidy up, and the task ends cancelled."""
    seen = []

    @gnomon.timed("cancelled")
    async def waits():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            seen.append("tidied")

    async def run():
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert task.cancelled()

    asyncio.run(run())
    assert seen == ["tidied"]
    assert calls("cancelled") == 1
    assert errors("cancelled", "asyncio.exceptions.CancelledError") == 1


def test_a_coroutine_may_swallow_what_is_thrown_into_it(calls):
    """A timeout inside the function works as without the decorator."""

    @gnomon.timed("times out inside")
    async def patient():
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            return "late"

    assert asyncio.run(patient()) == "late"
    assert calls("times out inside") == 1


def test_a_coroutine_that_is_dropped_counts_and_is_closed(calls):
    """One that was never awaited counts nothing; one that was left half way is closed."""
    closed = []

    @gnomon.timed("dropped")
    async def waits():
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    never = waits()
    never.close()
    assert calls("dropped") is None
    half = waits()
    half.send(None)
    half.close()
    assert closed == [True]
    assert calls("dropped") == 1


def test_a_generator_is_the_same_generator(calls, errors):
    """Items, sent values, thrown exceptions and the returned value pass; the call counts once."""

    @gnomon.timed("generator")
    def echo():
        got = yield "first"
        try:
            got = yield got
        except ValueError:
            got = yield "caught"
        return got

    assert inspect.isgeneratorfunction(echo)
    generator = echo()
    assert calls("generator") is None
    assert next(generator) == "first"
    assert generator.send("sent") == "sent"
    assert generator.throw(ValueError()) == "caught"
    with pytest.raises(StopIteration) as end:
        generator.send("last")
    assert end.value.value == "last"
    assert calls("generator") == 1
    assert errors("generator", "ValueError") is None


def test_a_generators_time_is_not_its_consumers(shown):
    """What happens between the items is another's time."""

    @gnomon.timed("consumed")
    def items():
        for _ in range(2):
            time.sleep(0.05)
            yield

    slept = 0.0
    began = time.perf_counter()
    for _ in items():
        asleep = time.perf_counter()
        time.sleep(0.1)
        slept += time.perf_counter() - asleep
    rest = time.perf_counter() - began - slept
    seconds = shown("gnomon_function_duration_seconds_sum", function="consumed")
    assert 0.1 <= seconds <= rest


@pytest.mark.parametrize("how", ["close", "drop", "break"])
def test_a_generator_that_is_closed_early_is_closed_and_no_error(how, shown, calls):
    """Its own tidying up runs and counts, whichever way it was left."""
    name = f"closed by {how}"
    closed = []

    @gnomon.timed(name)
    def items():
        try:
            while True:
                yield
        finally:
            closed.append(burn(0.02))

    if how == "break":
        for _ in items():
            break
    else:
        generator = items()
        next(generator)
        if how == "close":
            generator.close()
        del generator
    gc.collect()
    assert len(closed) == 1
    assert calls(name) == 1
    assert shown("gnomon_function_cpu_seconds_total", function=name) >= closed[0]
    assert not any(
        sample.labels["function"] == name for sample in functions._errors.metric().samples
    )


def test_a_generator_that_fails(errors, calls):
    """An exception in it passes, and is counted once."""

    @gnomon.timed("fails later")
    def items():
        yield 1
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        list(items())
    assert (calls("fails later"), errors("fails later", "KeyError")) == (1, 1)


def test_an_asynchronous_generator_is_the_same_generator(calls, errors):
    """Items, sent values, thrown exceptions and an early end pass; closing it is no error."""
    closed = []

    @gnomon.timed("async generator")
    async def echo():
        try:
            got = yield "first"
            while True:
                await asyncio.sleep(0)
                try:
                    got = yield got
                except ValueError:
                    got = "caught"
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    assert inspect.isasyncgenfunction(echo)

    async def run():
        generator = echo()
        assert await anext(generator) == "first"
        assert await generator.asend("sent") == "sent"
        assert await generator.athrow(ValueError()) == "caught"
        assert calls("async generator") is None
        await generator.aclose()
        assert closed == [True]
        async for _ in echo():
            break
        generator = echo()
        await anext(generator)
        with pytest.raises(KeyError):
            await generator.athrow(KeyError())
        generator = None
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(run())  # its end closes what `break` left behind
    assert len(closed) == 3
    assert calls("async generator") == 3
    assert errors("async generator", "KeyError") == 1
    assert errors("async generator", "GeneratorExit") is None


def test_an_asynchronous_generator_cancelled_in_a_step(errors):
    """The cancellation reaches the generator and the task."""

    @gnomon.timed("cancelled step")
    async def items():
        yield 1
        await asyncio.sleep(60)
        yield 2

    async def consume():
        async for _ in items():
            pass

    async def run():
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert errors("cancelled step", "asyncio.exceptions.CancelledError") == 1


def test_names_and_kinds(calls):
    """The default name is the qualified one; methods, partials and objects may be timed."""

    class Model:
        @gnomon.timed
        def plain(self):
            """Say so."""
            return self

        @gnomon.timed()
        @classmethod
        def of_class(cls):
            return cls

        @gnomon.timed("static")
        @staticmethod
        def static():
            return 3

        def __call__(self):
            return 4

    model = Model()
    assert model.plain() is model
    assert (model.plain.__name__, model.plain.__doc__) == ("plain", "Say so.")
    assert Model.of_class() is Model
    assert (Model.static(), gnomon.timed("object")(model)()) == (3, 4)
    assert gnomon.timed(functools.partial(burn, 0))() >= 0
    prefix = f"{__name__}.test_names_and_kinds.<locals>.Model"
    assert calls(f"{prefix}.plain") == 1
    assert calls(f"{prefix}.of_class") == 1
    assert calls("static") == calls("object") == 1
    assert calls(f"{__name__}.burn") == 1


def test_routes_and_dependencies_may_be_timed(registry, ask, value):
    """FastAPI sees the function's own parameters, and the page shows its calls."""
    app = FastAPI()

    @gnomon.timed("session")
    def session():
        yield 7

    @app.get("/items/{item}")
    @gnomon.timed("route")
    async def items(item: int, number: Annotated[int, Depends(session)]) -> int:
        return item * number

    gnomon.instrument(app, registry=registry)
    assert ask(app, ("GET", "/items/6")).json() == 42
    assert ask(app, ("GET", "/items/none")).status_code == 422
    calls = "gnomon_function_duration_seconds_count"
    assert value(calls, function="route") == 1
    assert value(calls, function="session") == 2
    gnomon.uninstrument(app)


@pytest.mark.parametrize("bad", [{"slow_seconds": 0}, {"memory_warn_mb": -1}])
def test_a_threshold_that_cannot_be_right_is_refused(bad):
    """At set-up, with the value."""
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        gnomon.timed(**bad)


@pytest.mark.parametrize("bad", [3, int])
def test_what_is_no_function_is_refused(bad):
    """A class would be one no longer."""
    with pytest.raises(TypeError, match="functions"):
        gnomon.timed("bad")(bad)


def test_slow_calls_are_counted_and_logged_with_their_trace(shown, caplog):
    """Each counts, the log has one line of many, and the next one tells how many it left out."""
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

    @gnomon.timed("slow", slow_seconds=0.001)
    def slow():
        time.sleep(0.002)

    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
    with caplog.at_level(logging.WARNING, "gnomon"), trace.use_span(span):
        for _ in range(3):
            slow()
    assert shown("gnomon_function_slow_total", function="slow") == 3
    (line,) = caplog.messages
    assert line.startswith("slow took 0.0")
    assert line.endswith(f"(trace {1:032x})")


def test_nobody_is_slow_who_may_be(shown):
    """None turns it off; a function below its threshold has 0."""

    @gnomon.timed("never slow", slow_seconds=None)
    def slow():
        time.sleep(0.001)

    slow()
    assert shown("gnomon_function_slow_total", function="never slow") == 0


def test_memory_that_a_call_leaves_behind(shown, caplog):
    """100 MiB that stay show as 100, and are warned of; what was freed before does not show."""

    @gnomon.timed("keeps", memory_warn_mb=64)
    def keeps():
        return b"x" * (100 << 20)

    @gnomon.timed("frees", memory_warn_mb=64)
    def frees():
        return len(b"x" * (100 << 20))

    with caplog.at_level(logging.WARNING, "gnomon"):
        frees()
        kept = keeps()
    assert len(kept) == 100 << 20
    added = shown("gnomon_function_memory_added_bytes_sum", function="keeps")
    assert abs(added / (1 << 20) - 100) < 5
    assert shown("gnomon_function_memory_added_bytes_sum", function="frees") < 5 << 20
    assert [m.partition(" left ")[0] for m in caplog.messages] == ["keeps"]


def test_nothing_is_said_of_memory_where_none_is_measured(monkeypatch, shown):
    """Without /proc the call counts, and its memory is absent."""
    monkeypatch.setattr(functions, "resident", lambda: None)

    @gnomon.timed("without proc", memory_warn_mb=1)
    def call():
        return 1

    assert call() == 1
    assert shown("gnomon_function_memory_added_bytes_count", function="without proc") is None
    assert shown("gnomon_function_duration_seconds_count", function="without proc") == 1


def test_calls_of_many_threads_all_count(calls, shown):
    """However often the interpreter switches between them."""

    @gnomon.timed("threads", slow_seconds=None)
    def call():
        pass

    def work():
        for _ in range(20_000):
            call()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert calls("threads") == 120_000
    assert (
        shown("gnomon_function_duration_seconds_bucket", function="threads", le="+Inf") == 120_000
    )


def test_a_fault_of_the_telemetry_stays_away_from_the_application(monkeypatch):
    """A log handler that raises does not change what a call returns."""

    class Broken(logging.Handler):
        def emit(self, _record):
            raise OSError("disk full")

    broken = Broken()
    monkeypatch.setattr(functions.log, "handlers", [*functions.log.handlers, broken])

    @gnomon.timed("faulty", slow_seconds=1e-9)
    def call():
        return "fine"

    assert call() == "fine"


def test_a_slow_call_of_a_sampled_trace_leaves_an_exemplar():
    """The bucket's sample carries the trace's id."""
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

    import gnomon.tracing  # as an instrumented application has

    @gnomon.timed("exemplary")
    def call():
        pass

    span = NonRecordingSpan(SpanContext(7, 8, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(span):
        call()
    exemplars = [
        sample.exemplar.labels["trace_id"]
        for sample in functions._duration.metric().samples
        if sample.labels["function"] == "exemplary" and sample.exemplar
    ]
    assert exemplars == [f"{7:032x}"]


class LostError(Exception):
    """An error of which one can tell whether it is gone."""


@gnomon.timed
async def waits():
    """Wait for what never comes."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@gnomon.timed
def raises(errors):
    """Raise the error at the second step."""
    yield 1
    raise errors.pop()


@gnomon.timed
async def raises_asynchronously(errors):
    """Raise the error at once."""
    raise errors.pop()
    yield


def thrown_into_a_coroutine(errors):
    """Throw it into one that waits."""
    awaited = waits()
    awaited.send(None)
    awaited.throw(errors.pop())


def thrown_into_a_generator(errors):
    """Throw it into one that was begun."""
    items = raises(None)
    next(items)
    items.throw(errors.pop())


def raised_by_a_generator(errors):
    """Take all that it has to give."""
    list(raises(errors))


def raised_by_an_asynchronous_generator(errors):
    """Ask for its first item."""
    raises_asynchronously(errors).__anext__().send(None)


@pytest.mark.parametrize(
    "lose",
    [
        thrown_into_a_coroutine,
        thrown_into_a_generator,
        raised_by_a_generator,
        raised_by_an_asynchronous_generator,
    ],
)
def test_an_error_is_gone_once_nobody_has_it(lose):
    """No cycle keeps it, with all that its traceback holds, until garbage is collected."""
    gc.disable()
    try:
        errors = [LostError()]  # a frame's own name for it would be such a cycle
        gone = weakref.ref(errors[0])
        with contextlib.suppress(LostError):
            lose(errors)
        assert errors == []
        assert gone() is None
    finally:
        gc.enable()
