"""One page out of several workers' pages."""

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.core import Exemplar
from prometheus_client.samples import Sample

#: Types whose samples only grow, so that they outlive their worker.
CUMULATIVE = frozenset({"counter", "histogram", "summary"})

_Key = tuple[str, tuple[tuple[str, str], ...]]


def merge(pages: Iterable[Iterable[Metric]]) -> list[Metric]:
    """Add up the families of several workers.

    Counters, histograms and summaries are summed; gauges too, except where a sum has no meaning:
    the latest of timestamps, the earliest start, the largest of limits and shares. What tells
    about the program is told once. Of exemplars the latest stays.
    """
    merged: dict[str, Metric] = {}
    known: dict[str, dict[_Key, int]] = {}
    for page in pages:
        for family in page:
            into = merged.get(family.name)
            if into is None:
                into = merged[family.name] = Metric(
                    family.name, family.documentation, family.type, family.unit
                )
                known[family.name] = {}
            places = known[family.name]
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                place = places.get(key)
                if place is None:
                    places[key] = len(into.samples)
                    into.samples.append(sample)
                else:
                    into.samples[place] = _joined(into, into.samples[place], sample)
    return [_in_order(family) for family in merged.values()]


def cumulative(page: Iterable[Metric]) -> list[Metric]:
    """Return what of a page outlives its worker."""
    return [family for family in page if family.type in CUMULATIVE]


def _joined(family: Metric, one: Sample, other: Sample) -> Sample:
    value = _rule(family.type, one.name, one.labels)(one.value, other.value)
    return Sample(one.name, one.labels, value, None, _latest(one.exemplar, other.exemplar))


def _rule(kind: str, name: str, labels: dict[str, str]) -> Callable[[float, float], float]:
    if kind in CUMULATIVE:
        if name.endswith("_created"):
            return min
        return max if "quantile" in labels else _sum
    if kind in ("info", "stateset"):
        return max
    if name.endswith("_start_time_seconds"):
        return min
    if name.endswith(("_timestamp_seconds", "_info", "_ratio", "_max_fds", "_limit", "_max")):
        return max
    return _sum


def _sum(one: float, other: float) -> float:
    return one + other


def _latest(one: Exemplar | None, other: Exemplar | None) -> Exemplar | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda exemplar: float(exemplar.timestamp or 0))


def _in_order(family: Metric) -> Metric:
    """Put a histogram's series together: one worker may have some that another has not."""
    if family.type != "histogram":
        return family
    groups: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in family.samples:
        labels = tuple(sorted(item for item in sample.labels.items() if item[0] != "le"))
        groups.setdefault(labels, []).append(sample)
    family.samples = [sample for group in groups.values() for sample in group]
    return family
