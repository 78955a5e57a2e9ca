"""Series by task: what is counted for each task name, host and queue, within a bound."""

import time
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gnomon_exporter.families import CounterMetricFamily, Metric

#: Kinds of event that are counted, by the word in their type, with what each says of a task.
COUNTED: Mapping[str, str] = {
    "sent": "Tasks that a client sent and said so (task_send_sent_event).",
    "received": "Tasks that a worker has received.",
    "started": "Tasks that a worker has begun.",
    "succeeded": "Tasks that ended well.",
    "failed": "Tasks that ended with an exception.",
    "rejected": "Tasks that a worker rejected.",
    "revoked": "Tasks that were revoked.",
    "retried": "Tasks that failed and will be tried again.",
}

#: What takes the place of a label when no more can be told apart.
OTHER = "_OTHER"
#: Longest name that is kept whole, in characters.
_NAME_LIMIT = 200


class Labels(NamedTuple):
    """The labels of a task's series."""

    name: str
    hostname: str
    queue_name: str


class Histogram:
    """Observations in buckets, by task; ``bounds`` without the infinite one."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, bounds: Sequence[float], seconds: float) -> None:
        """Add an observation."""
        self.counts[bisect_left(bounds, seconds)] += 1
        self.sum += seconds


class _Series:
    """What is counted under one set of labels."""

    __slots__ = ("born", "counts", "failures", "runtime", "wait")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.failures: dict[str, tuple[float, int]] = {}
        self.runtime: Histogram | None = None
        self.wait: Histogram | None = None
        self.born = time.monotonic()


class TaskSeries:
    """Counters and histograms of tasks. Not locked: its owner is.

    A series that is born at 1 never shows in ``increase()``: so every new one stands at 0 for
    ``birth`` seconds, so that each scraper sees it rise.

    limit: most sets of labels, and twice as many of labels and exception; whatever comes beyond
    is counted under _OTHER.
    """

    def __init__(
        self,
        *,
        limit: int,
        birth: float,
        runtime_buckets: Sequence[float],
        wait_buckets: Sequence[float],
    ) -> None:
        self.overflowed = 0
        self._limit = limit
        self._birth = birth
        self._runtime_buckets = runtime_buckets
        self._wait_buckets = wait_buckets
        self._series: dict[Labels, _Series] = {}
        self._failures = 0

    def count(self, kind: str, labels: Labels, exception: str = "") -> None:
        """Count an event of a kind in COUNTED, a failure by its exception."""
        series = self._of(labels, is_worker=kind != "sent")
        if kind == "failed":
            if exception not in series.failures and self._failures >= 2 * self._limit:
                self.overflowed += 1
                exception = OTHER
            if exception not in series.failures:
                series.failures[exception] = time.monotonic(), 0
                self._failures += 1
            born, failures = series.failures[exception]
            series.failures[exception] = born, failures + 1
        else:
            series.counts[kind] = series.counts.get(kind, 0) + 1

    def ran(self, labels: Labels, seconds: float) -> None:
        """Observe how long a task took."""
        series = self._of(labels, is_worker=True)
        series.runtime = series.runtime or Histogram(self._runtime_buckets)
        series.runtime.observe(self._runtime_buckets, seconds)

    def waited(self, labels: Labels, seconds: float) -> None:
        """Observe how long a task stood in its queue."""
        series = self._of(labels, is_worker=True)
        series.wait = series.wait or Histogram(self._wait_buckets)
        series.wait.observe(self._wait_buckets, seconds)

    def forget(self, hostname: str) -> None:
        """Drop all series of a host."""
        for labels in [labels for labels in self._series if labels.hostname == hostname]:
            self._failures -= len(self._series[labels].failures) - 1
            del self._series[labels]

    def families(self) -> Iterator[Metric]:
        """Yield what was counted."""
        grown = time.monotonic() - self._birth
        for kind, documentation in COUNTED.items():
            name = f"celery_task_{kind}_total"
            if kind == "failed":
                yield self._failed(name, documentation, grown)
                continue
            family = CounterMetricFamily(name, documentation, labels=Labels._fields)
            for labels, series in self._series.items():
                if (count := series.counts.get(kind)) is not None:
                    family.add_metric(labels, count if series.born <= grown else 0)
            yield family
        runtime = Metric("celery_task_runtime", "Seconds that tasks took to succeed.", "histogram")
        wait = Metric(
            "celery_task_queue_wait_time",
            "Seconds from when a task was sent, or was due, until it was begun.",
            "histogram",
        )
        for labels, series in self._series.items():
            is_new = series.born > grown
            _add(runtime, labels, self._runtime_buckets, series.runtime, is_new=is_new)
            _add(wait, labels, self._wait_buckets, series.wait, is_new=is_new)
        yield from (runtime, wait)

    def _failed(self, name: str, documentation: str, grown: float) -> Metric:
        labels = (*Labels._fields[:2], "exception", Labels._fields[2])
        family = CounterMetricFamily(name, documentation, labels=labels)
        for (task, host, queue), series in self._series.items():
            for exception, (born, count) in series.failures.items():
                family.add_metric(
                    (task, host, exception, queue), count if max(born, series.born) <= grown else 0
                )
        return family

    def _of(self, labels: Labels, *, is_worker: bool) -> _Series:
        series = self._series.get(labels)
        if series is None:
            if len(self._series) >= self._limit:
                self.overflowed += 1
                labels = Labels(OTHER, OTHER, OTHER)
            series = self._series.setdefault(labels, _Series())
        if is_worker and "received" not in series.counts:
            # What a worker does with a task begins at 0 together. Clients only send.
            series.counts |= dict.fromkeys(COUNTED.keys() - {"sent", "failed"}, 0)
            series.failures.setdefault("", (0.0, 0))
        return series


def shortened(text: object) -> str:
    """Return a name at a length that may be kept; long ones stay apart by a checksum."""
    name = text if isinstance(text, str) else str(text)
    if not name.isascii():  # JSON can spell halves of characters that UTF-8 cannot
        name = name.encode("utf-8", "backslashreplace").decode()
    if len(name) <= _NAME_LIMIT:
        return name
    checksum = zlib.crc32(name.encode("utf-8", "surrogatepass"))
    return f"{name[: _NAME_LIMIT - 9]}…{checksum:08x}"


def _add(
    family: Metric,
    labels: Labels,
    bounds: Sequence[float],
    histogram: Histogram | None,
    *,
    is_new: bool,
) -> None:
    if histogram is None:
        return
    named = labels._asdict()
    total = 0
    texts = [*map(repr, bounds), "+Inf"]
    for text, count in zip(texts, histogram.counts, strict=True):
        total += 0 if is_new else count
        family.add_sample(f"{family.name}_bucket", {**named, "le": text}, total)
    family.add_sample(f"{family.name}_sum", named, 0.0 if is_new else histogram.sum)
    family.add_sample(f"{family.name}_count", named, total)
