"""What Prometheus says of alerts: what fires now, and what has, for as long as it remembers.

It knows of alerts that Alertmanager has forgotten or was never told of, and of those that fired
while the console was off. Its labels lack what ``alert_relabel_configs`` add on the way to
Alertmanager, as ``host``: so an alert is the same where one's labels are among the other's.
"""

import asyncio
import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from gnomon_console.alerts.alertmanager import Alert
from gnomon_console.prometheus import AskError, Prometheus

#: Seconds of the past that are asked for at once: 1440 points of a rule that runs each 15 s. And
#: those of which it is first asked whether there is anything.
CHUNK_S, _LONG_S = 6 * 3600.0, 15 * 86400.0

#: Seconds between two evaluations, where an alert has fired at a single one; and by how many an
#: evaluation may be late.
_PAUSE_S, _LATE_S = 30.0, 2.0

_PATIENCE_S = 8.0

_EXPR = 'ALERTS{alertstate="firing"}'
_OWN = {"__name__", "alertstate"}

#: Fires for as long as rules are evaluated.
_WATCHDOG = "Watchdog"


@dataclass(frozen=True, slots=True)
class Past:
    """That an alert has fired. Unix seconds; ended: None where it did at the end of what was asked.

    known: whether it began within what was asked, rather than before.
    """

    labels: Mapping[str, str]
    began: float
    ended: float | None
    known: bool


def same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two sets of labels are of one alert."""
    if one.get("alertname") != other.get("alertname"):
        return False
    less, more = (one, other) if len(one) <= len(other) else (other, one)
    return less.items() <= more.items()


async def now(prometheus: Prometheus) -> list[Alert]:
    """Return what fires now. Raise AskError."""
    try:
        found = await asyncio.wait_for(prometheus.page("alerts"), _PATIENCE_S)
    except TimeoutError:
        raise AskError(f"Prometheus took more than {_PATIENCE_S:.0f} s to answer") from None
    return [
        Alert(
            fingerprint="",
            labels=each["labels"],
            annotations=each["annotations"],
            since=datetime.fromisoformat(each["activeAt"]).astimezone(UTC),
            known=False,
        )
        for each in found["alerts"]
        if each["state"] == "firing"
    ]


async def past(prometheus: Prometheus, start: float, end: float) -> list[Past]:
    """Return what has fired between two Unix times, by its beginning. Raise AskError.

    A beginning is exact; an end is the first evaluation at which it fired no longer. What fired
    before and after Prometheus itself was off has fired all the time, as far as anybody knows.
    """
    # As they were written: a graph's points would miss what is shorter than what lies between them.
    series = await prometheus.once(f"{_EXPR}[{round(end - start)}s]", end)
    points = {
        tuple(sorted((k, v) for k, v in each.labels.items() if k not in _OWN)): [
            moment for moment, _ in each.points
        ]
        for each in series
    }
    rules = sorted(
        moment
        for labels, moments in points.items()
        if dict(labels).get("alertname") == _WATCHDOG
        for moment in moments
    )
    found = []
    for labels, moments in points.items():
        pause = _pause(moments)
        found += [
            Past(dict(labels), began, ended, began > start + 1.5 * pause)
            for began, ended in _spells(moments, pause, rules, end)
        ]
    return sorted(found, key=lambda each: each.began)


async def oldest(prometheus: Prometheus, start: float, end: float) -> float:
    """Return a time before which nothing is remembered of what has fired. Raise AskError."""
    while start < end:
        until = min(start + _LONG_S, end)
        if await prometheus.once(f"count(last_over_time({_EXPR}[{round(until - start)}s]))", until):
            break
        start = until
    return start


def _pause(moments: Sequence[float]) -> float:
    """Return the seconds between two evaluations of a rule."""
    return min((later - each for each, later in pairwise(moments)), default=_PAUSE_S)


def _spells(
    moments: Sequence[float], pause: float, rules: Sequence[float], end: float
) -> list[tuple[float, float | None]]:
    """Return the times without a break. rules: when rules are known to have been evaluated."""
    spells: list[list[float]] = []
    for moment in moments:
        if spells and not _over(spells[-1][1], moment, pause, rules):
            spells[-1][1] = moment
        else:
            spells.append([moment, moment])
    # Nothing is over because Prometheus says nothing any more.
    known = max(rules, default=end)
    return [
        (began, None if last > min(end, known) - 1.5 * pause - _LATE_S else last + pause)
        for began, last in spells
    ]


def _over(last: float, moment: float, pause: float, rules: Sequence[float]) -> bool:
    """Whether an alert was over between two points."""
    if moment - last < 1.5 * pause + _LATE_S:
        return False
    if not rules:
        return True
    place = bisect.bisect(rules, last + 1.5 * pause)
    return place < len(rules) and rules[place] < moment - 0.5 * pause
