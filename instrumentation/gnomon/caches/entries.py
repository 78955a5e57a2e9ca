"""The first tier's entries: cachetools', with what leaves them counted."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING, Any

import cachetools

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gnomon.caches.families import Tally
    from gnomon.families import Count


class Lasting(cachetools.LRUCache[Any, Any]):
    """Entries that stay until others need their place. The tally's lock is held for each use.

    maxsize: None for any number. gone: what has left. Whoever holds the lock takes it along, for
    the end of a value may run the application's own code.
    """

    def __init__(self, maxsize: int | None, tally: Tally) -> None:
        super().__init__(math.inf if maxsize is None else maxsize)
        self.evictions = tally.evictions()
        self.gone: list[Any] = []

    def put(self, key: Hashable, value: Any, _lifetime: float | None) -> None:
        """Keep a value."""
        self[key] = value

    def expire(self) -> None:
        """Do nothing: these do not expire."""

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry that was not used for longest, and count it."""
        item = super().popitem()
        self.evictions.value += 1
        self.gone.append(item)
        return item


class Expiring(cachetools.TLRUCache[Any, Any]):
    """Entries that also leave when their time is over; see ``Lasting``."""

    def __init__(self, maxsize: int | None, tally: Tally) -> None:
        super().__init__(math.inf if maxsize is None else maxsize, self._until, timer=monotonic)
        self.evictions: Count = tally.evictions()
        self._expirations: Count = tally.expirations()
        self._lifetime = math.inf
        self.gone: list[Any] = []

    def _until(self, _key: Any, _value: Any, now: float) -> float:
        return now + self._lifetime

    def put(self, key: Hashable, value: Any, lifetime: float | None) -> None:
        """Keep a value for so many seconds, None for as long as there is room."""
        self._lifetime = math.inf if lifetime is None else lifetime
        self[key] = value

    def expire(self, time: float | None = None) -> Any:
        """Remove what is over, and count it."""
        before = cachetools.Cache.__len__(self)
        expired = super().expire(time)
        if expired:  # what they were is not told before cachetools 5.5
            self.gone.extend(expired)
        self._expirations.value += before - cachetools.Cache.__len__(self)
        return expired

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry that was not used for longest, and count it."""
        item = super().popitem()
        self.evictions.value += 1
        self.gone.append(item)
        return item


Entries = Lasting | Expiring


def emptied(entries: Entries) -> list[Any]:
    """Remove all entries and return what they held."""
    held = [
        cachetools.Cache.__getitem__(entries, key) for key in cachetools.Cache.__iter__(entries)
    ]
    evictions = entries.evictions.value
    entries.clear()
    entries.evictions.value = evictions  # older versions of cachetools clear by evicting all
    held += entries.gone
    entries.gone = []
    return held
