"""A token bucket: so many requests at once, and one more with every interval."""

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests are answered.

    interval: seconds until one more is. burst: how many are after a long pause, at least 1.
    """

    interval: float
    burst: int


class RateLimiter:
    """Counts requests against a rate; without one it lets everything pass."""

    def __init__(self, rate: Rate | None) -> None:
        self._lock = threading.Lock()
        self._rate: Rate | None = None
        self._tokens = 0.0
        self._at = 0.0
        self.replace(rate)

    def replace(self, rate: Rate | None) -> None:
        """Take another rate from now on; the same one goes on counting."""
        with self._lock:
            if rate != self._rate:
                self._rate = rate
                self._tokens = rate.burst if rate else 0.0
                self._at = time.monotonic()

    def wait(self) -> float:
        """Take a place for one request: 0.0 when there is one, else the seconds until there is."""
        if self._rate is None:
            return 0.0
        with self._lock:
            rate = self._rate
            now = time.monotonic()
            refilled = self._tokens + (now - self._at) / rate.interval
            self._tokens = min(refilled, float(rate.burst))
            self._at = now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return 0.0
            return (1.0 - self._tokens) * rate.interval
