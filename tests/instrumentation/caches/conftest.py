"""What the tests of caches share: their figures by name and tier, and a clock."""

import itertools

import pytest

from gnomon import subjects
from gnomon.caches import entries

_names = itertools.count()


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"cache-{next(_names)}"


def samples(name):
    """Give all samples of one cache: name without prefix, tier, value."""
    return {
        (sample.name.removeprefix("gnomon_cache_"), sample.labels.get("tier", "")): sample.value
        for family in subjects.collect()
        for sample in family.samples
        if sample.labels.get("cache") == name and "le" not in sample.labels
    }


@pytest.fixture
def figures(name):
    """Return a function that gives the cache's figures of a tier; absent ones are left out."""

    def of(tier="l1"):
        found = samples(name)
        words = ("hits", "misses", "evictions", "expirations", "errors")
        return {w: found[f"{w}_total", tier] for w in words if (f"{w}_total", tier) in found}

    return of


@pytest.fixture
def figure(name):
    """Return a function that gives one of the cache's samples, None if it is absent."""
    return lambda sample, tier="": samples(name).get((sample, tier))


@pytest.fixture
def clock(monkeypatch):
    """The first tier's clock, which stands still but for ``advance``."""

    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(entries, "monotonic", clock)
    return clock
