"""Caches that others have made."""

import functools
import gc
import threading
from collections import defaultdict

import cachetools
import pytest

import gnomon


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_functions_of_functools_tell_of_themselves(name, figures, figure):
    """The function stays what it is; its own figures are read when the page is."""

    @functools.lru_cache(maxsize=2)
    def double(x):
        return 2 * x

    double(0)
    assert gnomon.watch_cache(double, name) is double
    assert gnomon.watch_cache(double, name) is double  # once more changes nothing
    for x in (1, 1, 2, 3):
        double(x)
    assert figures() == {"hits": 1, "misses": 4}
    assert figures() == {"hits": 1, "misses": 4}
    assert (figure("entries", "l1"), figure("capacity_entries", "l1")) == (2, 2)


def test_a_cleared_function_counts_on(name, figures):
    """Its own figures begin again, and the counters never fall."""
    double = gnomon.watch_cache(functools.cache(lambda x: 2 * x), name)
    for x in (1, 1, 1, 2):
        double(x)
    assert figures() == {"hits": 2, "misses": 2}
    double.cache_clear()
    double(1)
    assert figures() == {"hits": 2, "misses": 3}


def test_a_function_that_is_gone_leaves_its_counts(name, figures, figure):
    """It is not kept alive, and has no entries any more."""
    double = gnomon.watch_cache(functools.cache(lambda x: 2 * x), name)
    double(1)
    assert figures() == {"hits": 0, "misses": 1}
    assert (figure("entries", "l1"), figure("capacity_entries", "l1")) == (1, None)
    del double
    gc.collect()
    assert figures() == {"hits": 0, "misses": 1}
    assert figure("entries", "l1") is None


def test_a_cache_with_a_time_to_live_counts_exactly(name, figures, figure):
    """What leaves for others is an eviction, what leaves because its time is over an expiry."""
    clock = Clock()
    cache = gnomon.watch_cache(cachetools.TTLCache(2, 10, timer=clock), name)
    assert cache.get("a") is None
    cache["a"] = 1
    assert cache["a"] == 1
    clock.now = 5
    cache["b"] = 2
    cache["c"] = 3  # a has to go
    with pytest.raises(KeyError):
        cache["a"]
    assert figures() == {"hits": 1, "misses": 2, "evictions": 1, "expirations": 0}
    clock.now = 15
    assert cache.get("b", "default") == "default"  # over, as c is
    cache["d"] = 4
    assert figures() == {"hits": 1, "misses": 3, "evictions": 1, "expirations": 2}
    assert (figure("entries", "l1"), figure("capacity_entries", "l1")) == (1, 2)
    clock.now = 30
    assert len(cache) == 0
    assert figures()["expirations"] == 3
    assert (cache.maxsize, cache.ttl) == (2, 10)


def test_entries_of_a_time_of_their_own(name, figures):
    """One that is over before it is stored is neither stored nor evicted."""
    clock = Clock()
    inner = cachetools.TLRUCache(2, lambda _key, value, now: now + value, timer=clock)
    cache = gnomon.watch_cache(inner, name)
    cache["now"] = 0
    cache["a"] = 5
    cache["b"] = 50
    assert set(cache) == {"a", "b"}
    cache["c"] = 50
    assert set(cache) == {"b", "c"}
    assert figures() == {"hits": 0, "misses": 0, "evictions": 1, "expirations": 0}


@pytest.mark.parametrize("kind", [cachetools.LRUCache, cachetools.LFUCache, cachetools.FIFOCache])
def test_every_policy_counts_its_evictions(name, kind, figures):
    """Whichever entry it is that goes."""
    cache = gnomon.watch_cache(kind(3), name)
    for number in range(10):
        cache[number % 5] = number
    assert len(cache) == 3
    cache[next(iter(cache))] = "again"
    assert figures() == {"hits": 0, "misses": 0, "evictions": 7}


def test_entries_of_different_sizes(name, figure):
    """One large entry may make several go; a capacity that is no number of entries is absent."""
    cache = gnomon.watch_cache(cachetools.LRUCache(10, getsizeof=len), name)
    for key in "abcde":
        cache[key] = "xx"
    cache["large"] = "x" * 9
    assert figure("evictions_total", "l1") == 5
    assert (figure("entries", "l1"), figure("capacity_entries", "l1")) == (1, None)
    with pytest.raises(ValueError, match="too large"):
        cache["larger"] = "x" * 11
    assert cache.currsize == 9


def test_under_cachetools_own_decorator(name, figures):
    """The proxy stands in the cache's place."""

    @cachetools.cached(gnomon.watch_cache(cachetools.TTLCache(2, 3600), name))
    def double(x):
        return 2 * x

    assert [double(x) for x in (1, 1, 2, 3, 1)] == [2, 2, 4, 6, 2]
    assert figures() == {"hits": 1, "misses": 4, "evictions": 2, "expirations": 0}


def test_a_function_of_cachetools_tells_of_itself(name, figures):
    """With info=True it has the figures that functools has."""

    @cachetools.cached({}, info=True)
    def double(x):
        return 2 * x

    gnomon.watch_cache(double, name)
    double(1)
    double(1)
    assert figures() == {"hits": 1, "misses": 1}


def test_any_mapping(name, figures, figure):
    """Hits, misses and entries; of what leaves nothing is known."""
    cache = gnomon.watch_cache({"a": 1}, name)
    assert cache["a"] == 1
    assert cache.get("b") is None
    assert cache.setdefault("b", 2) == cache.setdefault("b", 3) == 2
    assert "c" not in cache
    assert cache.pop("c", None) is None
    assert cache.pop("a") == 1
    assert cache == {"b": 2}
    assert figures()["misses"] == 2
    cache.update(x=1, y=2)
    del cache["x"]
    assert cache.popitem() == ("y", 2)
    assert (figure("entries", "l1"), figure("capacity_entries", "l1")) == (1, None)
    cache.clear()
    assert figure("entries", "l1") == 0
    assert set(figures()) == {"hits", "misses"}
    assert repr(cache).startswith("watch_cache({}")


def test_a_mapping_that_fills_itself(name, figures):
    """What it makes when asked was not there."""
    cache = gnomon.watch_cache(defaultdict(list), name)
    cache["a"].append(1)
    assert cache["a"] == [1]
    assert figures() == {"hits": 1, "misses": 1}


def test_what_a_cache_raises_passes_through(name):
    """A broken one is not hidden, and what it lacks is lacking."""

    class Broken(dict):
        def __getitem__(self, key):
            raise OSError("disk")

    cache = gnomon.watch_cache(Broken(), name)
    with pytest.raises(OSError, match="disk"):
        cache["a"]
    with pytest.raises(AttributeError):
        cache.nothing  # noqa: B018
    with pytest.raises(KeyError):
        gnomon.watch_cache({}, name).popitem()


def test_a_slow_mapping_keeps_nobody_waiting(name, figures):
    """One thread's lookup is no other's business, and neither is one whose size nobody can tell."""
    begun, go = threading.Event(), threading.Event()

    class Slow(dict):
        def __getitem__(self, key):
            if key == "slow":
                begun.set()
                assert go.wait(30)
            return super().__getitem__(key)

        def __len__(self):
            raise OSError("no connection")

    cache = gnomon.watch_cache(Slow(slow=1, fast=2), name)
    thread = threading.Thread(target=lambda: cache["slow"])
    thread.start()
    assert begun.wait(30)
    assert cache["fast"] == 2
    assert figures() == {"hits": 1, "misses": 0}
    go.set()
    thread.join(30)
    assert figures() == {"hits": 2, "misses": 0}


def test_threads_count_exactly(name, figures):
    """A cache of cachetools, which alone no two threads may use at once, may be shared."""
    cache = gnomon.watch_cache(cachetools.LRUCache(8), name)
    stored = []

    def work():
        own = 0
        for number in range(2000):
            if cache.get(number % 13) is None:
                cache[number % 13] = number + 1
                own += 1
        stored.append(own)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counted = figures()
    assert counted["hits"] + counted["misses"] == 10_000
    assert counted["misses"] == sum(stored)
    assert len(cache) == 8


def test_ours_are_measured_already(name, figures):
    """Watching them again counts nothing twice."""

    @gnomon.cached(name)
    def double(x):
        return 2 * x

    assert gnomon.watch_cache(double, "another") is double
    cache = gnomon.watch_cache({}, name)
    assert gnomon.watch_cache(cache, "another") is cache
    double(1)
    assert figures()["misses"] == 1


@pytest.mark.parametrize("bad", [3, len, [1]])
def test_what_is_no_cache_is_refused(bad):
    """With what would be one."""
    with pytest.raises(TypeError, match="mutable mapping"):
        gnomon.watch_cache(bad, "bad")
