"""Label values for priorities and workers: few, whatever the application calls them."""

from __future__ import annotations

import asyncio
import re
import threading
from enum import Enum
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

#: The label of what is beyond the limit.
OTHER = "_OTHER"

#: Most priorities of one queue that are told apart, and most workers.
PRIORITIES = 32
WORKERS = 64

#: Names that Python gives to tasks and threads itself: numbers that never end.
_NUMBERED = re.compile(r"(?:Task|Thread|Dummy|ThreadPoolExecutor|asyncio)[-_]\d+(?:\b.*)?")


class Few:
    """The first so many different values; all others are one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def bounded(self, value: str) -> str:
        """Return the value, or what stands for all that are beyond the limit."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value


class Priorities:
    """Tells an item's priority as a label.

    tell: the application's function, None for none: then all items have the label "".
    """

    def __init__(self, tell: Callable[[Any], object] | None) -> None:
        self._tell = tell
        self._few = Few(PRIORITIES)

    def label(self, item: Any) -> str:
        """Return the label. What the application's function raises comes through."""
        if self._tell is None:
            return ""
        found = self._tell(item)
        return self._few.bounded(found.name.lower() if isinstance(found, Enum) else str(found))

    def __bool__(self) -> bool:
        """Whether priorities are told apart at all."""
        return self._tell is not None


class Workers:
    """Names whoever works: by a name that the program gave, or else by the place it takes."""

    def __init__(self) -> None:
        self._few = Few(WORKERS)
        self._lock = threading.Lock()
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def name(self, given: str | None = None) -> str:
        """Return the label of the task or thread that calls. given: what it is called at all."""
        if given is not None:
            return self._few.bounded(given)
        who = _current()
        known = self._names.get(who)
        if known is not None:
            return known
        own = who.get_name() if isinstance(who, asyncio.Task) else who.name
        with self._lock:
            if _NUMBERED.fullmatch(own):
                taken = set(self._names.values())
                own = next(text for text in map(str, range(len(taken) + 1)) if text not in taken)
            self._names[who] = found = self._few.bounded(own)
        return found


def _current() -> Any:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task if task is not None else threading.current_thread()
