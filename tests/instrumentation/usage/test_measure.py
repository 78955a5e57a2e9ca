"""Measuring a piece of work: the eight numbers, as block, decorator and generator."""

import asyncio
import gc
import inspect
import threading
import time
import weakref

import pytest

import gnomon
from gnomon import guard
from gnomon.usage import piece, readings, recorded
from gnomon.usage.piece import KEYS
from gnomon.usage.readings import Reading
from gnomon.usage.samples import Samples

MIB = 2**20


def faults(where):
    """Return how often telemetry failed in a place."""
    (family,) = guard.families()
    return sum(s.value for s in family.samples if s.labels["where"] == where)


def test_exactly_the_eight_keys():
    """The names are those that the transcription system has in its answers, in that order."""
    with gnomon.measure("keys") as usage:
        pass
    assert tuple(usage.as_dict()) == KEYS
    assert KEYS == (
        "cpu_percent_avg",
        "cpu_percent_max",
        "ram_mb_avg",
        "ram_mb_peak",
        "gpu_vram_mb_current",
        "gpu_vram_mb_peak",
        "gpu_percent",
        "processing_time_sec",
    )


def test_cpu_is_the_processs(burn):
    """100 is one core in use over the whole time, whichever thread uses it."""
    outer = time.process_time()
    with gnomon.measure("cpu", interval=0.05) as usage:
        inner = time.process_time()
        thread = threading.Thread(target=burn, args=(0.1,))
        thread.start()
        thread.join()
        inner = time.process_time() - inner
    outer = time.process_time() - outer
    numbers = usage.as_dict()
    assert inner >= 0.1
    used = numbers["cpu_percent_avg"] / 100 * numbers["processing_time_sec"]
    assert inner - 0.01 <= used <= outer + 0.01
    assert numbers["cpu_percent_max"] >= numbers["cpu_percent_avg"]


def test_busiest_interval():
    """The largest use is that of an interval; a very short time is joined to the next one."""

    def at(seconds, cpu, resident=None, highest=None):
        return Reading(seconds, cpu, resident, highest)

    samples = Samples(at(10, 1), interval=0.5)
    samples.sampled(at(10.01, 1.01))  # all of a hundredth of a second: says nothing yet
    samples.sampled(at(10.5, 1.05))
    samples.sampled(at(11, 1.45))
    samples.sampled(at(11.5, 1.5))
    samples.sampled(at(11.51, 1.53), last=True)
    samples.sampled(at(12, 9))  # too late
    assert samples.cpu_max == pytest.approx(0.8)
    assert samples.cpu_avg == pytest.approx(0.53 / 1.51)
    assert samples.seconds == pytest.approx(1.51)
    short = Samples(at(10, 1), interval=0.5)
    short.sampled(at(10.01, 1.005), last=True)
    assert short.cpu_max == short.cpu_avg == pytest.approx(0.5)


def test_mean_and_peak_of_memory():
    """The mean is that of the looks; a peak between two counts if there never was a higher one."""
    samples = Samples(Reading(0, 0, 100, 500), interval=0.5)
    samples.sampled(Reading(0.5, 0, 400, 500))
    samples.sampled(Reading(1, 0, None, None))
    assert (samples.ram_avg, samples.ram_peak) == (250, 400)
    samples.sampled(Reading(1.5, 0, 130, 900), last=True)
    assert (samples.ram_avg, samples.ram_peak, samples.ram_added) == (210, 900, 30)


def test_memory_that_stays():
    """100 MiB that are held at the end show as 100 added, and in the peak."""
    with gnomon.measure("held") as usage:
        before = readings.read().resident
        held = b"x" * (100 * MIB)
    assert usage.own.ram_added_mb == pytest.approx(100, abs=5)
    assert usage.as_dict()["ram_mb_peak"] == pytest.approx(before / MIB + 100, abs=5)
    assert len(held) == 100 * MIB


def test_memory_that_came_and_went():
    """What is allocated and freed between two looks shows if the process was never so big."""
    with gnomon.measure("spike", interval=3600) as usage:
        now = readings.read()
        size = now.highest - now.resident + 64 * MIB
        spike = b"x" * size
        del spike
    assert usage.as_dict()["ram_mb_peak"] == pytest.approx(now.highest / MIB + 64, abs=5)
    assert usage.own.ram_added_mb == pytest.approx(0, abs=5)


def test_so_far():
    """While the work runs its numbers are those so far; afterwards they stay."""
    with gnomon.measure("live") as usage:
        held = b"x" * (64 * MIB)
        time.sleep(0.02)
        live = usage.as_dict()
        assert not usage.ended
        assert usage.own.ram_added_mb == pytest.approx(64, abs=5)
    del held
    time.sleep(0.02)
    assert usage.ended
    assert usage.as_dict() == usage.as_dict()
    assert 0.02 <= live["processing_time_sec"] < usage.as_dict()["processing_time_sec"]
    assert usage.own.ram_added_mb == pytest.approx(64, abs=5)


def test_samples_at_start_end_and_every_interval(until):
    """The mean is that of looks at the beginning, at the end, and in between."""
    with gnomon.measure("looks", interval=0.05) as usage:
        samples = usage.samples
        until(lambda: samples._count >= 4)
    with gnomon.measure("looks", interval=3600) as usage:
        pass
    assert usage.samples._count == 2


def test_without_a_gpu_the_keys_are_null_not_zero():
    """0 would be a claim; whoever wants the transcription system's zeros asks for them."""
    with gnomon.measure("none") as usage:
        pass
    with gnomon.measure("zeros", gpu_absent=0) as zeros:
        pass
    gpu = [key for key in KEYS if key.startswith("gpu")]
    assert [usage.as_dict()[key] for key in gpu] == [None, None, None]
    assert [zeros.as_dict()[key] for key in gpu] == [0, 0, 0]


def test_others_meanwhile():
    """Those that overlap are counted on both sides; those around and inside are not."""
    outer = gnomon.measure("outer")
    began, done = threading.Barrier(2), threading.Barrier(2)
    found = []

    def other():
        with gnomon.measure("other") as usage:
            began.wait(20)
            done.wait(20)
        found.append(usage.own)

    thread = threading.Thread(target=other)
    with outer as around, gnomon.measure("inner") as inside:
        thread.start()
        began.wait(20)
        done.wait(20)
        thread.join(20)
    assert around.own.concurrent == 1
    assert 0 < around.own.concurrent_avg <= 1
    assert inside.own.concurrent == 1
    assert found[0].concurrent == 2
    assert found[0].concurrent_avg == pytest.approx(2, abs=0.5)
    with gnomon.measure("alone") as alone:
        pass
    assert (alone.own.concurrent, alone.own.concurrent_avg) == (0, 0)


def test_histograms_active_and_errors(shown):
    """The numbers are counted by name, the failures by type; what is unknown is not there."""
    with gnomon.measure("counted"):
        assert shown("gnomon_usage_active", name="counted") == 1
    with pytest.raises(KeyError, match="gone"), gnomon.measure("counted"):
        raise KeyError("gone")
    assert shown("gnomon_usage_active", name="counted") == 0
    assert shown("gnomon_usage_errors_total", name="counted", error_type="KeyError") == 1
    for family in (
        "duration_seconds",
        "own_cpu_seconds",
        "cpu_avg_ratio",
        "cpu_max_ratio",
        "ram_avg_bytes",
        "ram_peak_bytes",
        "ram_added_bytes",
        "concurrent",
    ):
        assert shown(f"gnomon_usage_{family}_count", name="counted") == 2, family
    assert shown("gnomon_usage_gpu_ratio_count", name="counted") is None
    assert shown("gnomon_usage_gpu_vram_peak_bytes_count", name="counted") is None


def test_every_kind_of_function_stays_what_it_is():
    """A decorated function has its name, its kind, its result and its exceptions."""
    measure = gnomon.measure("kinds")

    @measure
    def plain(a, *, b):
        """Add."""
        return a + b

    @measure
    async def later(a):
        await asyncio.sleep(0)
        return a

    @measure
    def items(n):
        got = []
        for i in range(n):
            got.append((yield i))  # noqa: PERF401  # a comprehension cannot yield
        return got

    @measure
    async def later_items(n):
        for i in range(n):
            yield i

    @measure
    def broken():
        raise ValueError("no")

    async def run():
        return await later(3), [item async for item in later_items(3)]

    def consume():
        return (yield from items(2))

    assert plain(1, b=2) == 3
    assert plain.__doc__ == "Add."
    assert asyncio.run(run()) == (3, [0, 1, 2])
    assert list(items(2)) == [0, 1]
    consumer = consume()
    assert [next(consumer), consumer.send("x")] == [0, 1]
    with pytest.raises(StopIteration) as stop:
        consumer.send("y")
    assert stop.value.value == ["x", "y"]
    with pytest.raises(ValueError, match="no"):
        broken()
    assert inspect.iscoroutinefunction(later)
    assert inspect.isgeneratorfunction(items)
    assert inspect.isasyncgenfunction(later_items)


def test_generators_are_told_what_is_thrown_into_them(shown):
    """An exception at a yield reaches the generator, and so does its closing."""
    seen = []

    @gnomon.measure("thrown")
    def items():
        try:
            yield 1
        except KeyError as error:
            seen.append(error)
            yield 2
        finally:
            seen.append("closed")

    @gnomon.measure("thrown later")
    async def later_items():
        try:
            yield 1
        except KeyError as error:
            seen.append(error)
            yield 2
        finally:
            seen.append("closed")

    generator = items()
    assert next(generator) == 1
    error = KeyError()
    assert generator.throw(error) == 2
    generator.close()
    assert seen == [error, "closed"]
    seen.clear()

    async def run():
        generator = later_items()
        assert await anext(generator) == 1
        assert await generator.athrow(error) == 2
        await generator.aclose()

    asyncio.run(run())
    assert seen == [error, "closed"]
    for name in ("thrown", "thrown later"):
        assert shown("gnomon_usage_duration_seconds_count", name=name) == 1
        assert shown("gnomon_usage_active", name=name) == 0
        assert shown("gnomon_usage_errors_total", name=name) is None


def test_what_is_measured_here():
    """The innermost piece of work is found from inside, also by a decorated function."""
    assert gnomon.current_usage() is None

    @gnomon.measure("function")
    def name():
        return gnomon.current_usage().name

    @gnomon.measure("generator")
    def names():
        yield gnomon.current_usage().name
        yield gnomon.current_usage().name

    with gnomon.measure("outer") as outer:
        assert gnomon.current_usage() is outer
        assert name() == "function"
        for found in names():
            assert found == "generator"
            assert gnomon.current_usage() is outer
    assert gnomon.current_usage() is None


def test_one_measure_for_many_at_once():
    """A measure that is used by several tasks and threads at once keeps their blocks apart."""
    measure = gnomon.measure("shared")

    async def run(delays):
        inside, outside = delays
        async with measure as usage:
            await asyncio.sleep(inside)
        ended = usage.ended
        await asyncio.sleep(outside)
        return ended, usage

    async def all_of_them():
        return await asyncio.gather(*map(run, [(0.05, 0), (0.01, 0.02), (0.03, 0)]))

    results = asyncio.run(all_of_them())
    assert [ended for ended, _ in results] == [True, True, True]
    assert len({id(usage) for _, usage in results}) == 3
    times = [usage.as_dict()["processing_time_sec"] for _, usage in results]
    assert times[1] < times[2] < times[0]
    with measure as first:
        with measure as second:
            pass
        assert (first.ended, second.ended) == (False, True)
    assert first.ended


def test_closed_elsewhere_than_opened():
    """A block that another thread closes ends, without what only its own thread could tell."""
    measure = gnomon.measure("elsewhere")
    usage = measure.__enter__()
    thread = threading.Thread(target=measure.__exit__, args=(None, None, None))
    thread.start()
    thread.join(20)
    assert usage.ended
    assert usage.own.cpu_seconds is None
    assert gnomon.current_usage() is None
    measure.__exit__(None, None, None)  # once too often, which raises nothing


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), 0.001])
def test_interval_that_cannot_be_right(interval):
    """It is refused where it is written."""
    with pytest.raises(ValueError, match=r"from 0\.01 to 3600"):
        gnomon.measure("x", interval=interval)


def test_name_or_function_that_cannot_be_right():
    """It is refused where it is written."""
    with pytest.raises(ValueError, match="empty"):
        gnomon.measure("")
    with pytest.raises(TypeError, match="text"):
        gnomon.measure(lambda: None)
    with pytest.raises(TypeError, match="decorates functions"):
        gnomon.measure("x")(3)


def test_its_own_faults_do_not_reach_the_application(monkeypatch):
    """Broken readings and broken records cost the numbers, not the work."""

    def broken(*_args):
        raise RuntimeError("broken")

    async def work():
        async with gnomon.measure("broken"):
            return "done"

    before = faults("usage")
    monkeypatch.setattr(readings, "read", broken)
    with gnomon.measure("broken") as usage:
        assert usage.as_dict() == dict.fromkeys(KEYS)
    assert usage.as_dict() == dict.fromkeys(KEYS)
    assert usage.own.ram_added_mb is None
    assert asyncio.run(work()) == "done"
    assert gnomon.measure("broken")(lambda: 3)() == 3
    monkeypatch.undo()
    monkeypatch.setattr(recorded, "record", broken)
    with gnomon.measure("broken"):
        pass
    assert asyncio.run(work()) == "done"
    monkeypatch.setattr(piece, "sampler", broken)
    with gnomon.measure("broken"):
        pass
    assert asyncio.run(work()) == "done"
    assert faults("usage") > before
    monkeypatch.undo()
    assert gnomon.current_usage() is None


def test_nothing_is_kept():
    """A measured piece of work leaves nothing behind that waits for the garbage collector."""

    class Thing:
        pass

    async def run(thing):
        async with gnomon.measure("kept") as usage:
            await asyncio.sleep(0)
            assert thing
        return usage

    assert not gc.isenabled()
    thing = Thing()
    gone = weakref.ref(thing)
    usage = weakref.ref(asyncio.run(run(thing)))
    del thing
    assert gone() is None
    assert usage() is None
