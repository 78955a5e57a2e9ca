"""Families as bytes between the workers of one run: JSON, for who reads it trusts no pickle."""

import json
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import Exemplar
from prometheus_client.samples import Sample, Timestamp


def dump(families: Iterable[Metric]) -> bytes:
    """Return families as bytes, native histograms and timestamps of samples left out."""
    return json.dumps(
        [
            (
                family.name,
                family.documentation,
                family.type,
                family.unit,
                [
                    (sample.name, sample.labels, sample.value, _exemplar(sample.exemplar))
                    for sample in family.samples
                ],
            )
            for family in families
        ],
        separators=(",", ":"),
        check_circular=False,
    ).encode()


def _exemplar(exemplar: Exemplar | None) -> tuple[dict[str, str], float, float] | None:
    if exemplar is None:
        return None
    stamp = exemplar.timestamp
    return (
        exemplar.labels,
        exemplar.value,
        float(stamp) if isinstance(stamp, Timestamp) else stamp or 0.0,
    )


def load(data: bytes) -> list[Metric]:
    """Return the families that were dumped. Raises ValueError for bytes that never were."""
    families = []
    try:
        for name, documentation, kind, unit, samples in json.loads(data):
            family = Metric(name, documentation, kind, unit)
            for sample, labels, value, exemplar in samples:
                family.samples.append(
                    Sample(sample, labels, value, None, Exemplar(*exemplar) if exemplar else None)
                )
            families.append(family)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a worker's snapshot: {error}") from None
    return families
