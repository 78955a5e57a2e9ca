"""``gnomon.watch_cache``: caches that others have made."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator, MutableMapping
from typing import Any, Generic, Protocol, TypeVar, overload

from gnomon.caches import families
from gnomon.caches.decorator import is_ours

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
F = TypeVar("F", bound="Counting")

_ABSENT: Any = object()


class Counting(Protocol):
    """A function that counts its own hits and misses, as those of functools.lru_cache do."""

    def cache_info(self) -> Any:
        """Return hits, misses, maxsize and currsize."""


@overload
def watch_cache(cache: F, name: str) -> F: ...


@overload
def watch_cache(cache: MutableMapping[K, V], name: str) -> WatchedCache[K, V]: ...


def watch_cache(cache: Any, name: str) -> Any:
    """Measure a cache that exists already; return what to use in its place.

    cache: a function with ``cache_info``, as functools.lru_cache and cachetools.func make them:
    it is returned itself and costs nothing more than before, for its own figures are read when
    the page is. Or a cache of cachetools, or any other mutable mapping: what is returned counts,
    and is to be used by everybody, as in ``@cachetools.cached(gnomon.watch_cache(TTLCache(128,
    300), "prices"))``; the cache itself stays as it is, and what it raises passes through.

    name: the label ``cache``. Caches of the same name share their series.

    A hit is a lookup by ``[]`` or ``get`` that finds something. What leaves while something else
    is stored is an eviction, of cachetools' caches with a time to live an expiry if that was the
    reason. Functions do not tell of evictions and expiries, so those are absent.

    Raises TypeError for what is neither.
    """
    if isinstance(cache, WatchedCache):
        return cache
    if callable(getattr(cache, "cache_info", None)):
        if not is_ours(cache):
            _watch(cache, name)
        return cache
    if isinstance(cache, MutableMapping):
        return WatchedCache(cache, name)
    raise TypeError(
        f"gnomon.watch_cache takes a function with cache_info, as functools.lru_cache makes them,"
        f" a cache of cachetools or another mutable mapping, not {type(cache).__name__}"
    )


_functions: weakref.WeakKeyDictionary[Any, dict[str, _Function]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _watch(function: Any, name: str) -> None:
    """Watch a function once under each name, for as long as it lives."""
    with _lock:
        watched = _functions.setdefault(function, {})
        if name not in watched:
            watched[name] = _Function(function, name)
            families.show(watched[name])


class _Function:
    """A function that counts by itself: what it says is added to ours at each scrape."""

    def __init__(self, function: Any, name: str) -> None:
        self.name = name
        self._function = weakref.ref(function)
        self._tally = families.tally(name)
        self._hits = 0
        self._misses = 0

    def size(self) -> tuple[int, int | None]:
        """Bring the counts up to date, and return the entries and how many there may be."""
        function = self._function()
        if function is None:
            return 0, None
        info = function.cache_info()
        with self._tally.lock:
            if info.hits < self._hits or info.misses < self._misses:
                self._hits = self._misses = 0  # it was cleared
            self._tally.hits.value += info.hits - self._hits
            self._tally.misses.value += info.misses - self._misses
            self._hits, self._misses = info.hits, info.misses
        return info.currsize, info.maxsize

    @staticmethod
    def resting() -> None:
        """Return None: there is no second tier."""


class WatchedCache(MutableMapping[K, V], Generic[K, V]):
    """A mapping that counts what happens to another one; see ``watch_cache``.

    Attributes that a mapping does not have are those of the cache itself. Around each operation on
    a cache of cachetools a lock is held, so that threads may share it.
    """

    def __init__(self, cache: MutableMapping[K, V], name: str) -> None:
        self.name = name
        self._cache = cache
        self._tally = families.tally(name)
        cachetools = sys.modules.get("cachetools")
        kind = cachetools.Cache if cachetools is not None else None
        # Only of cachetools' caches is it known what a smaller or larger length means.
        self._kind = kind if kind is not None and isinstance(cache, kind) else None
        # Another mapping may be slow: a file, or a server. Its users do not wait for each other.
        self._lock = self._tally.lock if self._kind is not None else _Always()
        self._expires = self._kind is not None and hasattr(cache, "expire")
        self._timer = cache.timer if self._expires else _Always()  # type: ignore[attr-defined]
        self._evictions = self._tally.evictions() if self._kind else None
        self._expirations = self._tally.expirations() if self._expires else None
        own = getattr(self._kind, "__missing__", None)
        self._fills = getattr(type(cache), "__missing__", own) is not own
        families.show(self)

    def __getitem__(self, key: K) -> V:
        with self._lock, self._timer:
            if self._fills and key not in self._cache:
                self._missed()
                return self._cache[key]
            try:
                value = self._cache[key]
            except KeyError:
                self._missed()
                raise
            self._hit()
            return value

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock, self._timer:
            if self._evictions is None:
                self._cache[key] = value
                return
            self._expire()
            before, was_there = len(self._cache), key in self._cache
            self._cache[key] = value
            is_there = key in self._cache
            self._evictions.value += before + is_there - was_there - len(self._cache)

    def __delitem__(self, key: K) -> None:
        with self._lock, self._timer:
            self._expire()
            del self._cache[key]

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._cache

    def __iter__(self) -> Iterator[K]:
        return iter(self._cache)

    def __len__(self) -> int:
        with self._lock, self._timer:
            self._expire()
            return len(self._cache)

    def __repr__(self) -> str:
        with self._lock, self._timer:
            self._expire()
            return f"watch_cache({self._cache!r}, {self.name!r})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying and unpickling ask before there is a cache
            raise AttributeError(name)
        return getattr(self._cache, name)

    @overload
    def get(self, key: K, /) -> V | None: ...

    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...

    def get(self, key: K, /, default: Any = None) -> Any:
        """Return a value, the default if there is none; a hit or a miss."""
        with self._lock, self._timer:
            value = self._cache.get(key, _ABSENT)
            if value is _ABSENT:
                self._missed()
                return default
            self._hit()
            return value

    def setdefault(self, key: K, default: Any = None) -> Any:
        """Return a value; if there is none, store the default and return it."""
        with self._lock, self._timer:
            if key in self._cache:
                self._hit()
                return self._cache[key]
            self._missed()
            self[key] = default
            return default

    def pop(self, key: K, *default: Any) -> Any:
        """Remove a value and return it; neither a lookup nor an eviction."""
        with self._lock, self._timer:
            self._expire()
            return self._cache.pop(key, *default)

    def popitem(self) -> tuple[K, V]:
        """Remove the entry that the cache chooses; no eviction, for nothing needed its place."""
        with self._lock, self._timer:
            self._expire()
            return self._cache.popitem()

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._cache.clear()

    def expire(self, *time: Any) -> Any:
        """Remove and count what is over, where entries have a time to live."""
        with self._lock, self._timer:
            return self._expire(*time)

    def size(self) -> tuple[int, int | None]:
        """Return the entries, and how many there may be if that is known."""
        entries = len(self)
        if self._kind is None or self.getsizeof is not self._kind.getsizeof:
            return entries, None
        most = self.maxsize
        return entries, int(most) if most != float("inf") else None

    @staticmethod
    def resting() -> None:
        """Return None: there is no second tier."""

    def _hit(self) -> None:
        with self._tally.lock:
            self._tally.hits.value += 1

    def _missed(self) -> None:
        with self._tally.lock:
            self._tally.misses.value += 1
        self._expire()

    def _expire(self, *time: Any) -> Any:
        if self._expirations is None or self._kind is None:
            return []
        before = self._kind.__len__(self._cache)
        expired = self._cache.expire(*time)  # type: ignore[attr-defined]
        self._expirations.value += before - self._kind.__len__(self._cache)
        return expired


class _Always:
    """Stands in for the clock or the lock of a cache that needs none."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_error: object) -> None:
        """Do nothing."""
