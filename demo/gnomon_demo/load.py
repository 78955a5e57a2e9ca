"""The load: visitors of the desk, more by day than by night. A locust file."""

import math
import random
import time

from locust import HttpUser, LoadTestShape, between, task

from gnomon_demo.exchange import SYMBOLS
from gnomon_demo.settings import settings

#: Visitors at the quietest and at the busiest time of a day.
FEWEST, MOST = 4, 10


class Day(LoadTestShape):
    """A day's curve: few at four in the morning, most at four in the afternoon, by local time.

    GNOMON_DEMO_DAY_SECONDS makes a day shorter than 86400 s.
    """

    _length_s = settings().day_s

    def tick(self) -> tuple[int, float]:
        """Return how many visitors there are now, and how many may come per second."""
        now = time.localtime()
        seconds = 3600 * now.tm_hour + 60 * now.tm_min + now.tm_sec
        if self._length_s != 86400:
            seconds = int(time.time() % self._length_s * 86400 / self._length_s)
        part = 0.5 - 0.5 * math.cos(2 * math.pi * (seconds / 86400 - 4 / 24))
        return round(FEWEST + (MOST - FEWEST) * part), 1.0


class Visitor(HttpUser):
    """Somebody who looks at prices."""

    wait_time = between(0.5, 1.5)

    @task
    def look_at_a_price(self) -> None:
        """Ask for a symbol; some are asked for more often than others."""
        symbol = random.choices(list(SYMBOLS), range(len(SYMBOLS), 0, -1))[0]
        self.client.get(f"/api/market/{symbol}", name="/api/market/{symbol}")
