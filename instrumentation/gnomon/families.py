"""Metric families with a cap on their series, exemplars, and children that cost next to nothing.

prometheus-client's own children take a lock and a walk over the buckets for each observation: four
histograms of one request would cost as much as everything else that is done for it. These are
read by the same registry, through ``collect``.
"""

import threading
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, repeat
from typing import Generic, Protocol, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, Exemplar
from prometheus_client.samples import Sample

#: The value of every label of the series that takes what is beyond a family's cap.
OVERFLOW = "_OVERFLOW"

#: A trace's id and a span's, as an exemplar's labels or as numbers: most become no exemplar.
Ids = dict[str, str] | tuple[int, int]

#: Longest label value that is kept whole, in characters.
LABEL_LIMIT = 256


class Count:
    """One series of a counter."""

    __slots__ = ("_lock", "value")

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add to the counter."""
        with self._lock:
            self.value += amount

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield the one sample."""
        yield Sample(f"{name}_total", labels, self.value)


class Level:
    """One series of a gauge."""

    __slots__ = ("_lock", "value")

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """Raise the gauge, or lower it by a negative amount."""
        with self._lock:
            self.value += amount

    def set(self, value: float) -> None:
        """Set the gauge."""
        self.value = value

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield the one sample."""
        yield Sample(name, labels, self.value)


def _labels(ids: Ids) -> dict[str, str]:
    if isinstance(ids, dict):
        return ids
    return {"trace_id": f"{ids[0]:032x}", "span_id": f"{ids[1]:016x}"}


class Distribution:
    """One series of a histogram, with the latest exemplar of each bucket."""

    __slots__ = ("_lock", "_names", "bounds", "counts", "exemplars", "total")

    def __init__(
        self, lock: threading.RLock, bounds: Sequence[float], names: Sequence[str]
    ) -> None:
        self._lock = lock
        self._names = names
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] | None = None

    def observe(self, value: float, exemplar: Ids | None = None) -> None:
        """Count a value; see ``put``."""
        with self._lock:
            self.put(value, exemplar)

    def put(self, value: float, exemplar: Ids | None = None, when: float | None = None) -> None:
        """Count a value, in the family's unit, while the family's lock is held.

        exemplar: the ids of the sampled trace it belongs to, None if that was not sampled. when:
        seconds since the epoch, None for now.
        """
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if exemplar is not None:
            if self.exemplars is None:
                self.exemplars = {}
            self.exemplars[bucket] = Exemplar(_labels(exemplar), value, when or time.time())

    def put_all(
        self,
        values: Sequence[float],
        exemplars: Sequence[tuple[Ids, float] | None],
    ) -> None:
        """Count several values, as ``put`` does, at a tenth of the cost.

        exemplars: of each value, with its time.
        """
        buckets = [*map(bisect_left, repeat(self.bounds), values)]
        for bucket, count in Counter(buckets).items():
            self.counts[bucket] += count
        self.total += sum(values)
        if any(exemplars):
            if self.exemplars is None:
                self.exemplars = {}
            # Of several in one bucket the last stays.
            known = compress(zip(exemplars, values, strict=True), exemplars)
            latest = dict(zip(compress(buckets, exemplars), known, strict=True))
            for bucket, (exemplar, value) in latest.items():
                if exemplar is not None:
                    self.exemplars[bucket] = Exemplar(_labels(exemplar[0]), value, exemplar[1])

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield the buckets, the count and the sum; nothing if nothing was ever counted."""
        if not any(self.counts):
            return
        seen = 0
        exemplars = self.exemplars or {}
        for index, count in enumerate(self.counts):
            seen += count
            bucket = {**labels, "le": self._names[index]}
            yield Sample(f"{name}_bucket", bucket, seen, None, exemplars.get(index))
        yield Sample(f"{name}_count", labels, seen)
        yield Sample(f"{name}_sum", labels, self.total)


def _writable(value: str) -> str:
    """Return a label value of bounded length that UTF-8 can spell."""
    return value[:LABEL_LIMIT].encode("utf-8", "replace").decode()


class Child(Protocol):
    """One series, or one histogram's set of them."""

    def samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        """Yield what goes onto the page, while the family's lock is held."""


_Child = TypeVar("_Child", bound=Child)


class Family(ABC, Generic[_Child]):
    """A family with at most ``cap`` children; all others share one, whose labels say so.

    name: without ``_total``. labels: their names, in the order in which ``child`` takes values.
    """

    def __init__(
        self, kind: str, name: str, documentation: str, labels: Sequence[str], cap: int
    ) -> None:
        self.kind = kind
        self.name = name
        self.labels = tuple(labels)
        # Re-entrant: a finaliser or a signal's handler may count while its own thread holds it.
        self.lock = threading.RLock()
        self.overflowed = 0
        self._documentation = documentation
        self._cap = cap
        self._children: dict[tuple[str, ...], _Child] = {}

    @abstractmethod
    def _new(self) -> _Child:
        """Return a new child."""

    def child(self, *values: str) -> _Child:
        """Return the child with these label values, the overflow child if there are too many.

        Callers may keep it, except the overflow child: ``overflowed`` counts the requests for
        it.
        """
        found = self._children.get(values)
        if found is not None:
            return found
        values = tuple(_writable(value) for value in values)
        with self.lock:
            found = self._children.get(values)
            if found is None:
                if len(self._children) >= self._cap:
                    self.overflowed += 1
                    values = (OVERFLOW,) * len(values)
                    found = self._children.get(values)
                if found is None:
                    found = self._children[values] = self._new()
        return found

    def full(self) -> bool:
        """Whether the next unknown label values will go to the overflow child."""
        return len(self._children) >= self._cap

    def remove(self, *values: str) -> None:
        """Forget a child. Its series is gone from the next page on."""
        with self.lock:
            self._children.pop(values, None)

    def metric(self, *, empty: bool = False) -> Metric:
        """Return the family as prometheus-client's registry wants it."""
        metric = Metric(self.name, self._documentation, self.kind)
        if not empty:
            with self.lock:
                for values, child in self._children.items():
                    labels = dict(zip(self.labels, values, strict=True))
                    metric.samples.extend(child.samples(self.name, labels))
        return metric


class Counters(Family[Count]):
    """A counter family."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], cap: int) -> None:
        super().__init__("counter", name, documentation, labels, cap)

    def _new(self) -> Count:
        return Count(self.lock)


class Gauges(Family[Level]):
    """A gauge family."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], cap: int) -> None:
        super().__init__("gauge", name, documentation, labels, cap)

    def _new(self) -> Level:
        return Level(self.lock)

    def zero(self) -> None:
        """Set all series to 0, in a forked child: what is under way is under way in the parent."""
        for level in self._children.values():
            level.value = 0

    def clear(self) -> None:
        """Forget all series, in a forked child. Children that somebody keeps are seen no more."""
        self._children.clear()


class Histograms(Family[Distribution]):
    """A histogram family. bounds: the buckets' upper bounds, ascending, without infinity."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        cap: int,
        bounds: Sequence[float],
    ) -> None:
        super().__init__("histogram", name, documentation, labels, cap)
        self._bounds = tuple(bounds)
        self._names = (*(str(float(bound)) for bound in self._bounds), "+Inf")

    def _new(self) -> Distribution:
        return Distribution(self.lock, self._bounds, self._names)


AnyFamily = Counters | Gauges | Histograms


def collect(families: Iterable[AnyFamily]) -> Iterator[Metric]:
    """Yield families that have series."""
    for family in families:
        metric = family.metric()
        if metric.samples:
            yield metric


def describe(families: Iterable[AnyFamily]) -> Iterator[Metric]:
    """Yield families without their series, which is how a registry learns their names."""
    for family in families:
        yield family.metric(empty=True)


def overflow(families: Iterable[AnyFamily]) -> Metric:
    """Return the family that counts what went into overflow children."""
    counter = CounterMetricFamily(
        "gnomon_series_overflow",
        "Observations that went to a family's overflow series because its cap was reached.",
        labels=["family"],
    )
    for family in families:
        if family.overflowed:
            counter.add_metric([family.name], family.overflowed)
    return counter
