"""A piece of work's own CPU seconds, among others that take turns in its thread."""

import asyncio
import concurrent.futures
import inspect
import threading
import time
import warnings

import greenlet
import pytest
import trio

import gnomon
from gnomon.usage.ledger import Ledger, current, driven

#: What may come on top of what was burnt: the event loop's own work between two readings.
WITHIN = 0.05


@pytest.fixture
def work(burn):
    """A decorated coroutine that burns CPU in two steps beside others, and tells both."""

    @gnomon.measure("work")
    async def run(seconds, meet=None):
        if meet is not None:
            await meet.wait()
        burnt = burn(seconds / 2)
        await asyncio.sleep(0.01)
        burnt += burn(seconds / 2)
        if meet is not None:
            await meet.wait()
        return burnt, gnomon.current_usage()

    return run


def test_alone(work):
    """What one task burnt is its own."""
    burnt, usage = asyncio.run(work(0.5))
    assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)
    assert usage.own.cpu_share_ratio > 0.5


def test_three_at_once(work):
    """Each of three that take turns has its own, though each sees the process's sum."""

    async def run():
        meet = asyncio.Barrier(3)
        return await asyncio.gather(*(work(seconds, meet) for seconds in (0.5, 0.5, 0.2)))

    results = asyncio.run(run())
    for burnt, usage in results:
        assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)
        assert usage.own.concurrent == 2
        assert usage.samples.cpu_seconds > 1.1  # all three together
    assert sum(usage.own.cpu_share_ratio for _, usage in results) <= 1.05


def test_block_on_an_event_loop():
    """A block in a task that nobody drives cannot tell its own from others': it says so."""

    async def run():
        async with gnomon.measure("block") as usage:
            await asyncio.sleep(0)
        with gnomon.measure("block") as second:
            pass
        return usage.own, second.own

    for own in asyncio.run(run()):
        assert own.cpu_seconds is None
        assert own.cpu_share_ratio is None

    async def under_trio():
        async with gnomon.measure("block") as usage:
            await trio.lowlevel.checkpoint()
        return usage.own

    assert trio.run(under_trio).cpu_seconds is None


def test_block_in_a_plain_thread(burn):
    """Where nothing takes turns a block's own is what its thread used."""
    other = threading.Thread(target=burn, args=(0.2,))
    with gnomon.measure("plain") as usage:
        other.start()
        burnt = burn(0.1)
        other.join()
    assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)


def test_decorated_functions_and_generators(burn):
    """A function's own is its thread's; a generator's is what it used between its yields."""
    found = {}

    @gnomon.measure("function")
    def function():
        found["function"] = burn(0.1), gnomon.current_usage()

    @gnomon.measure("generator")
    def generator():
        burnt = burn(0.1)
        usage = gnomon.current_usage()
        yield
        found["generator"] = burnt + burn(0.1), usage

    @gnomon.measure("later")
    async def later():
        burnt = burn(0.1)
        usage = gnomon.current_usage()
        await asyncio.sleep(0)
        yield
        found["later"] = burnt + burn(0.1), usage

    async def run():
        function()  # it does not give up its turn, on an event loop either
        async for _ in later():
            burn(0.2)

    asyncio.run(run())
    for _ in generator():
        burn(0.2)
    for name, (burnt, usage) in found.items():
        assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN), name


def test_trio(burn):
    """A decorated coroutine's own is counted under trio too."""

    @gnomon.measure("trio")
    async def work():
        burnt = burn(0.1)
        await trio.sleep(0.001)
        burnt += burn(0.1)
        return burnt, gnomon.current_usage()

    async def run():
        results = []

        async def one():
            results.append(await work())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        return results

    for burnt, usage in trio.run(run):
        assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)


def test_threads_that_were_entered(burn):
    """A thread's seconds count where it was entered from; other threads' do not."""
    stranger = threading.Thread(target=burn, args=(0.2,))

    @gnomon.measure("threads")
    async def work():
        stranger.start()
        burnt = await gnomon.to_thread(burn, 0.1)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            loop = asyncio.get_running_loop()
            burnt += await loop.run_in_executor(pool, gnomon.counted(burn), 0.1)
        stranger.join()
        return burnt, gnomon.current_usage()

    burnt, usage = asyncio.run(work())
    assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)


def test_thread_that_is_still_at_work(burn):
    """What a thread has used so far counts at once."""
    go_on = threading.Event()

    def part():
        burnt = burn(0.2)
        seen.set_result(burnt)
        go_on.wait(20)

    seen = concurrent.futures.Future()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, gnomon.measure("half") as usage:
        pool.submit(gnomon.counted(part))
        burnt = seen.result(30)
        live = usage.own.cpu_seconds
        go_on.set()
    assert live == pytest.approx(burnt, abs=WITHIN)


def test_tasks_that_were_handed_on(work, burn):
    """Tasks count where they were handed on with ``counted``, and once; others do not."""

    async def part():
        burnt = burn(0.1)
        await asyncio.sleep(0)
        return burnt

    @gnomon.measure("parent")
    async def parent():
        stranger = asyncio.create_task(part())
        burnt = await asyncio.create_task(gnomon.counted(part()))
        burnt += await gnomon.counted(part())  # in this very task: not twice
        own, _ = await gnomon.counted(asyncio.create_task(work(0.1)))  # counts itself already
        await stranger
        return burnt + own, gnomon.current_usage()

    burnt, usage = asyncio.run(parent())
    assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)


def test_batches(burn):
    """The items of a batch count where ``gather`` is awaited, and a block in one knows its own."""

    async def item(seconds):
        async with gnomon.measure("item") as usage:
            burnt = burn(seconds / 2)
            await asyncio.sleep(0)
            burnt += burn(seconds / 2)
        return burnt, usage.own.cpu_seconds

    @gnomon.measure("batch")
    async def batch():
        items = await gnomon.gather([item(0.1), item(0.2)], limit=2)
        return [one.result() for one in items], gnomon.current_usage()

    items, usage = asyncio.run(batch())
    for burnt, own in items:
        assert own == pytest.approx(burnt, abs=WITHIN)
    assert usage.own.cpu_seconds == pytest.approx(sum(burnt for burnt, _ in items), abs=WITHIN)


def test_nested(work, burn):
    """The own seconds of what lies inside are the outer's too."""

    @gnomon.measure("outer")
    async def outer():
        burnt = burn(0.1)
        inner, usage = await work(0.1)
        assert usage.own.cpu_seconds == pytest.approx(inner, abs=WITHIN)
        return burnt + inner, gnomon.current_usage()

    burnt, usage = asyncio.run(outer())
    assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)


def test_counted_takes_what_can_be_counted():
    """Anything else is a mistake of whoever wrote it."""

    async def later():
        return 1

    with pytest.raises(TypeError, match="call the async function"):
        gnomon.counted(later)
    with pytest.raises(TypeError, match="not <class 'int'>"):
        gnomon.counted(3)
    assert gnomon.counted(len) is len  # nothing is measured here
    assert asyncio.run(gnomon.counted(later())) == 1
    with gnomon.measure("counting"):
        assert gnomon.counted(len)("abc") == 3


def test_a_driven_coroutine_is_told_everything():
    """Values, exceptions and cancellations reach it; its result and its exceptions come back."""

    class Awaits:
        def __await__(self):
            try:
                answer = yield "asked"
            except KeyError:
                answer = yield "asked again"
            return answer

    async def work():
        return await Awaits()

    drive = driven(work(), Ledger())
    assert drive.send(None) == "asked"
    assert drive.throw(KeyError()) == "asked again"
    with pytest.raises(StopIteration) as stop:
        drive.send("answer")
    assert stop.value.value == "answer"
    assert current() is None

    async def cancelled():
        task = asyncio.create_task(gnomon.counted(asyncio.sleep(30)))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())

    async def cancelled_early():
        task = asyncio.create_task(gnomon.counted(asyncio.sleep(30)))
        task.cancel()
        await task

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(cancelled_early())
    assert seen == []

    never = gnomon.counted(begun := work())
    never.close()
    assert inspect.getcoroutinestate(begun) == "CORO_CLOSED"

    async def failing():
        await asyncio.sleep(0)
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        asyncio.run(gnomon.counted(failing()))

    left = driven(work(), Ledger())
    left.send(None)
    left.close()
    assert current() is None


def test_no_clock_is_read_for_nobody(monkeypatch):
    """A driven coroutine in which nothing is measured costs no readings of the thread's clock."""
    ledger = Ledger()
    reads = []
    monkeypatch.setattr(
        "gnomon.usage.ledger.thread_time", lambda: reads.append(1) or time.thread_time()
    )

    async def work():
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def run():
        await driven(work(), ledger)

    asyncio.run(run())
    assert not reads


def test_greenlets(burn):
    """A block in a greenlet takes turns with others in its thread: it cannot tell its own."""
    found = {}

    def one():
        with gnomon.measure("greenlet") as usage:
            burn(0.01)
            main.switch()
        found["greenlet"] = usage.own.cpu_seconds

    main = greenlet.getcurrent()
    child = greenlet.greenlet(one)
    child.switch()
    burn(0.01)
    child.switch()
    assert found == {"greenlet": None}
    with gnomon.measure("main") as usage:
        burnt = burn(0.01)
    assert usage.own.cpu_seconds == pytest.approx(burnt, abs=WITHIN)
