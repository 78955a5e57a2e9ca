"""The memory guard."""

import functools
import gc
import subprocess
import sys
import threading

import cachetools
import pytest

import gnomon
from gnomon import guard, relief, subjects


@pytest.fixture
def shown():
    """Return a function that gives a sample's value, None if it is not on the page."""

    def value(name, **labels):
        for family in subjects.collect():
            for sample in family.samples:
                if sample.name == f"gnomon_memory_guard_{name}" and sample.labels == labels:
                    return sample.value
        return None

    return value


@pytest.fixture
def since(shown):
    """Return a function that gives how much a counter has grown since the test began."""
    before = {
        (name, action): shown(name, action=action) or 0
        for name in ("runs_total", "freed_bytes_total")
        for action in ("gc", "caches")
    }
    return lambda name, action: (shown(name, action=action) or 0) - before[name, action]


class Scripted(relief.MemoryGuard):
    """A guard that is asked to look, and is told what is in use."""

    def __init__(self, clear=(), **options):
        self.uses = []
        super().__init__(0.8, list(clear), read=lambda: self.uses.pop(0), **options)

    def see(self, *uses):
        """Look at the first of these; the others are what it finds after it has acted."""
        self.uses = list(uses)
        self.look()
        assert self.uses == []


def test_garbage_first_then_caches_and_only_once(since):
    """It acts when the limit is passed, and again only after it was below by the margin."""
    cleared = []
    watching = Scripted([lambda: cleared.append(1)])
    watching.see(0.79)
    assert (since("runs_total", "gc"), since("runs_total", "caches")) == (0, 0)
    watching.see(0.8, 0.5)  # garbage was enough
    assert (since("runs_total", "gc"), since("runs_total", "caches")) == (1, 0)
    watching.see(0.6)
    watching.see(0.9, 0.85, 0.82)
    assert (since("runs_total", "gc"), since("runs_total", "caches")) == (2, 1)
    assert cleared == [1]
    for use in (0.95, 0.78, 0.95, 0.76, 0.99):  # never below by the margin
        watching.see(use)
    assert cleared == [1]
    watching.see(0.74)
    watching.see(0.9, 0.9, 0.7)
    assert cleared == [1, 1]
    assert since("runs_total", "gc") == 3


def test_it_tries_again_after_a_while(since, monkeypatch):
    """While memory stays short, once in so many seconds."""
    now = [0.0]
    monkeypatch.setattr(relief, "monotonic", lambda: now[0])
    watching = Scripted(again=60)
    watching.see(0.9, 0.9)
    now[0] = 59
    watching.see(0.9)
    now[0] = 60
    watching.see(0.9, 0.9)
    assert since("runs_total", "gc") == 2


def test_where_nothing_tells_nothing_happens(since):
    """Neither is a used share shown."""
    watching = Scripted()
    watching.see(None)
    watching.see(0.9, None)
    assert since("runs_total", "gc") == 1
    assert watching.used is None


def test_what_it_frees_is_measured(since):
    """100 MiB in a cache, and 100 MiB that only the collector of garbage can free."""
    cache = {number: bytes([number]) * (1 << 20) for number in range(100)}
    watching = Scripted([cache.clear])
    gc.collect()
    relief._trim()  # what earlier tests have left is none of this
    enabled = gc.isenabled()
    gc.disable()
    try:
        garbage = [b"x" * (100 << 20)]
        garbage.append(garbage)
        del garbage
        watching.see(0.9, 0.9, 0.5)
    finally:
        if enabled:
            gc.enable()
    assert abs(since("freed_bytes_total", "gc") / (1 << 20) - 100) < 5
    assert abs(since("freed_bytes_total", "caches") / (1 << 20) - 100) < 5


def test_everything_that_can_be_emptied(until):
    """Functions of ours and of functools, caches, and functions to be called; in its thread."""

    @gnomon.cached("relief")
    def ours(x):
        return x

    theirs = functools.lru_cache(lambda x: x)
    cache = cachetools.LRUCache(4)
    called = []
    for fill in (ours, theirs):
        fill(1)
    cache["a"] = 1
    caches = (ours, theirs, cache, lambda: called.append(threading.current_thread().name))
    with gnomon.memory_guard(1e-9, caches=caches, interval=600, margin=0):
        until(lambda: called, 30)
    assert ours.cache_info().currsize == theirs.cache_info().currsize == len(cache) == 0
    assert called == ["gnomon memory guard"]


def test_one_that_fails_keeps_nobody_from_the_others():
    """It is counted, and the rest is emptied."""
    cleared = []

    def broken():
        raise OSError("no")

    Scripted([broken, lambda: cleared.append(1)]).see(0.9, 0.9, 0.5)
    assert cleared == [1]
    (faults,) = guard.families()
    assert any(s.labels["where"] == "memory guard's caches" for s in faults.samples)


def guards():
    """Count the guards' threads."""
    return [thread.name for thread in threading.enumerate()].count("gnomon memory guard")


def test_it_runs_only_when_asked_and_ends(shown):
    """Its thread, and what it shows, are gone after ``stop``; a second guard ends the first."""
    assert guards() == 0
    assert shown("limit_ratio") is None
    first = gnomon.memory_guard(0.999999, interval=600)
    second = gnomon.memory_guard(0.9999, interval=600)
    assert guards() == 1
    assert shown("limit_ratio") == 0.9999
    first.stop()
    assert guards() == 1
    second.stop()
    second.stop()
    assert guards() == 0
    assert shown("limit_ratio") is None
    assert shown("used_ratio") is None


def test_it_looks_again_and_again(shown, until):
    """What it sees is shown, and what fails while it looks does not end it."""
    with gnomon.memory_guard(0.999999, interval=0.01) as watching:
        until(lambda: shown("used_ratio") is not None, 30)
        answers = iter([OSError("gone"), 0.25])

        def read():
            answer = next(answers, 0.5)
            if isinstance(answer, OSError):
                raise answer
            return answer

        watching._read = read
        until(lambda: shown("used_ratio") == 0.5, 30)


def test_a_child_of_fork_has_a_guard_too():
    """As each worker of a server that forks."""
    code = """
import os, threading
import gnomon
watching = gnomon.memory_guard(0.999999, interval=600)
pid = os.fork()
if pid == 0:
    names = [thread.name for thread in threading.enumerate()]
    watching.stop()
    ok = names.count("gnomon memory guard") == 1 and threading.active_count() == 1
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"limit": 0}, ValueError),
        ({"limit": 80}, ValueError),
        ({"margin": 0.9}, ValueError),
        ({"interval": 0}, ValueError),
        ({"caches": [3]}, TypeError),
        ({"caches": [dict]}, TypeError),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(arguments, error):
    """And no guard begins."""
    with pytest.raises(error, match=next(iter(arguments))):
        gnomon.memory_guard(**arguments)
    assert guards() == 0
