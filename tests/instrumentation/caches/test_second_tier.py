"""A second tier in a real Redis, that comes and goes."""

import asyncio
import enum
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest
import redis
import redis.asyncio

import caches
import gnomon
from gnomon.caches import breaker, deadline, driving, second_tier
from gnomon.caches.deadline import LIMIT, Threads

#: Seconds. A noisy machine is no broken Redis.
PATIENT = {"l2_deadline": 60.0}


@pytest.fixture
def server(tmp_path):
    """A Redis: its port and process."""
    with caches.redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def client(server):
    """A client of it."""
    with redis.Redis(port=server[0]) as connected:
        yield connected


def doubled(name, client, **options):
    """Return a cached function, as another process would have it, and the list of its calls."""
    calls = []

    @gnomon.cached(name, ttl=3600, l2=client, **{**PATIENT, **options})
    def double(x):
        calls.append(x)
        return {"twice": 2 * x}

    return double, calls


def test_a_known_sequence_shows_exactly_by_tier(name, client, figures, figure):
    """What the first process loaded the second finds in Redis, and then in its memory."""
    one, calls = doubled(name, client)
    other, more = doubled(name, client)
    assert one(1) == {"twice": 2}  # misses both
    assert one(1) == {"twice": 2}  # hits the first
    assert other(1) == {"twice": 2}  # misses the first, hits the second
    assert other(1) == {"twice": 2}  # hits the first
    assert other(2) == {"twice": 4}  # misses both
    assert (calls, more) == ([1], [2])
    assert figures() == {"hits": 2, "misses": 3, "evictions": 0, "expirations": 0}
    assert figures("l2") == {"hits": 1, "misses": 2, "errors": 0}
    assert figure("load_duration_seconds_count") == 2
    assert figure("tier_duration_seconds_count", "l2") >= 3
    assert figure("tier_resting", "l2") == 0
    assert figure("entries", "l1") == 3
    assert figure("entries", "l2") is None
    keys = list(client.scan_iter(f"gnomon:{name}:*"))
    assert len(keys) == 2
    assert all(3000 < client.ttl(key) <= 3600 for key in keys)


def test_the_same_in_an_event_loop(name, server, figures, figure):
    """By redis.asyncio."""

    async def run():
        async with redis.asyncio.Redis(port=server[0]) as client:
            calls = []

            async def double(x):
                calls.append(x)
                return [2 * x, None]

            one, other = (
                gnomon.cached(name, ttl=3600, l2=client, **PATIENT)(double) for _ in range(2)
            )
            assert await one(1) == await one(1) == await other(1) == await other(1) == [2, None]
            assert await other(2) == [4, None]
            assert calls == [1, 2]

    asyncio.run(run())
    assert figures() == {"hits": 2, "misses": 3, "evictions": 0, "expirations": 0}
    assert figures("l2") == {"hits": 1, "misses": 2, "errors": 0}
    assert figure("load_duration_seconds_count") == 2


def test_none_is_a_value_there_too(name, client):
    """It is told from what is not there."""
    calls = []
    for _ in range(2):

        @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
        def nothing():
            calls.append(1)

        assert nothing() is None
    assert calls == [1]


def test_exceptions_are_kept_nowhere(name, client, figures):
    """The exception itself comes out, and the next call tries again at once."""
    broken = StopIteration("odd")

    @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
    def fails():
        raise broken

    for _ in range(2):
        with pytest.raises(StopIteration) as caught:
            fails()
        assert caught.value is broken
    assert list(client.scan_iter("*")) == []
    assert figures("l2") == {"hits": 0, "misses": 2, "errors": 0}


def test_what_is_nearly_over_there_is_soon_over_here(name, client, clock):
    """A value from Redis stays in memory no longer than in Redis."""
    one, _ = doubled(name, client)
    other, calls = doubled(name, client)
    one(1)
    (key,) = client.scan_iter(f"gnomon:{name}:*")
    client.expire(key, 600)
    other(1)
    clock.advance(500)
    assert other.cache_info().currsize == 1
    clock.advance(101)
    assert other.cache_info().currsize == 0
    client.delete(key)
    other(1)
    clock.advance(3599)
    assert other.cache_info().currsize == 1  # its own load stays for its own time
    assert calls == [1]


def test_redis_dies_and_comes_back(name, tmp_path, figures, figure, monkeypatch, until):
    """Nothing raises meanwhile, the errors are counted, and afterwards it is used again."""
    monkeypatch.setattr(breaker, "FIRST", 0.05)
    monkeypatch.setattr(breaker, "MOST", 0.2)
    with caches.redis_server(tmp_path) as (port, server):
        client = redis.Redis(port=port)
        double, calls = doubled(name, client)
        assert double(1) == {"twice": 2}
        server.process.kill()
        server.process.wait()
        for x in range(2, 20):
            assert double(x) == {"twice": 2 * x}
        errors = figures("l2")["errors"]
        assert errors >= 1
        assert figure("tier_resting", "l2") == 1
        assert calls == list(range(1, 20))
    with caches.redis_server(tmp_path, port=port):
        numbers = iter(range(100, 10_000))

        def is_back():
            assert double(next(numbers)) is not None
            time.sleep(0.02)
            return figure("tier_resting", "l2") == 0

        until(is_back, 60)
        assert double(-1) == {"twice": -2}
        other, more = doubled(name, client)
        assert other(-1) == {"twice": -2}
        assert more == []
        client.close()


def test_redis_dies_and_comes_back_under_an_event_loop(
    name, tmp_path, figures, figure, monkeypatch
):
    """As with the blocking client."""
    monkeypatch.setattr(breaker, "FIRST", 0.05)
    monkeypatch.setattr(breaker, "MOST", 0.2)

    async def run():
        with caches.redis_server(tmp_path) as (port, server):
            client = redis.asyncio.Redis(port=port)

            @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
            async def double(x):
                return 2 * x

            assert await double(1) == 2
            server.process.kill()
            server.process.wait()
            for x in range(2, 20):
                assert await double(x) == 2 * x
            assert figures("l2")["errors"] >= 1
            assert figure("tier_resting", "l2") == 1
        with caches.redis_server(tmp_path, port=port):
            end = time.monotonic() + 60
            x = 100
            while figure("tier_resting", "l2"):
                assert time.monotonic() < end
                x += 1
                assert await double(x) == 2 * x
                await asyncio.sleep(0.02)
            await client.aclose()

    asyncio.run(run())


@pytest.fixture
def left_alone(monkeypatch):
    """What failed is left alone for longer than a test takes."""
    monkeypatch.setattr(breaker, "FIRST", 600.0)
    monkeypatch.setattr(breaker, "MOST", 600.0)


@pytest.mark.usefixtures("left_alone")
def test_a_redis_that_never_answers_costs_one_deadline(name, figures, figure):
    """Though the client itself would wait for a minute; then it is left alone, by all caches."""
    with caches.silent_server() as port:
        client = redis.Redis(port=port, socket_timeout=60)
        double, calls = doubled(name, client, l2_deadline=0.5)
        neighbour, _ = doubled(name, client, l2_deadline=0.5)
        began = time.monotonic()
        assert double(0) == {"twice": 0}
        assert 0.5 <= time.monotonic() - began < 5 * 0.5
        for x in range(1, 50):
            assert double(x) == neighbour(x) == {"twice": 2 * x}
    assert calls == list(range(50))
    assert figures("l2") == {"hits": 0, "misses": 0, "errors": 1}
    assert figure("tier_resting", "l2") == 1


@pytest.mark.usefixtures("left_alone")
def test_a_redis_that_never_answers_under_an_event_loop(name, figures):
    """The loop goes on, and one deadline is all that it costs."""

    async def run():
        with caches.silent_server() as port:
            client = redis.asyncio.Redis(port=port, socket_timeout=60)

            @gnomon.cached(name, ttl=3600, l2=client, l2_deadline=0.5)
            async def double(x):
                return 2 * x

            began = time.monotonic()
            assert await double(0) == 0
            assert 0.5 <= time.monotonic() - began < 5 * 0.5
            assert [await double(x) for x in range(1, 50)] == list(range(2, 100, 2))
            await client.aclose()

    asyncio.run(run())
    assert figures("l2") == {"hits": 0, "misses": 0, "errors": 1}


@pytest.mark.usefixtures("left_alone")
def test_a_client_that_hangs_elsewhere_costs_one_deadline(name, figures):
    """In the look-up of a host's name for example, which no timeout of a client bounds."""
    go = threading.Event()

    class Hanging(redis.connection.Connection):
        def connect(self):
            go.wait(60)
            raise OSError

    client = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=Hanging))
    double, _ = doubled(name, client, l2_deadline=0.5)
    began = time.monotonic()
    assert double(1) == {"twice": 2}
    assert time.monotonic() - began < 5 * 0.5
    assert figures("l2")["errors"] == 1
    go.set()


def test_what_failed_is_tried_by_one_caller_only(monkeypatch):
    """The time doubles with each failure up to a bound, and a success ends it."""
    now = [100.0]
    monkeypatch.setattr(breaker, "monotonic", lambda: now[0])
    tried = breaker.Breaker()
    assert tried.allows()
    assert tried.allows()
    tried.failed()
    tried.failed()  # the other one that asked at the same time
    for rest in (1, 2, 4, 8, 16, 30, 30):
        assert not tried.allows()
        now[0] += rest - 0.01
        assert not tried.allows()
        now[0] += 0.02
        assert tried.allows()
        assert not tried.allows()
        tried.failed()
    assert tried.resting()
    now[0] += 31
    assert tried.allows()
    tried.succeeded()
    assert tried.allows()
    assert tried.allows()
    tried.failed()
    now[0] += 1.01
    assert tried.allows()  # this one never says how it went
    now[0] += 1.01
    assert tried.allows()


def test_a_refusal_is_an_error_and_no_outage(name, client, figures, figure):
    """Where Redis answers, it is asked again: here an entry is of another type."""
    double, calls = doubled(name, client)
    double(1)
    (key,) = client.scan_iter(f"gnomon:{name}:*")
    client.delete(key)
    client.rpush(key, "a list")
    double.cache_clear(l2=False)
    assert double(1) == {"twice": 2}
    assert figures("l2") == {"hits": 0, "misses": 1, "errors": 1}
    assert figure("tier_resting", "l2") == 0
    assert calls == [1, 1]


def test_a_full_server_is_lived_with(name, client, figures, caplog):
    """What cannot be written is loaded each time, and the log does not tell what it was."""
    double, calls = doubled(name, client, l2_wait=0)
    client.config_set("maxmemory", "1")
    for _ in range(2):
        assert double(1) == {"twice": 2}
        double.cache_clear(l2=False)
    assert calls == [1, 1]
    assert figures("l2") == {"hits": 0, "misses": 2, "errors": 2}
    assert "OutOfMemoryError" in caplog.text
    assert "twice" not in caplog.text


def test_a_client_that_decodes_what_is_no_text(name, server, figures, figure, caplog):
    """The log tells what to change; Redis itself is in order."""
    with redis.Redis(port=server[0], decode_responses=True) as client:
        for _ in range(2):

            @gnomon.cached(name, ttl=3600, l2=client, codec=pickle, **PATIENT)
            def load():
                return 1

            assert load() == 1
    assert figures("l2") == {"hits": 0, "misses": 1, "errors": 1}
    assert figure("tier_resting", "l2") == 0
    assert "decode_responses=False" in caplog.text


@pytest.mark.parametrize(
    "value",
    [(1, 2), {"a": (1,)}, {1: "a"}, {1.5}, b"bytes", float("nan"), object(), [uuid.UUID(int=1)]],
)
def test_what_json_would_change_is_not_kept(name, client, figures, value):
    """The value comes out as it is, and is loaded once by each process; the fault is counted."""
    calls = []
    for _ in range(2):

        @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
        def load():
            calls.append(1)
            return value

        assert load() is value
        assert load() is value
    assert calls == [1, 1]
    assert figures("l2") == {"hits": 0, "misses": 2, "errors": 2}
    assert list(client.scan_iter("*")) == []


def test_a_codec_of_ones_own(name, client):
    """Anything with dumps and loads; pickle only for those who ask for it."""
    values = []
    for _ in range(2):

        @gnomon.cached(name, ttl=3600, l2=client, codec=pickle, **PATIENT)
        def load():
            assert not values
            return (1, {2.5})

        values.append(load())
    assert values == [(1, {2.5})] * 2


def test_what_somebody_else_has_written_is_a_miss(name, client, figures, caplog):
    """Bytes that are no JSON are counted, never run, and replaced."""
    double, _ = doubled(name, client)
    double(1)
    (key,) = client.scan_iter(f"gnomon:{name}:*")
    client.set(key, b"\n" + pickle.dumps({"twice": 3}), ex=60)
    other, calls = doubled(name, client)
    assert other(1) == {"twice": 2}
    assert calls == [1]
    client.set(key, b"no mark", ex=60)
    other, calls = doubled(name, client)
    assert other(1) == {"twice": 2}
    third, calls = doubled(name, client)
    assert third(1) == {"twice": 2}
    assert calls == []
    assert figures("l2") == {"hits": 1, "misses": 3, "errors": 1}
    assert "could not be decoded" in caplog.text


def test_a_client_that_decodes(name, server):
    """Texts instead of bytes make no difference to JSON."""
    with redis.Redis(port=server[0], decode_responses=True) as client:
        one, _ = doubled(name, client)
        other, calls = doubled(name, client)
        one(1)
        one.cache_clear()
        assert other(1) == one(1) == {"twice": 2}
        assert calls == [1]


def test_keys_are_texts_that_each_process_makes_alike(name, client, figures):
    """Texts, numbers, dates and enumerations; an object has none, which is counted."""

    class Kind(enum.Enum):
        NEWS = 1

    calls = []

    def process():
        @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
        def load(*args, **kwargs):
            calls.append((args, kwargs))
            return len(calls)

        return load

    arguments = [
        1,
        1.5,
        "1",
        b"1",
        None,
        (1, "a"),
        frozenset({"b", "a"}),
        Kind.NEWS,
        uuid.UUID(int=7),
    ]
    for load in (process(), process()):
        for number, argument in enumerate(arguments, start=1):
            assert load(argument) == number
        assert load(b=1, a=2) == load(a=2, b=1) == len(arguments) + 1
    assert len(calls) == len(arguments) + 1
    assert process()(object()) == len(calls)
    assert figures("l2")["errors"] == 1


def test_functions_of_one_name_do_not_answer_for_each_other(name, client):
    """Though their arguments are the same."""

    @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
    def one(x):
        return ["one", x]

    @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
    def other(x):
        return ["other", x]

    assert (one(1), other(1)) == (["one", 1], ["other", 1])


def test_clearing_holds_for_all_processes(name, client):
    """What is in Redis is out of date at once, and a load from before stays out of it."""
    one, calls = doubled(name, client)
    other, more = doubled(name, client)
    one(1)
    one.cache_clear()
    assert other(1) == {"twice": 2}
    assert (calls, more) == ([1], [1])
    one(1)
    assert calls == [1]
    one.cache_clear(l2=False)
    one(1)
    assert calls == [1]


def test_clearing_while_redis_is_away(name, tmp_path, monkeypatch):
    """It is told as soon as it is back, before anything is read."""
    monkeypatch.setattr(breaker, "FIRST", 0.001)
    monkeypatch.setattr(breaker, "MOST", 0.001)
    with caches.redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as (
        port,
        server,
    ):
        client = redis.Redis(port=port)
        double, calls = doubled(name, client)
        double(1)
        server.process.kill()
        server.process.wait()
        double.cache_clear()
    with caches.redis_server(tmp_path, "--appendonly", "yes", port=port):
        time.sleep(0.01)
        assert double(1) == {"twice": 2}
        assert calls == [1, 1]
        client.close()


def test_clearing_in_and_outside_of_an_event_loop(name, server):
    """Where there is no loop, the next lookup tells Redis first."""

    async def run(*, clears):
        async with redis.asyncio.Redis(port=server[0]) as client:
            calls = []

            @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
            async def load():
                calls.append(1)
                return 1

            if clears == "outside":
                await asyncio.to_thread(load.cache_clear)
            elif clears == "inside":
                load.cache_clear()
            await load()
            return len(calls)

    loads = [asyncio.run(run(clears=how)) for how in ("", "", "outside", "", "inside", "")]
    assert loads == [1, 0, 1, 0, 1, 0]


STAMPEDE = """
import sys, threading, time
import redis, gnomon
name, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = redis.Redis(port=port, socket_timeout=None)

@gnomon.cached(name, ttl=3600, l2=client, l2_deadline=60, l2_wait=90)
def load(x):
    client.incr("loads")
    time.sleep(0.5)
    return "value"

def work():
    barrier.wait(30)
    assert load(1) == "value"
    client.incr("answers")

barrier = threading.Barrier(threads + 1)
workers = [threading.Thread(target=work) for _ in range(threads)]
for worker in workers:
    worker.start()
client.incr("ready")
client.blpop("go", 60)
barrier.wait(30)
for worker in workers:
    worker.join()
"""


def test_fifty_callers_in_five_processes_make_one_load(name, server, client, until):
    """One of them asks the source, and all have its answer."""
    words = [sys.executable, "-c", STAMPEDE, name, str(server[0]), "10"]
    processes = [subprocess.Popen(words) for _ in range(5)]
    until(lambda: int(client.get("ready") or 0) == 5, 60)
    client.rpush("go", *["go"] * 5)
    assert [process.wait(60) for process in processes] == [0] * 5
    assert int(client.get("answers")) == 50
    assert int(client.get("loads")) == 1


def test_a_process_that_dies_with_the_lock_holds_nobody_up_for_long(name, server, client, until):
    """The lock goes by itself, and somebody else loads."""
    words = [sys.executable, "-c", STAMPEDE.replace("0.5", "600"), name, str(server[0]), "1"]
    with subprocess.Popen(words) as process:
        until(lambda: int(client.get("ready") or 0) == 1, 60)
        client.rpush("go", "go")
        until(lambda: client.get("loads"), 60)
        (lock,) = client.scan_iter(f"gnomon:{name}:*:lock")
        os.kill(process.pid, signal.SIGKILL)
    assert client.pttl(lock) > 0
    client.pexpire(lock, 200)
    load = gnomon.cached(name, ttl=3600, l2=client, l2_wait=90, **PATIENT)(lambda x: x)
    assert load(1) == 1


def test_a_load_that_fails_or_is_cancelled_gives_the_lock_back(name, server, client):
    """The next process may load at once."""

    async def run():
        async with redis.asyncio.Redis(port=server[0]) as connected:

            @gnomon.cached(name, ttl=3600, l2=connected, **PATIENT)
            async def load():
                if not begun.is_set():
                    begun.set()
                    await asyncio.sleep(60)
                raise OSError("down")

            begun = asyncio.Event()
            task = asyncio.create_task(load())
            await begun.wait()
            assert len(list(client.scan_iter("*:lock"))) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert list(client.scan_iter("*:lock")) == []
            with pytest.raises(OSError, match="down"):
                await load()
            assert list(client.scan_iter("*:lock")) == []

    asyncio.run(run())


def test_a_coroutine_that_is_closed_awaits_nothing_more(name, server):
    """As at the end of a loop that never came back to it: the lock is left to its time."""
    loading = asyncio.Event()
    client = redis.asyncio.Redis(port=server[0])

    @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
    async def load():
        loading.set()
        await asyncio.sleep(60)

    loop = asyncio.new_event_loop()
    task = loop.create_task(load())
    loop.run_until_complete(loading.wait())
    task._coro.close()
    task._log_destroy_pending = False
    loop.run_until_complete(client.aclose())
    loop.close()
    assert load.cache_info() == (0, 1, 128, 0)


def test_one_client_in_several_loops(name, server, figures):
    """What its library does not support costs errors at most, and no call."""
    client = redis.asyncio.Redis(port=server[0])

    @gnomon.cached(name, ttl=3600, l2=client, **PATIENT)
    async def load(x):
        return x

    assert [asyncio.run(load(x)) for x in range(5)] == list(range(5))
    counted = figures("l2")
    assert counted["hits"] + counted["misses"] + counted["errors"] > 0


def test_a_child_of_fork_has_threads_of_its_own(name, server):
    """Its parent's are not in it."""
    code = """
import os, sys, redis, gnomon
client = redis.Redis(port=int(sys.argv[2]))
calls = []

@gnomon.cached(sys.argv[1], ttl=3600, l2=client, l2_deadline=60)
def load(x):
    calls.append(x)
    return x

assert load(1) == 1
pid = os.fork()
if pid == 0:
    load.cache_clear(l2=False)
    ok = load(1) == 1 and load(2) == 2 and calls == [1, 2]
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code, name, str(server[0])], check=True, timeout=60)


def test_the_wrong_client_is_refused(name):
    """At set-up, with the one that is wanted; and what would stay in Redis for ever."""
    with pytest.raises(TypeError, match=r"redis\.asyncio\.Redis"):

        @gnomon.cached(name, ttl=1, l2=redis.Redis())
        async def load():
            pass

    with pytest.raises(TypeError, match=r"redis\.Redis"):
        gnomon.cached(name, ttl=1, l2=redis.asyncio.Redis())(lambda: 1)
    with pytest.raises(ValueError, match="l2_ttl"):
        gnomon.cached(name, l2=redis.Redis())


def test_a_fault_of_our_own_costs_nobody_anything(name, client, monkeypatch):
    """The function is called once, and answers."""

    def broken(*_):
        raise ZeroDivisionError

    double, calls = doubled(name, client)
    monkeypatch.setattr(second_tier.SecondTier, "_put", broken)
    assert double(1) == {"twice": 2}
    monkeypatch.setattr(driving, "_execute", broken)
    assert double(2) == {"twice": 4}
    assert calls == [1, 2]


def test_calls_in_threads_have_a_bound(monkeypatch, until):
    """When all threads hang the next call waits for its deadline; without work they end."""
    monkeypatch.setattr(deadline, "IDLE", 0.05)
    threads = Threads("gnomon test")
    go = threading.Event()
    for _ in range(LIMIT + 3):
        with pytest.raises(TimeoutError):
            threads.run(lambda: go.wait(60), 0.001)

    def alive():
        return [thread.name for thread in threading.enumerate()].count("gnomon test")

    assert alive() == LIMIT
    go.set()
    assert threads.run(lambda: 7, 30) == 7
    with pytest.raises(KeyError):
        threads.run({}.popitem, 30)
    until(lambda: alive() == 0, 60)
    assert threads.run(lambda: 8, 30) == 8
