"""The first tier of one function: its entries, and whoever is loading one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gnomon.caches import families
from gnomon.caches.entries import Expiring, Lasting, emptied

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from gnomon.caches.entries import Entries
    from gnomon.caches.second_tier import SecondTier


class CacheInfo(NamedTuple):
    """How a cached function has done since it was made or cleared; as functools' own."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class Store:
    """The entries of one function, and what it takes to fill them.

    function: its qualified name, which tells it from others of the same cache in the second tier.
    flights: the loads that are under way, by key. generation: how often everything was cleared,
    so that no load from before puts back what is out of date.
    """

    def __init__(
        self,
        name: str,
        function: str,
        maxsize: int | None,
        ttl: float | Callable[[Any, Any], float | None] | None,
        second: SecondTier | None,
    ) -> None:
        self.name = name
        self.function = function
        self.maxsize = maxsize
        self.ttl = ttl
        self.second = second
        self.tally = families.tally(name)
        self.lock = self.tally.lock
        self.coalesced = self.tally.coalesced()
        self.loads = self.tally.loads()
        lasts = ttl is None and second is None
        self.entries: Entries = (Lasting if lasts else Expiring)(maxsize, self.tally)
        self.flights: dict[Hashable, Any] = {}
        self.generation = 0
        self.hits = 0
        self.misses = 0
        families.show(self)

    def put(
        self,
        key: Hashable,
        value: Any,
        generation: int,
        remaining: float | None = None,
        *,
        is_fresh: bool = True,
    ) -> None:
        """Keep a value that was asked for when ``generation`` was the current one.

        remaining: the seconds after which the second tier will forget it: what comes from there
        stays here no longer. Never raises.
        """
        try:
            lifetime = self.ttl(key, value) if callable(self.ttl) else self.ttl
            if remaining is not None and (lifetime is None or not is_fresh):
                lifetime = remaining if lifetime is None else min(lifetime, remaining)
            if lifetime is not None and lifetime <= 0:
                return
            with self.lock:
                if generation == self.generation:
                    self.entries.put(key, value, lifetime)
                gone = self.take_gone()
            del gone
        except Exception:
            self.tally.failed(families.L1, "a value could not be kept", trace=True)

    def clear(self) -> None:
        """Forget the entries, and let loads that are under way end without being kept."""
        with self.lock:
            self.generation += 1
            self.flights.clear()
            gone = emptied(self.entries)
            self.hits = self.misses = 0
        del gone  # outside of the lock

    def take_gone(self) -> list[Any]:
        """Return what has left the entries, to be dropped when the lock is free; it is held."""
        gone, self.entries.gone = self.entries.gone, []
        return gone

    def info(self) -> CacheInfo:
        """Return what functools would."""
        size, _ = self.size()
        with self.lock:
            return CacheInfo(self.hits, self.misses, self.maxsize, size)

    def size(self) -> tuple[int, int | None]:
        """Return the entries that have not expired, and how many there may be."""
        with self.lock:
            size = len(self.entries)
            gone = self.take_gone()
        del gone
        return size, self.maxsize

    def resting(self) -> bool | None:
        """Whether the second tier is left alone just now, None if there is none."""
        return None if self.second is None else self.second.breaker.resting()
