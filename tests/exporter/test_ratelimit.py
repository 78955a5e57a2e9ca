"""The token bucket."""

import pytest

from gnomon_exporter import ratelimit
from gnomon_exporter.ratelimit import Rate, RateLimiter


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        """Monotonic seconds."""

        now = 1000.0

        def monotonic(self):
            """Give the time of the test."""
            return self.now

    fake = Clock()
    monkeypatch.setattr(ratelimit, "time", fake)
    return fake


def test_without_a_rate_everything_passes():
    """Nothing is counted."""
    limiter = RateLimiter(None)
    assert [limiter.wait() for _ in range(1000)] == [0.0] * 1000


def test_a_burst_passes_and_then_one_with_each_interval(clock):
    """The bucket is full at first, refills steadily and never overflows."""
    limiter = RateLimiter(Rate(2.0, 3))
    assert [limiter.wait() for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]
    clock.now += 1.5
    assert limiter.wait() == pytest.approx(0.5)
    clock.now += 0.5
    assert [limiter.wait() for _ in range(2)] == [0.0, 2.0]
    clock.now += 3600
    assert [limiter.wait() for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


@pytest.mark.usefixtures("clock")
def test_a_new_rate_counts_at_once_and_the_same_one_goes_on():
    """Reading the same configuration again does not hand out a new burst."""
    limiter = RateLimiter(Rate(10.0, 1))
    assert limiter.wait() == 0.0
    limiter.replace(Rate(10.0, 1))
    assert limiter.wait() == 10.0
    limiter.replace(Rate(1.0, 2))
    assert [limiter.wait() for _ in range(3)] == [0.0, 0.0, 1.0]
    limiter.replace(None)
    assert limiter.wait() == 0.0
