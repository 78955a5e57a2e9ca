"""What is measured of caches, by name and tier."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import GaugeMetricFamily

from gnomon import guard, subjects
from gnomon.families import Counters, Histograms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from gnomon.families import Count, Distribution

log = logging.getLogger("gnomon")

#: Most caches that are told apart.
CAP = 1000

L1, L2 = "l1", "l2"

#: Seconds, from a value at hand to a report that takes its time.
LOADS = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OPERATIONS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)

#: Seconds between two log lines about the same trouble.
QUIET = 60.0

_TIERS = ("cache", "tier")
_hits = Counters("gnomon_cache_hits", "Lookups that a tier answered.", _TIERS, CAP)
_misses = Counters(
    "gnomon_cache_misses",
    "Lookups that a tier could not answer; a tier that failed or was left alone counts none.",
    _TIERS,
    CAP,
)
_evictions = Counters(
    "gnomon_cache_evictions",
    "Entries that made room for others, the least recently used first.",
    _TIERS,
    CAP,
)
_expirations = Counters(
    "gnomon_cache_expirations", "Entries whose time to live was over.", _TIERS, CAP
)
_errors = Counters(
    "gnomon_cache_errors",
    "Operations on a tier that failed, so that the function itself answered.",
    _TIERS,
    CAP,
)
_loads = Histograms(
    "gnomon_cache_load_duration_seconds",
    "Time that the function behind a cache took for a value that was in no tier.",
    ("cache",),
    CAP,
    LOADS,
)
_operations = Histograms(
    "gnomon_cache_tier_duration_seconds",
    "Time of one exchange with a tier outside of this process.",
    _TIERS,
    CAP,
    OPERATIONS,
)
_coalesced = Counters(
    "gnomon_cache_coalesced",
    "Lookups that waited for a load which another caller had begun.",
    ("cache",),
    CAP,
)
subjects.add(_hits, _misses, _evictions, _expirations, _errors, _loads, _operations, _coalesced)


class Tally:
    """The series of one cache name.

    lock: who writes a count of the first tier holds it, instead of the family's, for it is held
    already where the entries are: one more would be a tenth of a hit's price.
    """

    def __init__(self, name: str, hits: Count) -> None:
        self.name = name
        self.lock = threading.RLock()  # a key's own comparison may look something up, too
        self.hits = hits
        self.misses = _misses.child(name, L1)

    def evictions(self) -> Count:
        """Return the count of evictions, from now on on the page."""
        return _evictions.child(self.name, L1)

    def expirations(self) -> Count:
        """Return the count of expired entries, from now on on the page."""
        return _expirations.child(self.name, L1)

    def coalesced(self) -> Count:
        """Return the count of lookups that waited, from now on on the page."""
        return _coalesced.child(self.name)

    def loads(self) -> Distribution:
        """Return the times of loads."""
        return _loads.child(self.name)

    def failed(self, tier: str, why: str, *, trace: bool = False) -> None:
        """Count and log the exception that is being handled.

        trace: with its traceback, for a mistake in the application's own code.
        """
        _errors.child(self.name, tier).inc()
        _say(self.name, tier, why, trace=trace)


class SecondTally:
    """The series of a cache's second tier."""

    def __init__(self, name: str) -> None:
        self.hits = _hits.child(name, L2)
        self.misses = _misses.child(name, L2)
        self.operations = _operations.child(name, L2)
        _errors.child(name, L2)  # there from the start, so that the first error is an increase


_lock = threading.Lock()
_tallies: dict[Count, Tally] = {}
_said: dict[tuple[str, str, str], float] = {}


def tally(name: str) -> Tally:
    """Return the series of a cache name; all beyond the cap share one."""
    hits = _hits.child(name, L1)
    with _lock:
        found = _tallies.get(hits)
        if found is None:
            found = _tallies[hits] = Tally(name, hits)
        return found


def _say(name: str, tier: str, why: str, *, trace: bool) -> None:
    now = time.monotonic()
    with _lock:
        if now - _said.get((name, tier, why), -QUIET) < QUIET:
            return
        if len(_said) > CAP:
            _said.clear()
        _said[name, tier, why] = now
    log.warning(
        "cache %s, tier %s: %s; the function itself answers", name, tier, why, exc_info=trace
    )


class Sized(Protocol):
    """What tells its size at a scrape."""

    name: str

    def size(self) -> tuple[int, int | None]:
        """Return the entries there are, and how many there may be, None if that has no bound."""

    def resting(self) -> bool | None:
        """Whether the second tier is left alone just now, None if there is none."""


_sized: weakref.WeakValueDictionary[int, Sized] = weakref.WeakValueDictionary()


def show(cache: Sized) -> None:
    """Show a cache's size for as long as it lives."""
    with _lock:
        _sized[id(cache)] = cache  # mappings have no hash


def _gather() -> Iterator[Metric]:
    with _lock:
        alive = list(_sized.values())
    entries: dict[str, int] = {}
    capacity: dict[str, int] = {}
    resting: dict[str, int] = {}
    for cache in alive:
        try:
            size, most = cache.size()
        except Exception:
            guard.failed("cache's size")
            continue
        entries[cache.name] = entries.get(cache.name, 0) + size
        if most is not None:
            capacity[cache.name] = capacity.get(cache.name, 0) + most
        if (rests := cache.resting()) is not None:
            resting[cache.name] = max(resting.get(cache.name, 0), int(rests))
    for name, documentation, tier, values in (
        ("gnomon_cache_entries", "Entries in a tier, expired ones left out.", L1, entries),
        ("gnomon_cache_capacity_entries", "Entries that fit into a tier.", L1, capacity),
        (
            "gnomon_cache_tier_resting",
            "Processes that leave a tier alone for a while, because it failed.",
            L2,
            resting,
        ),
    ):
        if values:
            family = GaugeMetricFamily(name, documentation, labels=_TIERS)
            for cache_name, value in values.items():
                family.add_metric([cache_name, tier], value)
            yield family


subjects.look("caches", _gather)
