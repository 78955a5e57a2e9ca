"""Functions whose results are kept in this process."""

import asyncio
import functools
import inspect
import subprocess
import sys
import threading
import time

import pytest

import gnomon
from gnomon.caches import decorator, flights


def test_a_known_sequence_shows_exactly(name, figures, figure, clock):
    """Hits, misses, evictions, expiries and size are those that the calls make."""
    calls = []

    @gnomon.cached(name, maxsize=2, ttl=10)
    def double(x):
        calls.append(x)
        return 2 * x

    assert figures() == {"hits": 0, "misses": 0, "evictions": 0, "expirations": 0}
    assert [double(1), double(1), double(2), double(1)] == [2, 2, 4, 2]  # miss hit miss hit
    assert double(3) == 6  # a miss; 2 was not used for longest and has to go
    assert double(1) == 2  # still there
    assert double(2) == 4  # a miss; now 3 goes
    assert figures() == {"hits": 3, "misses": 4, "evictions": 2, "expirations": 0}
    assert (figure("entries", "l1"), figure("capacity_entries", "l1")) == (2, 2)
    clock.advance(10)
    assert double(1) == 2  # a miss: its time is over, and that of 2
    assert figures() == {"hits": 3, "misses": 5, "evictions": 2, "expirations": 2}
    assert double.cache_info() == (3, 5, 2, 1)
    assert figure("load_duration_seconds_count") == 5
    assert calls == [1, 2, 3, 2, 1]
    clock.advance(10)
    assert figure("entries", "l1") == 0
    assert figures()["expirations"] == 3


def test_without_a_time_to_live_nothing_expires(name, figures, figure):
    """A cache without bounds has no capacity to show, and no expiries."""

    @gnomon.cached(name, maxsize=None)
    def same(x):
        return x

    for x in range(1000):
        same(x)
    assert same(0) == 0
    assert figures() == {"hits": 1, "misses": 1000, "evictions": 0}
    assert (figure("entries", "l1"), figure("capacity_entries", "l1")) == (1000, None)


def test_each_key_may_have_its_own_time_to_live(name, clock):
    """A function of key and value says for how long; 0 keeps nothing, None for good."""
    calls = []

    @gnomon.cached(name, ttl=lambda key, value: {"short": 1, "never": 0}.get(key[0], value))
    def load(kind):
        calls.append(kind)
        return None if kind == "forever" else 60

    for kind in ("short", "long", "never", "forever"):
        load(kind)
    clock.advance(30)
    for kind in ("short", "long", "never", "forever"):
        load(kind)
    assert calls == ["short", "long", "never", "forever", "short", "never"]


def test_none_is_a_value(name, figures):
    """It is kept like others."""

    @gnomon.cached(name, ttl=60)
    def nothing():
        calls.append(1)

    calls = []
    assert (nothing(), nothing()) == (None, None)
    assert calls == [1]
    assert figures()["hits"] == 1


def test_exceptions_pass_and_are_not_kept(name, figures, figure):
    """Each call raises what the function raised for it, and what succeeds later is kept."""
    errors = [KeyError("first"), KeyError("second")]

    @gnomon.cached(name)
    def fails(x):
        if errors:
            raise errors.pop(0)
        return x

    for text in ("first", "second"):
        with pytest.raises(KeyError, match=text):
            fails(1)
    assert (fails(1), fails(1)) == (1, 1)
    assert figures() == {"hits": 1, "misses": 3, "evictions": 0}
    assert figure("load_duration_seconds_count") == 3


def test_arguments_make_the_key(name):
    """By position or keyword, the keywords in any order; a key function may say otherwise."""
    calls = []

    @gnomon.cached(name)
    def load(*args, **kwargs):
        calls.append((args, kwargs))
        return len(calls)

    assert load(1, a=2, b=3) == load(1, b=3, a=2) == 1
    assert load(1) == 2
    assert load((1,)) == 3
    assert load("a", 1) == 4
    assert load(a=1) == 5

    @gnomon.cached(name, key=lambda user, **_: user["id"])
    def profile(user, *, session):
        return user["id"], session

    assert profile({"id": 1}, session="a") == (1, "a")
    assert profile({"id": 1}, session="b") == (1, "a")


def test_methods_are_kept_by_object(name):
    """Each object has its own results, and the method its own figures."""

    class Model:
        def __init__(self, factor):
            self.factor = factor

        @gnomon.cached(name)
        def times(self, x):
            """Multiply."""
            return self.factor * x

    two, three = Model(2), Model(3)
    assert (two.times(2), two.times(2), three.times(2)) == (4, 4, 6)
    assert two.times.cache_info().hits == 1
    assert Model.times.__doc__ == "Multiply."
    assert Model.times.__wrapped__(three, 3) == 9
    assert list(inspect.signature(Model.times).parameters) == ["self", "x"]


def test_what_cannot_be_hashed_is_answered_by_the_function(name, figures, caplog):
    """A call without a key is counted as an error, logged once, and neither a hit nor a miss."""

    @gnomon.cached(name)
    def total(numbers):
        return sum(numbers)

    @gnomon.cached(name, key=lambda _: 1 / 0)
    def broken(x):
        return x

    assert (total([1, 2]), total([1, 2]), broken(5)) == (3, 3, 5)
    assert figures() == {"hits": 0, "misses": 0, "evictions": 0, "errors": 3}
    assert len(caplog.messages) == 2


def test_a_time_to_live_that_fails_costs_the_entry_only(name, figures):
    """The value is returned, and the fault counted."""

    @gnomon.cached(name, ttl=lambda _, value: value["ttl"])
    def load():
        return {}

    assert load() == {}
    assert figures()["errors"] == 1


def test_clearing_forgets_values_figures_and_loads_under_way(name, figures):
    """A load that began before does not put back what is out of date; counters never fall."""
    begun, go = threading.Event(), threading.Event()

    @gnomon.cached(name)
    def load(x):
        if x == "slow":
            begun.set()
            go.wait(30)
        return time.monotonic()

    first = load(1)
    assert load(1) == first
    thread = threading.Thread(target=load, args=("slow",))
    thread.start()
    assert begun.wait(30)
    load.cache_clear()
    go.set()
    thread.join(30)
    assert load.cache_info() == (0, 0, 128, 0)
    assert load(1) > first
    assert figures() == {"hits": 1, "misses": 3, "evictions": 0}


def test_values_end_while_no_lock_is_held(name, clock):
    """Their finalisers may take locks of the application's own."""
    held = []

    class Value:
        def __del__(self):
            held.append(load.cache_info.__self__.lock._is_owned())

    @gnomon.cached(name, maxsize=1, ttl=10)
    def load(_):
        return Value()

    load(1)
    load(2)  # evicts
    assert held == [False]
    clock.advance(10)
    load(3)  # expires
    assert held == [False] * 2
    clock.advance(10)
    assert load.cache_info().currsize == 0  # expires
    assert held == [False] * 3
    load(4)
    load.cache_clear()
    assert held == [False] * 4


def test_fifty_threads_make_one_load(name, figures, figure):
    """All get its value; 49 of the misses waited for another's load."""
    calls = []
    barrier = threading.Barrier(50)

    @gnomon.cached(name, ttl=60)
    def load(x):
        calls.append(x)
        time.sleep(0.3)
        return object()

    results = []

    def work():
        barrier.wait(30)
        results.append(load(1))

    run_threads(work, 50)
    assert len(calls) == 1
    assert len(set(map(id, results))) == 1
    assert len(results) == 50
    counted = figures()
    assert counted["hits"] + counted["misses"] == 50
    assert figure("coalesced_total") == counted["misses"] - 1
    assert load.cache_info().currsize == 1


def run_threads(work, number):
    """Run something in so many threads, and wait for all."""
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_fifty_tasks_make_one_load(name, figures, figure):
    """Coroutines in one loop, too, exactly."""
    calls = []

    @gnomon.cached(name, ttl=60)
    async def load(x):
        calls.append(x)
        await asyncio.sleep(0.01)
        return object()

    async def run():
        return await asyncio.gather(*(load(1) for _ in range(50)))

    assert inspect.iscoroutinefunction(load)
    assert len(set(map(id, asyncio.run(run())))) == 1
    assert len(calls) == 1
    assert figures() == {"hits": 0, "misses": 50, "evictions": 0, "expirations": 0}
    assert figure("coalesced_total") == 49
    assert figure("load_duration_seconds_count") == 1


def test_all_who_wait_get_the_exception(name):
    """One failing load fails for all who wanted it then, and for nobody later."""
    calls = []

    @gnomon.cached(name)
    async def load():
        calls.append(1)
        await asyncio.sleep(0.01)
        if len(calls) == 1:
            raise OSError("down")
        return "up"

    async def run():
        ends = await asyncio.gather(*(load() for _ in range(5)), return_exceptions=True)
        return ends, await load()

    ends, later = asyncio.run(run())
    assert [str(end) for end in ends] == ["down"] * 5
    assert later == "up"
    assert len(calls) == 2


def test_a_cancelled_load_is_taken_over(name):
    """Who only waited is not cancelled with it; another one of them loads."""
    calls = []

    @gnomon.cached(name)
    async def load():
        calls.append(1)
        await asyncio.sleep(60 if len(calls) == 1 else 0)
        return "value"

    async def run():
        leader = asyncio.create_task(load())
        await asyncio.sleep(0)
        others = [asyncio.create_task(load()) for _ in range(3)]
        await asyncio.sleep(0)
        others[0].cancel()
        await asyncio.sleep(0)
        leader.cancel()
        return await asyncio.gather(leader, *others, return_exceptions=True)

    first, second, *rest = asyncio.run(run())
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(second, asyncio.CancelledError)
    assert rest == ["value", "value"]
    assert len(calls) == 2


def test_a_thread_that_is_interrupted_leaves_the_load_to_others(name, until):
    """What is no error of the load itself is nobody else's."""
    calls = []
    begun, go = threading.Event(), threading.Event()

    @gnomon.cached(name)
    def load():
        calls.append(1)
        if len(calls) == 1:
            begun.set()
            go.wait(30)
            raise SystemExit
        return "value"

    results = []

    def interrupted():
        with pytest.raises(SystemExit):
            load()

    leader = threading.Thread(target=interrupted)
    leader.start()
    assert begun.wait(30)
    other = threading.Thread(target=lambda: results.append(load()))
    other.start()
    until(lambda: load.cache_info().misses == 2)
    go.set()
    leader.join(30)
    other.join(30)
    assert results == ["value"]


def test_who_waits_too_long_loads_alone(name, monkeypatch):
    """A load that hangs holds up others for so long only."""
    monkeypatch.setattr(flights, "PATIENCE", 0.05)
    begun, go = threading.Event(), threading.Event()
    calls = []

    @gnomon.cached(name)
    def load():
        calls.append(1)
        if len(calls) == 1:
            begun.set()
            go.wait(30)
        return len(calls)

    thread = threading.Thread(target=load)
    thread.start()
    assert begun.wait(30)
    assert load() == 2
    go.set()
    thread.join(30)


def test_a_function_may_call_itself(name):
    """With other arguments, and even with the same ones."""

    @gnomon.cached(name)
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(80) == 23416728348467685
    depth = []

    @gnomon.cached(name)
    def again():
        depth.append(1)
        return len(depth) if len(depth) == 3 else again()

    @gnomon.cached(name)
    async def again_async():
        depth.append(1)
        return len(depth) if len(depth) == 6 else await again_async()

    assert again() == 3
    assert asyncio.run(again_async()) == 6


def test_loops_of_several_threads_do_not_wait_for_each_other(name):
    """A load in another thread's loop cannot be awaited here, so that each has its own."""
    barrier = threading.Barrier(2)
    results = []

    @gnomon.cached(name)
    async def load():
        barrier.wait(30)
        await asyncio.sleep(0.01)
        return "value"

    run_threads(lambda: results.append(asyncio.run(load())), 2)
    assert results == ["value", "value"]
    assert asyncio.run(load()) == "value"


def test_another_kind_of_event_loop(name, figures):
    """Under trio there is no waiting for another's load, and all else."""
    import trio

    @gnomon.cached(name)
    async def load(x):
        await trio.lowlevel.checkpoint()
        return x

    async def run():
        return await load(1), await load(1)

    assert trio.run(run) == (1, 1)
    assert figures() == {"hits": 1, "misses": 1, "evictions": 0}


def test_a_loop_that_ended_in_the_middle_leaves_no_trap(name):
    """The next loop's lookup of the same key is answered."""

    @gnomon.cached(name)
    async def load():
        await asyncio.sleep(0 if done else 60)
        return "value"

    done = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(load())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    done.append(True)
    assert asyncio.run(load()) == "value"
    task._coro.close()
    assert asyncio.run(load()) == "value"


def test_threads_count_exactly(name, figures, figure):
    """Whatever their interleaving, each lookup is a hit or a miss, and each load stays or goes."""
    workers, lookups, keys, size = 6, 1500, 40, 16

    @gnomon.cached(name, maxsize=size, ttl=3600)
    def load(x):
        return x

    def work():
        for number in range(lookups):
            assert load(number * 7 % keys) == number * 7 % keys

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        run_threads(work, workers)
    finally:
        sys.setswitchinterval(interval)
    counted = figures()
    info = load.cache_info()
    assert counted["hits"] + counted["misses"] == workers * lookups
    assert (info.hits, info.misses) == (counted["hits"], counted["misses"])
    assert info.currsize == size
    assert counted["evictions"] == figure("load_duration_seconds_count") - size
    assert figure("load_duration_seconds_count") + figure("coalesced_total") == counted["misses"]
    assert counted["expirations"] == 0


def test_caches_of_one_name_share_their_series(name, figures, figure):
    """Each still tells of itself alone, and a cache that is gone leaves its counts."""

    @gnomon.cached(name, maxsize=4)
    def one(x):
        return x

    def temporary():
        @gnomon.cached(name, maxsize=8)
        def other(x):
            return x

        other(1)
        other(1)
        assert figure("entries", "l1") == 2
        assert figure("capacity_entries", "l1") == 12
        return other.cache_info()

    one(1)
    assert temporary() == (1, 1, 8, 1)
    assert one.cache_info() == (0, 1, 4, 1)
    assert figures() == {"hits": 1, "misses": 2, "evictions": 0}
    assert figure("capacity_entries", "l1") == 4


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"maxsize": 0}, ValueError),
        ({"maxsize": 1.5}, TypeError),
        ({"maxsize": True}, TypeError),
        ({"ttl": 0}, ValueError),
        ({"ttl": "60"}, TypeError),
        ({"ttl": float("nan")}, ValueError),
        ({"key": "id"}, TypeError),
        ({"l2": object(), "ttl": 1}, TypeError),
        ({"l2_deadline": 0}, ValueError),
        ({"l2_wait": -1}, ValueError),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(arguments, error):
    """At set-up, not at the first call; the text names the argument."""
    with pytest.raises(error, match=next(iter(arguments))):
        gnomon.cached("bad", **arguments)


def test_what_cannot_be_kept_is_refused():
    """Generators, classmethod objects, and a decorator without a name."""

    def generator():
        yield

    async def async_generator():
        yield

    for function in (generator, async_generator):
        with pytest.raises(TypeError, match="generators"):
            gnomon.cached("bad")(function)
    with pytest.raises(TypeError, match="@classmethod"):
        gnomon.cached("bad")(classmethod(generator))
    with pytest.raises(TypeError, match="name"):
        gnomon.cached(lambda: 1)


def test_a_missing_extra_is_named():
    """Without cachetools the error says what to install; importing gnomon needs none of it."""
    code = """
import sys
import gnomon
assert "cachetools" not in sys.modules and "gnomon.caches" not in sys.modules
sys.modules["cachetools"] = None
try:
    gnomon.cached("x")
except RuntimeError as error:
    assert "'cache'" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_partials_and_bound_methods_may_be_kept(name):
    """Whatever is called without being a generator."""

    class Source:
        async def news(self):
            return "news"

    bound = gnomon.cached(name, ttl=1)(Source().news)
    assert asyncio.run(bound()) == "news"
    assert gnomon.cached(name)(functools.partial(max, 3))(2) == 3
    assert decorator.is_ours(bound)
    assert not decorator.is_ours(functools.lru_cache(max))
