"""One thread that looks at the process for everything that is being measured."""

from __future__ import annotations

import os
import threading
from math import floor
from time import perf_counter
from typing import TYPE_CHECKING

from gnomon import guard
from gnomon.usage import readings
from gnomon.usage.gpu import Gpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from gnomon.usage.gpu import GpuReading
    from gnomon.usage.samples import Samples

#: Seconds after which the thread has noticed at the latest that nothing is measured any more.
LINGER = 1.0


class Sampler:
    """Looks at the process at multiples of each interval, as long as something is measured.

    All pieces of work with the same interval share their looks, so a hundred of them cost no
    more than one. The looks at a piece's beginning and end are its own.

    gpus: makes what asks the GPUs, given what to do with an answer.
    """

    def __init__(self, gpus: Callable[[Callable[[GpuReading], None]], Gpus] = Gpus) -> None:
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._groups: dict[float, set[Samples]] = {}
        self._due: dict[float, float] = {}
        self.gpus = gpus(self._tell)

    def add(self, work: Samples) -> None:
        """Look for this piece of work too."""
        with self._wake:
            group = self._groups.get(work.interval)
            if group is None:
                group = self._groups[work.interval] = set()
                self._due[work.interval] = _next(work.interval)
                self._wake.notify()
            group.add(work)
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="gnomon usage", daemon=True)
                thread.start()
                self._thread = thread
        work.gpu_expected = bool(self.gpus.ask())

    def remove(self, work: Samples) -> None:
        """Look for it no longer."""
        with self._wake:
            group = self._groups.get(work.interval)
            if group is not None:
                group.discard(work)
                if not group:
                    del self._groups[work.interval], self._due[work.interval]

    def _work(self) -> None:
        while True:
            with self._wake:
                while True:
                    if not self._groups:
                        self._thread = None
                        return
                    wait = min(self._due.values()) - perf_counter()
                    if wait <= 0:
                        break
                    self._wake.wait(min(wait, LINGER))
                now = perf_counter()
                ready: list[Samples] = []
                for interval, due in self._due.items():
                    if due <= now:
                        ready.extend(self._groups[interval])
                        self._due[interval] = _next(interval)
            try:
                reading = readings.read()
                for work in ready:
                    work.sampled(reading)
                self.gpus.ask()
            except Exception:
                guard.failed("usage sampler")

    def _tell(self, reading: GpuReading) -> None:
        with self._wake:
            everything = [work for group in self._groups.values() for work in group]
        for work in everything:
            work.gpu_sampled(reading)


def _next(interval: float) -> float:
    """Return the next multiple of an interval."""
    return (floor(perf_counter() / interval) + 1) * interval


_sampler = Sampler()


def sampler() -> Sampler:
    """Return this process's sampler."""
    return _sampler


def _forked() -> None:
    # The thread stayed in the parent, perhaps holding the lock.
    global _sampler  # noqa: PLW0603
    _sampler = Sampler()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
