"""Series that the application has removed: noticed, and kept until no worker has them any more.

A removal is meant for all workers, but each has its own series, and the sum may not fall while
others show it: a fall is read as a counter's new beginning. So the value that a removed series had
goes on counting until no living worker has the series; then it leaves the totals, and what the
dead had counted in it leaves with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Metric

from gnomon.workers.merging import CUMULATIVE, Key, key, merge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from prometheus_client.samples import Sample

#: Most samples of one family's removed series that are remembered while no page is asked for.
CAP = 10_000


class Removals:
    """Notices what is missing from one worker's page that was on the one before."""

    def __init__(self) -> None:
        self._before: dict[str, Metric] = {}

    def note(self, families: Iterable[Metric]) -> list[Metric]:
        """Return what has been removed since the last call, as it was then."""
        now = {family.name: family for family in families if family.type in CUMULATIVE}
        removed = []
        for name, before in self._before.items():
            samples = _missing(before.samples, now[name].samples if name in now else [])
            if samples:
                family = Metric(before.name, before.documentation, before.type, before.unit)
                family.samples = samples
                removed.append(family)
        self._before = now
        return removed


def _missing(before: list[Sample], now: list[Sample]) -> list[Sample]:
    # New series come last: where the last is still the same and none is missing, nothing is.
    if not before or (
        len(before) == len(now)
        and before[-1].labels == now[-1].labels
        and before[-1].name == now[-1].name
    ):
        return []
    there = {key(sample) for sample in now}
    return [sample for sample in before if key(sample) not in there]


def keys(pages: Iterable[Iterable[Metric]]) -> set[Key]:
    """Return which series, sample by sample, are on pages."""
    return {
        key(sample)
        for page in pages
        for family in page
        if family.type in CUMULATIVE
        for sample in family.samples
    }


def without(page: list[Metric], gone: AbstractSet[Key]) -> list[Metric]:
    """Return a page that lacks these samples; the same page if it has none of them."""
    kept = []
    changed = False
    for family in page:
        samples = [sample for sample in family.samples if key(sample) not in gone]
        if len(samples) == len(family.samples):
            kept.append(family)
            continue
        changed = True
        if samples:
            rest = Metric(family.name, family.documentation, family.type, family.unit)
            rest.samples = samples
            kept.append(rest)
    return kept if changed else page


def remembered(removed: Iterable[Iterable[Metric]]) -> list[Metric]:
    """Return removed series as one page, the latest ones of each family if there are too many."""
    page = merge(removed)
    for family in page:
        family.samples = family.samples[-CAP:]
    return page
