"""A value that was not in the first tier: found in the second, loaded, or waited for."""

from __future__ import annotations

import asyncio
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from gnomon import guard
from gnomon.caches import driving, families, keys
from gnomon.caches.flights import AsyncFlight, Flight
from gnomon.caches.second_tier import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gnomon.caches.second_tier import Found
    from gnomon.caches.store import Store

_ABSENT = object()


def _enter(store: Store, key: Hashable, *, is_first: bool) -> tuple[Any, Any, int, list[Any]]:
    """Return what is there by now, the load that is under way, the generation, and what is gone.

    The store's lock is held.
    """
    if is_first:
        store.tally.misses.value += 1
        store.misses += 1
        store.entries.expire()
    value = store.entries.get(key, _ABSENT)
    return value, store.flights.get(key), store.generation, store.take_gone()


def _leave(store: Store, key: Hashable, flight: Flight | AsyncFlight) -> None:
    """End a load: later callers do not find it any more, and those who wait go on."""
    with store.lock:
        if store.flights.get(key) is flight:
            del store.flights[key]
    flight.land()


def _landed(
    store: Store,
    key: Hashable,
    flight: Flight | AsyncFlight | None,
    generation: int,
    end: Found | Loaded,
) -> Any:
    """Keep what was loaded, tell the others, and return or raise it."""
    if isinstance(end, Loaded):
        if end.error is not None:
            if flight is not None and isinstance(end.error, Exception):
                flight.outcome, flight.error = False, end.error
            raise end.error
        store.put(key, end.value, generation)
    else:
        store.put(key, end.value, generation, end.remaining, is_fresh=end.is_fresh)
    if flight is not None:
        flight.outcome, flight.value = True, end.value
    return end.value


def missed(store: Store, key: Hashable, call: Callable[[], Any]) -> Any:
    """Return a value that was not there: another thread's load, or an own one."""
    is_first = True
    while True:
        with store.lock:
            value, flight, generation, gone = _enter(store, key, is_first=is_first)
            leads = value is _ABSENT and not isinstance(flight, Flight)
            if leads:
                flight = store.flights[key] = Flight()
        del gone
        if leads:
            try:
                return _landed(store, key, flight, generation, _end(store, key, call))
            finally:
                _leave(store, key, flight)
        if value is _ABSENT and flight.owner == get_ident():
            return _alone(store, key, call, generation)  # the function asks for its own result
        if is_first:
            store.coalesced.inc()
            is_first = False
        if value is not _ABSENT:
            return value
        if not flight.wait():
            return _alone(store, key, call, generation)
        if flight.outcome is not None:
            if flight.error is not None:
                raise flight.error
            return flight.value


async def missed_async(store: Store, key: Hashable, call: Callable[[], Any]) -> Any:
    """Return a value that was not there: another task's load, or an own one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another kind of loop, in which nobody can be waited for
        loop = None
    is_first = True
    while True:
        with store.lock:
            value, flight, generation, gone = _enter(store, key, is_first=is_first)
            leads = value is _ABSENT and flight is None and loop is not None
            if leads and loop is not None:
                flight = store.flights[key] = AsyncFlight(loop)
        del gone
        if leads:
            try:
                end = await _end_async(store, key, call)
                return _landed(store, key, flight, generation, end)
            finally:
                _leave(store, key, flight)
        if value is _ABSENT and (
            flight is None or flight.loop is not loop or flight.owner is asyncio.current_task()
        ):
            # Without asyncio, in another thread's loop, or asked by the function itself.
            return await _alone_async(store, key, call, generation)
        if is_first:
            store.coalesced.inc()
            is_first = False
        if value is not _ABSENT:
            return value
        if not await flight.wait():
            return await _alone_async(store, key, call, generation)
        if flight.outcome is not None:
            if flight.error is not None:
                raise flight.error
            return flight.value


def _alone(store: Store, key: Hashable, call: Callable[[], Any], generation: int) -> Any:
    """Load a value for this caller only, without the second tier."""
    return _landed(store, key, None, generation, driving.load(call, store.loads))


async def _alone_async(
    store: Store, key: Hashable, call: Callable[[], Any], generation: int
) -> Any:
    """Do in an event loop what ``_alone`` does."""
    end = await driving.load_async(call, store.loads)
    return _landed(store, key, None, generation, end)


def _digest(store: Store, key: Hashable) -> str | None:
    """Return the key's text for the second tier, None if there is none."""
    if store.second is None:
        return None
    try:
        return keys.digest((store.function, key))
    except Exception:
        store.tally.failed(families.L2, "a call has no key that is a text", trace=True)
        return None


def _end(store: Store, key: Hashable, call: Callable[[], Any]) -> Found | Loaded:
    """Find a value in the second tier or load it. Raises nothing of the application's."""
    digest = _digest(store, key)
    load = partial(driving.load, call, store.loads)
    if digest is None or store.second is None:
        return load()
    ends: list[Loaded] = []

    def loading() -> Loaded:
        ends.append(load())
        return ends[0]

    try:
        end: Found | Loaded = driving.drive(store.second.lookup(digest, key), store.second, loading)
    except Exception:
        guard.failed("cache's second tier")
        return ends[0] if ends else load()
    return end


async def _end_async(store: Store, key: Hashable, call: Callable[[], Any]) -> Found | Loaded:
    """Do in an event loop what ``_end`` does."""
    digest = _digest(store, key)
    load = partial(driving.load_async, call, store.loads)
    if digest is None or store.second is None:
        return await load()
    ends: list[Loaded] = []

    async def loading() -> Loaded:
        ends.append(await load())
        return ends[0]

    try:
        end: Found | Loaded = await driving.drive_async(
            store.second.lookup(digest, key), store.second, loading
        )
    except Exception:
        guard.failed("cache's second tier")
        return ends[0] if ends else await load()
    return end
