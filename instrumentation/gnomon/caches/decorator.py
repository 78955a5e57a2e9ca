"""``gnomon.cached``: a function whose results are kept."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from gnomon import guard
from gnomon.caches import driving, families, keys, loading
from gnomon.caches.codec import Codec, Json
from gnomon.caches.second_tier import SecondTier
from gnomon.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gnomon.caches.store import CacheInfo, Store

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Cached(Protocol[P, R_co]):
    """A function whose results are kept; what it takes and returns is unchanged."""

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself, which keeps nothing."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return what is kept, or what the function returns."""

    def cache_clear(self, *, l2: bool = True) -> None:
        """Forget all results in this process, and with ``l2`` those in the second tier.

        Loads that are under way end without being kept. The second tier's entries are out of
        date at once, or as soon as Redis can be reached; what other processes have in their
        memory stays there for its time. Never raises.
        """

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maxsize and currsize of the first tier, as functools does."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> Cached[P, R_co]: ...

    @overload
    def __get__(
        self: Cached[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> Cached[Q, R]: ...


def cached(
    name: str,
    *,
    maxsize: int | None = 128,
    ttl: float | Callable[[Any, Any], float | None] | None = None,
    key: Callable[..., Hashable] | None = None,
    l2: Any = None,
    l2_ttl: float | Callable[[Any, Any], float | None] | None = None,
    codec: Codec | None = None,
    l2_deadline: float = 0.25,
    l2_wait: float = 10.0,
) -> Callable[[Callable[P, R]], Cached[P, R]]:
    """Keep a function's results, the least recently used leaving first, and measure that.

    A decorator for functions and coroutine functions. Callers that want the same value at the
    same time wait for one load, in threads and in tasks of one event loop; what that raises all
    of them get, and nothing is kept of it. None is a value like others. Whatever is wrong with
    the cache itself (arguments that cannot be hashed, a Redis that is gone, a value that cannot
    be encoded) is counted and logged, and the function answers.

    name: the label ``cache``, and part of the keys in Redis.
    maxsize: most entries in this process, None for any number.
    ttl: seconds for which a value stays, None for as long as there is room; or a function of key
    and value that returns either, and nothing is kept for 0.
    key: returns what tells calls apart, from their arguments; else all arguments do, which must
    be hashable then, a method's ``self`` too.
    l2: a client of Redis for the second tier, ``redis.Redis`` for functions and
    ``redis.asyncio.Redis`` for coroutine functions, whose entries all processes share that keep
    the same function under the same name. Its keys must then be made of texts, numbers, dates,
    enumerations and tuples of those. What comes from there stays in this process no longer than
    it stays there.
    l2_ttl: seconds, as ``ttl``, which holds if it is None.
    codec: has ``dumps`` and ``loads`` for the values in Redis; else JSON, and values that JSON
    would change (tuples, dates, keys that are numbers) are not kept there. With pickle, whoever
    may write to Redis may run code here.
    l2_deadline: seconds after which a call no longer waits for Redis. It is left alone for a
    second then, and for twice as long each time, up to half a minute.
    l2_wait: seconds for which callers of other processes wait for one that loads a value; 0 for
    not at all.

    Raises TypeError and ValueError for arguments that cannot be right, RuntimeError where the
    extra ``cache`` is missing.
    """
    if not isinstance(name, str):
        raise TypeError("gnomon.cached needs a name: @gnomon.cached('profiles')")
    _check(maxsize=maxsize, ttl=ttl, l2_ttl=l2_ttl, l2_deadline=l2_deadline)
    if l2_wait < 0:
        raise ValueError(f"l2_wait: {l2_wait!r} is below 0")
    if key is not None and not callable(key):
        raise TypeError("key: takes the function's arguments and returns what tells calls apart")
    require("cachetools", "cache")
    from gnomon.caches.store import Store  # noqa: PLC0415  # it imports cachetools

    lasting = l2_ttl if l2_ttl is not None else ttl
    is_async = _is_async(l2) if l2 is not None else None
    if l2 is not None and lasting is None:
        raise ValueError(
            "l2 needs ttl or l2_ttl: what is in Redis outlives this program, and must not for ever"
        )

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                "gnomon.cached keeps no generators, whose items are gone once they are used: let"
                " the function return a list"
            )
        if not callable(function):
            raise TypeError(
                f"gnomon.cached is for functions, not {function!r}; with @classmethod, put that"
                " above it"
            )
        is_coroutine = inspect.iscoroutinefunction(function)
        if is_async is not None and is_async != is_coroutine:
            wanted = "redis.asyncio.Redis" if is_coroutine else "redis.Redis"
            raise TypeError(f"l2: this function needs a {wanted}, not {type(l2).__name__}")
        second = None
        if l2 is not None and lasting is not None:
            second = SecondTier(
                name,
                l2,
                ttl=lasting,
                codec=codec if codec is not None else Json(),
                deadline=l2_deadline,
                wait=l2_wait,
                tally=families.tally(name),
            )
        store = Store(name, keys.function(function), maxsize, ttl, second)
        around = _coroutine_function if is_coroutine else _function
        wrapper = around(function, store, key)
        wrapper.cache_clear = partial(clear, store, is_coroutine)
        wrapper.cache_info = store.info
        ours: Cached[P, R] = wrapper
        return ours

    return decorate


def _check(*, maxsize: int | None, ttl: Any, l2_ttl: Any, l2_deadline: float) -> None:
    if maxsize is not None and (isinstance(maxsize, bool) or not isinstance(maxsize, int)):
        raise TypeError(f"maxsize: {maxsize!r} is no whole number; None for any number of entries")
    if maxsize is not None and maxsize < 1:
        raise ValueError(f"maxsize: {maxsize} keeps nothing; None for any number of entries")
    for name, value in (("ttl", ttl), ("l2_ttl", l2_ttl), ("l2_deadline", l2_deadline)):
        if value is None or (callable(value) and name != "l2_deadline"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name}: {value!r} is no number of seconds")
        if not value > 0:
            raise ValueError(f"{name}: {value!r} seconds keep nothing")


def _is_async(client: Any) -> bool:
    """Whether a client of Redis is asynchronous. Raises TypeError for what is no client."""
    if not callable(getattr(client, "pipeline", None)):
        raise TypeError(
            f"l2: a client of Redis (redis.Redis or redis.asyncio.Redis), not {client!r}"
        )
    return hasattr(type(client), "__aenter__")


def _function(
    function: Callable[..., Any], store: Store, make: Callable[..., Hashable] | None
) -> Any:
    lock, hits, find = store.lock, store.tally.hits, store.entries.__getitem__

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            if make is not None:
                key = make(*args, **kwargs)
            else:
                key = keys.key(args, kwargs) if kwargs else args
        except Exception:
            store.tally.failed(families.L1, "a call has no key", trace=True)
            return function(*args, **kwargs)
        try:
            with lock:
                value = find(key)
                hits.value += 1
                store.hits += 1
                return value
        except KeyError:
            pass
        except Exception:
            store.tally.failed(families.L1, "a call's key cannot be hashed", trace=True)
            return function(*args, **kwargs)
        return loading.missed(store, key, partial(function, *args, **kwargs))

    return wrapper


def _coroutine_function(
    function: Callable[..., Any], store: Store, make: Callable[..., Hashable] | None
) -> Any:
    lock, hits, find = store.lock, store.tally.hits, store.entries.__getitem__

    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            if make is not None:
                key = make(*args, **kwargs)
            else:
                key = keys.key(args, kwargs) if kwargs else args
        except Exception:
            store.tally.failed(families.L1, "a call has no key", trace=True)
            return await function(*args, **kwargs)
        try:
            with lock:
                value = find(key)
                hits.value += 1
                store.hits += 1
                return value
        except KeyError:
            pass
        except Exception:
            store.tally.failed(families.L1, "a call's key cannot be hashed", trace=True)
            return await function(*args, **kwargs)
        return await loading.missed_async(store, key, partial(function, *args, **kwargs))

    return wrapper


def is_ours(function: Any) -> bool:
    """Whether a function, or a method, was made by ``gnomon.cached``."""
    return getattr(getattr(function, "cache_clear", None), "func", None) is clear


_clearing: set[asyncio.Task[None]] = set()


def clear(store: Store, is_async: bool, *, l2: bool = True) -> None:
    """Forget everything; see ``Cached.cache_clear``."""
    try:
        store.clear()
        if store.second is None or not l2:
            return
        store.second.outdate()
        if not is_async:
            driving.drive(store.second.tell(), store.second, None)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # nobody can talk to Redis here: the next lookup does, before it asks
        task = loop.create_task(driving.drive_async(store.second.tell(), store.second, None))
        _clearing.add(task)
        task.add_done_callback(_clearing.discard)
    except Exception:
        guard.failed("cache_clear")
