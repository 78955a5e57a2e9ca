"""One page out of several workers' pages."""

from collections.abc import Callable, Iterable, Mapping
from math import floor, isfinite
from operator import add
from types import MappingProxyType

from prometheus_client import Metric
from prometheus_client.core import Exemplar
from prometheus_client.samples import Sample

#: Types whose samples only grow, so that they outlive their worker.
CUMULATIVE = frozenset({"counter", "histogram", "summary"})

#: Gauges of which the largest says most, by the end of their names.
_LARGEST = (
    "_timestamp_seconds",
    "_age_seconds",
    "_info",
    "_ratio",
    "_max_fds",
    "_limit",
    "_max",
    # Each worker sees the same database.
    "_missing_index",
    "_unused_indexes",
)

#: Gauges that are added up in spite of their names: each worker has a pool of its own.
_ADDED = frozenset({"db_client_connection_max"})

_PART = 2.0**20

_NO_MODES: Mapping[str, str] = MappingProxyType({})

#: What tells samples apart: name and labels.
Key = tuple[str, frozenset[tuple[str, str]]]


def key(sample: Sample) -> Key:
    """Return what tells a sample apart from others."""
    return sample.name, frozenset(sample.labels.items())


def merge(
    pages: Iterable[Iterable[Metric]],
    modes: Mapping[str, str] = _NO_MODES,
    *,
    larger: bool = False,
) -> list[Metric]:
    """Add up the families of several workers.

    Counters, histograms and summaries are summed; gauges too, except where a sum has no meaning:
    the latest of timestamps, the earliest start, the largest of ages, limits and shares. What tells
    about the program is told once. Of exemplars the latest stays.

    modes: for gauges by name, ``sum``, ``min``, ``max`` or ``mostrecent``, which takes the first
    page's, instead of what the name says. larger: take the larger of two values of any kind, for
    two pages of one process.
    """
    merged: dict[str, Metric] = {}
    known: dict[str, dict[Key, int]] = {}
    late: set[str] = set()
    for page in pages:
        for family in page:
            into = merged.get(family.name)
            if into is None:
                into = merged[family.name] = Metric(
                    family.name, family.documentation, family.type, family.unit
                )
                known[family.name] = {}
            places, samples = known[family.name], into.samples
            first = not samples
            always = _MODES.get("max" if larger else modes.get(family.name, ""))
            for sample in family.samples:
                which = key(sample)
                place = places.get(which)
                if place is None:
                    places[which] = len(samples)
                    samples.append(sample)
                    if not first:
                        late.add(family.name)
                    continue
                rule = always or _rule(into.type, sample.name, sample.labels)
                one = samples[place]
                exemplar = one.exemplar
                if sample.exemplar is not None:
                    exemplar = _latest(exemplar, sample.exemplar)
                value = rule(one.value, sample.value)
                samples[place] = Sample(one.name, one.labels, value, None, exemplar)
    return [_in_order(family) if family.name in late else family for family in merged.values()]


def cumulative(page: Iterable[Metric]) -> list[Metric]:
    """Return what of a page outlives its worker: what was counted, and when something happened."""
    return [
        family
        for family in page
        if family.type in CUMULATIVE
        or (family.type == "gauge" and family.name.endswith("_timestamp_seconds"))
    ]


def exact(page: Iterable[Metric]) -> list[Metric]:
    """Return a page whose counts add up to the same in any order.

    Fractions are cut to a 2**20th, about a millionth. Otherwise the sum would change with who adds
    up, by its last bit, and Prometheus takes the smallest fall for a counter's new beginning.
    """
    families = []
    for family in page:
        samples = family.samples
        if family.type in CUMULATIVE and any(sample.value % 1 for sample in samples):
            cut = Metric(family.name, family.documentation, family.type, family.unit)
            cut.samples = [_cut(sample) if sample.value % 1 else sample for sample in samples]
            families.append(cut)
        else:
            families.append(family)
    return families


def _cut(sample: Sample) -> Sample:
    if is_created(sample) or not isfinite(sample.value):
        return sample
    return sample._replace(value=floor(sample.value * _PART) / _PART)


def is_created(sample: Sample) -> bool:
    """Whether a sample is a time at which another began, not a count."""
    return sample.name.endswith("_created")


def values(page: Iterable[Metric]) -> dict[Key, float]:
    """Return what a page counts, sample by sample."""
    return {
        key(sample): sample.value
        for family in cumulative(page)
        for sample in family.samples
        if sample.value > 0 and not is_created(sample)
    }


def subtract(page: Iterable[Metric], counted: Mapping[Key, float]) -> list[Metric]:
    """Return a page without what had been counted before the worker was.

    A value below that has begun anew and stays as it is.
    """
    rest = []
    for family in page:
        if family.type not in CUMULATIVE:
            rest.append(family)
            continue
        own = Metric(family.name, family.documentation, family.type, family.unit)
        for sample in family.samples:
            before = counted.get(key(sample), 0.0)
            if 0 < before <= sample.value:
                sample = sample._replace(value=sample.value - before)  # noqa: PLW2901
            own.samples.append(sample)
        rest.append(own)
    return rest


def _rule(kind: str, name: str, labels: dict[str, str]) -> Callable[[float, float], float]:
    if kind in CUMULATIVE:
        if name.endswith("_created"):
            return min
        return max if kind == "summary" and "quantile" in labels else add
    if kind in ("info", "stateset"):
        return max
    if name.endswith("_start_time_seconds"):
        return min
    if name.endswith(_LARGEST) and name not in _ADDED:
        return max
    return add


def _first(one: float, _other: float) -> float:
    return one


_MODES: dict[str, Callable[[float, float], float]] = {
    "sum": add,
    "min": min,
    "max": max,
    "mostrecent": _first,
}


def _latest(one: Exemplar | None, other: Exemplar) -> Exemplar:
    if one is None:
        return other
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
