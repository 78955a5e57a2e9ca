"""When the items that are in a queue entered it, in the order in which they leave."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple, Protocol


class Entry(NamedTuple):
    """How an item entered a queue.

    entered: seconds on the monotonic clock. label: its priority. headers: its submitter's trace.
    exact: False for what was in the queue before it was watched, so that it waits longer than is
    known.
    """

    entered: float
    label: str
    headers: dict[str, str] | None
    exact: bool = True


class Order(Protocol):
    """The entries of what is in a queue; called while the queue's own lock is held."""

    def add(self, item: Any, entry: Entry) -> None:
        """Note an item that enters."""

    def take(self, item: Any) -> Entry | None:
        """Forget an item that leaves and return its entry, None if it is not known."""

    def oldest(self) -> Entry | None:
        """Return the entry of the item that entered first, None if there is none.

        The one method that is called without the queue's lock, at a scrape.
        """


class Fifo:
    """First in, first out."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()

    def add(self, _item: Any, entry: Entry) -> None:
        """See ``Order``."""
        self._entries.append(entry)

    def take(self, _item: Any) -> Entry | None:
        """See ``Order``."""
        return self._entries.popleft() if self._entries else None

    def oldest(self) -> Entry | None:
        """See ``Order``."""
        try:
            return self._entries[0]
        except IndexError:
            return None


class Lifo:
    """Last in, first out."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, _item: Any, entry: Entry) -> None:
        """See ``Order``."""
        self._entries.append(entry)

    def take(self, _item: Any) -> Entry | None:
        """See ``Order``."""
        return self._entries.pop() if self._entries else None

    def oldest(self) -> Entry | None:
        """See ``Order``."""
        try:
            return self._entries[0]
        except IndexError:
            return None


class AnyOrder:
    """Any order, a heap's for example: items are known by their identity.

    Of one object that is in the queue several times the first entry leaves first.
    """

    def __init__(self) -> None:
        self._number = 0
        # By number, so that the first key is the oldest entry's.
        self._entries: dict[int, Entry] = {}
        self._numbers: dict[int, int | deque[int]] = {}

    def add(self, item: Any, entry: Entry) -> None:
        """See ``Order``."""
        self._number += 1
        self._entries[self._number] = entry
        before = self._numbers.get(id(item))
        if before is None:
            self._numbers[id(item)] = self._number
        elif isinstance(before, int):
            self._numbers[id(item)] = deque((before, self._number))
        else:
            before.append(self._number)

    def take(self, item: Any) -> Entry | None:
        """See ``Order``."""
        found = self._numbers.get(id(item))
        if found is None:
            return None
        if isinstance(found, int):
            del self._numbers[id(item)]
            return self._entries.pop(found, None)
        number = found.popleft()
        if not found:
            del self._numbers[id(item)]
        return self._entries.pop(number, None)

    def oldest(self) -> Entry | None:
        """See ``Order``."""
        for _ in range(10):
            try:
                return next(iter(self._entries.values()), None)
            except RuntimeError:  # it changed between two steps of this line
                continue
        return None
