"""Families as bytes between the workers of one run: JSON, for who reads it trusts no pickle."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from prometheus_client import Metric
from prometheus_client.core import Exemplar
from prometheus_client.samples import Sample, Timestamp


class Page(NamedTuple):
    """What one worker has told, or several of the dead together.

    removed: series that the application has removed, as they were then.
    """

    families: list[Metric]
    removed: list[Metric]


def dump(families: Iterable[Metric], removed: Iterable[Metric] = ()) -> bytes:
    """Return a page as bytes, native histograms and timestamps of samples left out."""
    one, other = (",".join(map(_dumped, part)) for part in (families, removed))
    return f"[[{one}],[{other}]]".encode()


def _dumped(family: Metric) -> str:
    # A few at a time: nothing else of the process runs while json does.
    samples = ",".join(
        _json(
            [
                (sample.name, sample.labels, sample.value, _exemplar(sample.exemplar))
                for sample in family.samples[at : at + _PART]
            ]
        )[1:-1]
        for at in range(0, len(family.samples), _PART)
    )
    head = _json((family.name, family.documentation, family.type, family.unit))[1:-1]
    return f"[{head},[{samples}]]"


#: Most samples that are written at a time: well under a millisecond's work.
_PART = 200

_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _exemplar(exemplar: Exemplar | None) -> tuple[dict[str, str], float, float] | None:
    if exemplar is None:
        return None
    stamp = exemplar.timestamp
    return (
        exemplar.labels,
        exemplar.value,
        float(stamp) if isinstance(stamp, Timestamp) else stamp or 0.0,
    )


def load(data: bytes) -> Page:
    """Return the page that was dumped. Raises ValueError for bytes that never were one."""
    try:
        families, removed = json.loads(data)
        return Page(
            [_loaded(*family) for family in families], [_loaded(*family) for family in removed]
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a worker's snapshot: {error}") from None


def _loaded(name: str, documentation: str, kind: str, unit: str, samples: Any) -> Metric:
    family = Metric(name, documentation, kind, unit)
    for sample, labels, value, exemplar in samples:
        family.samples.append(
            Sample(sample, labels, value, None, Exemplar(*exemplar) if exemplar else None)
        )
    return family
