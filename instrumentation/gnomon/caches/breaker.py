"""Whether something that failed may be asked again."""

import threading
from time import monotonic

#: Seconds for which it is left alone after its first failure, and at most.
FIRST = 1.0
MOST = 30.0


class Breaker:
    """Keeps callers from what failed: for a second, then for twice as long each time.

    When the time is over one caller may try, and the others are kept away until it has.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0
        self._is_tried = False

    def allows(self) -> bool:
        """Whether to ask now; the caller then has to say how it went."""
        if not self._failures:
            return True
        with self._lock:
            now = monotonic()
            if now < self._until:
                return False
            self._is_tried = True
            self._until = now + self._rest()  # if this caller never says how it went
            return True

    def resting(self) -> bool:
        """Whether it failed the last time."""
        return self._failures > 0

    def succeeded(self) -> None:
        """Let everybody ask again."""
        if self._failures:
            with self._lock:
                self._failures = 0
                self._is_tried = False

    def failed(self) -> None:
        """Leave it alone for a while."""
        with self._lock:
            now = monotonic()
            if self._failures and not self._is_tried and now < self._until:
                return  # whoever asked together with the first one has learned nothing new
            self._failures += 1
            self._is_tried = False
            self._until = now + self._rest()

    def _rest(self) -> float:
        return min(MOST, FIRST * 2.0 ** min(self._failures - 1, 10)) if self._failures else 0.0
