"""Batches: bounded, with an outcome of each item, and nothing left behind."""

import asyncio
import gc
import warnings

import pytest

import gnomon


@pytest.fixture(autouse=True)
def nothing_left():
    """No test leaves a coroutine that was never awaited."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


async def value(number):
    """Return a number, after the loop went round."""
    await asyncio.sleep(0)
    return number


async def failing():
    """Fail."""
    await asyncio.sleep(0)
    raise ValueError("as ordered")


def left():
    """The tasks of this loop but the test's own."""
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_outcomes_are_in_the_order_of_the_items(seen):
    """Values and errors stand where their items stood; no failure concerns another item."""

    async def run():
        items = [value(1), failing, lambda: value(3), asyncio.ensure_future(value(4))]
        return await gnomon.gather(items, limit=2, name="ordered")

    one, two, three, four = asyncio.run(run())
    assert [one.result(), three.result(), four.result()] == [1, 3, 4]
    assert (two.outcome, two.value) == ("failure", None)
    with pytest.raises(ValueError, match="as ordered"):
        two.result()
    assert seen("gnomon_batch_items_total", "ordered", "success") == 3
    assert seen("gnomon_batch_items_total", "ordered", "failure") == 1
    assert seen("gnomon_batch_duration_seconds_count", "ordered") == 1
    assert seen("gnomon_batch_in_flight", "ordered") == 0


def test_no_more_run_at_a_time_than_the_limit(seen):
    """Of 50 items exactly 7 run at once, and the gauge says so."""
    most, running, shown = 0, 0, set()

    async def item():
        nonlocal most, running
        running += 1
        most = max(most, running)
        shown.add(seen("gnomon_batch_in_flight", "bounded"))
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    async def run():
        return await gnomon.gather((item() for _ in range(50)), limit=7, name="bounded")

    assert {found.outcome for found in asyncio.run(run())} == {"success"}
    assert most == 7
    assert max(shown) == 7


def test_a_batch_without_items_is_done():
    """An empty batch returns an empty list."""
    assert asyncio.run(gnomon.gather([])) == []


def test_the_time_limit_of_the_batch_ends_all(seen):
    """What runs is cancelled and waited for, what waits never begins, and both are told."""
    cleaned = []

    async def stuck():
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            cleaned.append(1)

    async def run():
        items = [value(0), stuck(), stuck, value(3), value]  # the last two never begin
        found = await gnomon.gather(items, limit=2, timeout=0.2, name="late")
        assert not left()
        return found

    found = asyncio.run(run())
    assert [item.outcome for item in found] == ["success", *["timeout"] * 4]
    assert cleaned == [1, 1]
    assert found[3].seconds == 0
    with pytest.raises(TimeoutError):
        found[1].result()
    assert seen("gnomon_batch_items_total", "late", "timeout") == 4


def test_the_time_limit_of_an_item_ends_that_item_alone():
    """The others go on."""

    async def run():
        items = [asyncio.sleep(3600), value(1)]
        return await gnomon.gather(items, limit=1, item_timeout=0.1)

    assert [item.outcome for item in asyncio.run(run())] == ["timeout", "success"]


def test_an_item_that_finishes_despite_the_time_limit_has_succeeded():
    """What an item returns when it is cancelled is its value."""

    async def stubborn():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "done all the same"

    (item,) = asyncio.run(gnomon.gather([stubborn()], timeout=0.1))
    assert item.result() == "done all the same"


def test_an_item_that_cancels_itself_is_cancelled():
    """It is no cancellation of the caller."""

    async def leaving():
        raise asyncio.CancelledError

    one, two = asyncio.run(gnomon.gather([leaving(), value(2)]))
    assert (one.outcome, two.outcome) == ("cancelled", "success")


def test_cancelling_the_caller_cancels_all(seen):
    """The cancellation goes on when all items have ended; those never begun are let go."""
    ended = []

    async def slow():
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            ended.append(1)

    async def run():
        items = [slow(), slow(), slow(), value(4)]
        batch = asyncio.create_task(gnomon.gather(items, limit=2, timeout=None, name="gone"))
        await asyncio.sleep(0.05)
        batch.cancel()
        await asyncio.sleep(0.01)
        batch.cancel()  # impatient
        with pytest.raises(asyncio.CancelledError):
            await batch
        assert not left()

    asyncio.run(run())
    assert len(ended) <= 2
    assert seen("gnomon_batch_items_total", "gone", "cancelled") == 2
    assert seen("gnomon_batch_in_flight", "gone") == 0


def test_a_caller_that_is_cancelled_at_once_leaves_nothing():
    """Also where no item has made its first step."""

    async def run():
        batch = asyncio.create_task(gnomon.gather([value(1), value(2), value(3)], limit=2))
        await asyncio.sleep(0)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
        assert not left()

    asyncio.run(run())


def test_the_callers_own_time_limit_stays_its_own():
    """asyncio.timeout around the call ends it as it ends any other."""

    async def run():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await gnomon.gather([asyncio.sleep(3600)], timeout=60)
        assert not left()
        assert not asyncio.current_task().cancelling()

    asyncio.run(run())


def test_an_iterable_that_fails_ends_the_batch():
    """Its exception is the caller's, and what runs is cancelled."""

    def broken():
        yield asyncio.sleep(3600)
        raise OSError("no more items")

    async def run():
        with pytest.raises(OSError, match="no more items"):
            await gnomon.gather(broken())
        assert not left()

    asyncio.run(run())


def test_what_is_no_awaitable_is_that_items_failure():
    """The message says what to give instead."""
    one, two = asyncio.run(gnomon.gather([3, lambda: 4]))
    assert "takes awaitables" in str(two.error)
    assert one.outcome == "failure"


@pytest.mark.parametrize(
    ("setting", "name"),
    [({"limit": 0}, "limit"), ({"timeout": -1}, "timeout"), ({"item_timeout": -1}, "item_timeout")],
)
def test_a_setting_that_cannot_be_right_is_named(setting, name):
    """Before anything runs."""
    with pytest.raises(ValueError, match=f"^{name}: "):
        asyncio.run(gnomon.gather([], **setting))


def test_items_have_contexts_of_their_own():
    """What one item sets is not seen by the next."""
    from contextvars import ContextVar

    mark = ContextVar("mark", default="clean")

    async def item():
        found = mark.get()
        mark.set("dirty")
        return found

    found = asyncio.run(gnomon.gather([item(), item()], limit=1))
    assert [one.result() for one in found] == ["clean", "clean"]
