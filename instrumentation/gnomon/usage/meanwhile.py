"""How many pieces of work were measured at the same time in this process."""

# ruff: noqa: SLF001  # an overlap writes into those above it: they are of one class

from __future__ import annotations

import os
import threading
from time import perf_counter

_lock = threading.RLock()
_active = 0
_started = 0
_area = 0.0  # the sum over time of how many were active
_since = perf_counter()


class Overlap:
    """The others that were measured during one piece of work.

    Pieces that this one lies in, and those that lie in it, are not others.
    """

    def __init__(self) -> None:
        self._above: Overlap | None = None
        self._depth = 0
        self._running = False
        self._began = 0.0
        self._others = 0
        self._area = 0.0
        self._inside = 0
        self._inside_area = 0.0
        self._result: tuple[int, float] = (0, 0.0)

    def begin(self, above: Overlap | None) -> None:
        """Begin, inside of another one if ``above`` is given."""
        global _active, _started  # noqa: PLW0603  # the book of the process
        with _lock:
            now = _advance()
            self._above = above
            self._depth = above._depth + 1 if above is not None else 0
            self._began = now
            self._area = _area
            self._others = _active - self._depth - _started
            _active += 1
            _started += 1
            self._others -= 1  # itself will be among those started
            self._running = True
            while above is not None:
                above._inside += 1
                above = above._above

    def end(self) -> None:
        """End."""
        global _active  # noqa: PLW0603
        with _lock:
            if not self._running:
                return
            now = _advance()
            self._result = self._count(now)
            self._running = False
            _active -= 1
            above, self._above = self._above, None
            while above is not None:
                above._inside_area += now - self._began
                above = above._above

    def others(self) -> tuple[int, float]:
        """Return how many others there were, and how many of them at a time on average."""
        with _lock:
            return self._count(_advance()) if self._running else self._result

    def _count(self, now: float) -> tuple[int, float]:
        seconds = now - self._began
        area = _area - self._area - seconds * (1 + self._depth) - self._inside_area
        count = max(0, self._others + _started - self._inside)
        if not count or seconds <= 0:
            return count, 0.0
        return count, max(0.0, area / seconds)


def _advance() -> float:
    """Bring the sum up to now. The lock is held."""
    global _area, _since  # noqa: PLW0603
    now = perf_counter()
    _area += _active * (now - _since)
    _since = now
    return now


def _forked() -> None:
    # Others stayed in the parent, perhaps holding the lock.
    global _lock, _active  # noqa: PLW0603
    _lock = threading.RLock()
    _active = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
