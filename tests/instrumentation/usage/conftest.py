"""What the tests of resource use share."""

import gc
import time

import pytest

from gnomon import subjects
from gnomon.usage import sampler as sampling


@pytest.fixture(autouse=True)
def _no_collection():
    """No run of the garbage collector, which takes long in a process of many tests.

    It would be the CPU time, and the memory, of whatever is measured just then.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def burn():
    """Return a function that uses CPU seconds of its thread, and gives how many it were."""

    def use(seconds):
        began = time.thread_time()
        while (used := time.thread_time() - began) < seconds:
            sum(range(1000))
        return used

    return use


@pytest.fixture
def shown():
    """Return a function that gives a sample of this process's subjects, None without one."""

    def sample(name, /, **labels):
        for family in subjects.collect():
            for found in family.samples:
                if found.name == name and labels.items() <= found.labels.items():
                    return found.value
        return None

    return sample


@pytest.fixture
def sampler(monkeypatch):
    """A sampler of the test's own."""
    own = sampling.Sampler()
    monkeypatch.setattr(sampling, "_sampler", own)
    return own
