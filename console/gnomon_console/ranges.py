"""The time on show: where it begins and ends, and how far apart its points lie."""

import re
import time
from dataclasses import dataclass

#: Seconds in each unit that Prometheus and Grafana write times in.
_UNITS = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "M": 2592000,
    "y": 31536000,
}

_DURATION = re.compile(r"(\d+)(ms|[smhdwMy])")
_RELATIVE = re.compile(r"now(?:-([0-9]{1,9})(ms|[smhdwMy]))?")

#: Points of a graph at most, unless its panel says otherwise: no screen shows more of them beside
#: each other in half its width.
POINTS = 240

#: What is between two points: numbers that people count in.
_STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

#: The longest time that can be asked for: what Prometheus keeps.
LONGEST_S = 400 * 86400.0


def seconds(text: str) -> float:
    """Return a duration as Prometheus writes it ("5m", "1h30m"). Raise ValueError for another."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration: 30s, 5m, 1h, 7d")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def words(duration_s: float) -> str:
    """Return a duration as Prometheus reads it: whole seconds, at least one."""
    return f"{max(1, round(duration_s))}s"


@dataclass(frozen=True, slots=True)
class Range:
    """From when to when, in Unix seconds, and the seconds between two points.

    Both ends lie on whole steps: who looks at the same time asks the same question.
    """

    start: float
    end: float
    step: float

    @property
    def duration(self) -> float:
        """Seconds from the beginning to the end."""
        return self.end - self.start


def moment(text: str, now: float) -> float:
    """Return what ``now``, ``now-1h`` or milliseconds of Unix time say, in Unix seconds.

    Raise ValueError for anything else.
    """
    found = _RELATIVE.fullmatch(text)
    if found:
        return now - (int(found[1]) * _UNITS[found[2]] if found[1] else 0)
    if text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text) / 1000
    raise ValueError(f"{text!r} is no time: now, now-1h, or milliseconds since 1970")


def between(
    since: str, until: str, *, least: float = 0, points: int = POINTS, now: float | None = None
) -> Range:
    """Return the range of two times.

    least: the seconds that lie between two points at least. points: how many there are at most.
    Raise ValueError for what is no time, an end that is not after the beginning, or a time longer
    than LONGEST_S.
    """
    now = time.time() if now is None else now
    start, end = moment(since, now), moment(until, now)
    if not 0 < end - start <= LONGEST_S:
        raise ValueError(f"from {since} to {until}: the end has to be after the beginning")
    wanted = max((end - start) / points, least)
    step = next((step for step in _STEPS if step >= wanted), _STEPS[-1])
    return Range(start // step * step, end // step * step, float(step))


def last(text: str, at: Range) -> Range:
    """Return the time of this length that ends as ``at`` does: a panel's own ``timeFrom``."""
    return between(f"now-{text}", "now", now=at.end)
