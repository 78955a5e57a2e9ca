"""Faults on request: each makes one thing go wrong, for all workers, until its time is over.

A fault under way is a file that holds when it ends. All processes look at the folder, so that it
does not matter which worker was asked.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

#: What each fault does, and so what should be seen of it.
FAULTS = {
    "slow": "API requests wait for 0.6 to 1.4 s before they are answered",
    "errors": "a third of the API requests fail",
    "leak": "every worker keeps two more MiB each second",
    "pool": "most connections of the database pool are taken and kept, after two minutes all",
    "cache-storm": "caches are emptied ten times a second",
    "backlog": "recordings are queued faster than the workers take them",
    "outage": "the exchange answers 503 to everything",
}

#: Longest time of a fault, in seconds: one that was forgotten ends all the same.
LONGEST_S = 3600.0

#: Seconds between two looks at the folder.
PAUSE_S = 0.2


def begin(folder: Path, name: str, seconds: float) -> None:
    """Start a fault, or give one under way another end. Raises KeyError for a name of none."""
    if name not in FAULTS:
        raise KeyError(name)
    path = folder / name
    beside = path.with_name(f".{name}.new")
    beside.write_text(str(time.time() + min(seconds, LONGEST_S)))
    beside.replace(path)


def end(folder: Path, name: str) -> None:
    """End a fault, if it is under way."""
    (folder / name).unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """End all faults: what an earlier run was asked for is no longer meant."""
    for name in FAULTS:
        end(folder, name)


def under_way(folder: Path) -> dict[str, float]:
    """Return the faults that are under way with the seconds that each has left."""
    found = {}
    now = time.time()
    for name in FAULTS:
        with suppress(OSError, ValueError):
            left = float((folder / name).read_text()) - now
            if left > 0:
                found[name] = left
            else:
                end(folder, name)
    return found


class Faults:
    """The faults as one process sees them.

    effects: coroutine functions by fault, each started when its fault begins and cancelled when it
    ends. A fault without one is looked up where it matters, by ``in``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.effects: Mapping[str, Callable[[], Awaitable[None]]] = {}
        self._running: dict[str, asyncio.Future[None]] = {}
        self._active: frozenset[str] = frozenset()

    def __contains__(self, name: object) -> bool:
        """Whether a fault is under way."""
        return name in self._active

    async def follow(self) -> None:
        """Start and end effects as the folder says, until cancelled; then end all of them."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(PAUSE_S)
        finally:
            self._active = frozenset()
            await self._settle()

    async def look(self) -> None:
        """Take up what the folder says now."""
        # Mostly the folder is empty, which one call tells.
        self._active = (
            frozenset(under_way(self._folder)) if any(self._folder.iterdir()) else frozenset()
        )
        await self._settle()

    async def _settle(self) -> None:
        for name, effect in self.effects.items():
            task = self._running.get(name)
            if name in self._active and (task is None or task.done()):
                self._running[name] = asyncio.ensure_future(effect())
            elif name not in self._active and task is not None:
                del self._running[name]
                task.cancel()
                await asyncio.wait([task])
