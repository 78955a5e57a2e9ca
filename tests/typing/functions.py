"""Public use of functions, caches and the memory guard, for mypy --strict; nothing here is run."""

import functools
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import cachetools
import redis
import redis.asyncio

import gnomon


@gnomon.timed
def bare(text: str, *, limit: int = 3) -> list[str]:
    """Keep its signature."""
    return text.split()[:limit]


@gnomon.timed("named", memory_warn_mb=100, slow_seconds=None)
async def named(text: str) -> int:
    """Keep its signature."""
    return len(text)


@gnomon.timed()
def items() -> Iterator[int]:
    """Stay a generator."""
    yield 1


@gnomon.timed("async items")
async def async_items() -> AsyncIterator[int]:
    """Stay an asynchronous generator."""
    yield 1


@gnomon.cached("profiles", maxsize=128, ttl=300)
def profile(user: int, *, full: bool = False) -> dict[str, int]:
    """Keep its signature."""
    return {"user": user, "full": full}


@gnomon.cached(
    "lists",
    maxsize=None,
    ttl=lambda _, value: 60 if value else None,
    key=str,
    l2=redis.asyncio.Redis(),
    l2_ttl=600,
    codec=pickle,
    l2_deadline=0.1,
    l2_wait=0,
)
async def listed(kind: str) -> list[str]:
    """Keep its signature."""
    return [kind]


class Model:
    """Its methods are timed and kept."""

    @gnomon.timed
    def timed(self, text: str) -> int:
        """Keep its signature."""
        return len(text)

    @gnomon.cached("model", l2=redis.Redis(), ttl=60, key=lambda _, text: text)
    def cached(self, text: str) -> int:
        """Keep its signature."""
        return len(text)


@functools.lru_cache(maxsize=2)
def theirs(x: int) -> int:
    """Be watched."""
    return x


async def use() -> None:
    """Get what was promised."""
    assert_type(bare("a b", limit=1), list[str])
    assert_type(await named("a"), int)
    assert_type(profile(1, full=True), dict[str, int])
    assert_type(profile.__wrapped__(1), dict[str, int])
    assert_type(profile.cache_info().hits, int)
    profile.cache_clear()
    listed.cache_clear(l2=False)
    assert_type(await listed("a"), list[str])
    model = Model()
    assert_type(model.timed("a"), int)
    assert_type(model.cached("a"), int)
    assert_type(Model.cached(model, "a"), int)
    model.cached.cache_clear()
    bare(1)  # type: ignore[arg-type]
    profile("a")  # type: ignore[arg-type]
    model.cached(1)  # type: ignore[arg-type]
    await listed(kind=1)  # type: ignore[arg-type]
    assert_type(gnomon.watch_cache(theirs, "theirs")(1), int)
    cache: cachetools.TTLCache[str, float] = cachetools.TTLCache(128, 60)
    prices = gnomon.watch_cache(cache, "prices")
    assert_type(prices["a"], float)
    assert_type(gnomon.watch_cache({"a": 1}, "any").get("a", 0), int)
    for item in items():
        assert_type(item, int)
    async for item in async_items():
        assert_type(item, int)
    with gnomon.memory_guard(0.8, caches=[profile, theirs, prices]) as guard:
        assert_type(guard.used, float | None)
    guard.stop()
