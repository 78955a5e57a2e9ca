"""Times of the week: working hours, maintenance."""

import re
from dataclasses import dataclass
from typing import Any

from gnomon_exporter.strict_yaml import TEXT, Kind, list_of
from gnomon_stack.alerting.reader import Reader

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_MIDNIGHT = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the day on some days of the week.

    days: numbers from 0, Monday. start, end: minutes after midnight; an end before the start is
    on the next day.
    """

    days: tuple[int, ...]
    start: int
    end: int

    def first_hour(self) -> "Window":
        """Return the window's first hour, or all of a shorter one."""
        length = (self.end - self.start) % _MIDNIGHT or _MIDNIGHT
        end = self.start + min(60, length)
        return Window(self.days, self.start, end if end <= _MIDNIGHT else end - _MIDNIGHT)

    def intervals(self, timezone: str) -> list[dict[str, Any]]:
        """Return it as Alertmanager's time intervals, none of which may pass midnight."""
        if self.start < self.end:
            return [_interval(self.days, self.start, self.end, timezone)]
        parts = [_interval(self.days, self.start, _MIDNIGHT, timezone)]
        if self.end:
            next_days = tuple((day + 1) % 7 for day in self.days)
            parts.append(_interval(next_days, 0, self.end, timezone))
        return parts


def _interval(days: tuple[int, ...], start: int, end: int, timezone: str) -> dict[str, Any]:
    return {
        "weekdays": [DAYS[day] for day in sorted(days)],
        "times": [{"start_time": _clock(start), "end_time": _clock(end)}],
        "location": timezone,
    }


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def take(reader: Reader, default: Window) -> Window:
    """Return the window that a mapping says: `days`, `from`, `to`."""
    days = sorted({day for days in reader.take("days", _DAYS, [default.days]) for day in days})
    if not days:
        raise reader.error("days", "an empty list", "at least one day")
    start = reader.take("from", _TIME, default.start)
    end = reader.take("to", _TIME, default.end)
    if start == _MIDNIGHT:
        raise reader.error("from", "'24:00'", "00:00 of the next day")
    return Window(tuple(days), start, end)


def _read_days(node: Any) -> tuple[int, ...]:
    """Read one day, or a range such as monday:friday."""
    text = TEXT.read(node).strip().lower()
    first, _, last = text.partition(":")
    last = last or first
    if first not in DAYS or last not in DAYS:
        raise ValueError
    start, end = DAYS.index(first), DAYS.index(last)
    return tuple((start + step) % 7 for step in range((end - start) % 7 + 1))


def _read_time(node: Any) -> int:
    found = re.fullmatch(r"([01][0-9]|2[0-4]):([0-5][0-9])", TEXT.read(node).strip())
    minutes = int(found[1]) * 60 + int(found[2]) if found else _MIDNIGHT + 1
    if minutes > _MIDNIGHT:
        raise ValueError
    return minutes


_DAYS = list_of(Kind("a day such as monday, or days such as monday:friday", _read_days))
_TIME = Kind('a time such as "08:00"', _read_time)
