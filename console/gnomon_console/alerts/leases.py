"""Acknowledgements: short silences that the console renews for as long as they are meant to hold.

Somebody takes an alert for some hours, or until it is over. A silence of that length would outlive
the alert, and Alertmanager tells nobody of the end of what is silenced: whoever was told that it
fires would never be told that it does not. So an acknowledgement is a silence of a few minutes that
is renewed while the alert fires. When that is over, the console ends the silence and says so to
Alertmanager once more, which then sends the end to whoever was told of the beginning, and to nobody
else.

If the console dies, the silence runs out within LEASE, escalation goes on, and Prometheus, which
repeats an alert's end for 15 minutes, still gets it out. Whatever is needed to go on with a lease
stands in the silence itself, so that a console that starts again, or another one, takes it up.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gnomon_console.alerts.alertmanager import Alert, Alertmanager, Matcher, Silence

#: How long a silence holds without the console. Long enough for a restart; and with the longest
#: group_interval of a route that wakes somebody (5 min) and Prometheus' own pause between two
#: repetitions (1 min) well within the 15 min for which it repeats that an alert is over.
LEASE = timedelta(minutes=5)

#: What is left of a lease when it is renewed.
_RENEWED = LEASE / 2

_MARK = "Acknowledged"
_COMMENT = re.compile(
    rf"{_MARK} until (it is over|\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(?:: (.*))?", re.DOTALL
)
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Lease:
    """An acknowledgement. until: when it ends, None for with the alert."""

    silence: Silence
    until: datetime | None
    reason: str

    @property
    def labels(self) -> dict[str, str]:
        """The alert's labels: a lease holds back exactly one alert."""
        return {each.name: each.value for each in self.silence.matchers}


def lease(silence: Silence) -> Lease | None:
    """Return the acknowledgement that a silence is, None for one that somebody made elsewhere."""
    found = _COMMENT.fullmatch(silence.comment)
    if found is None or any(each.sign != "=" for each in silence.matchers):
        return None
    until = None
    if found[1][0].isdigit():
        try:
            until = datetime.strptime(found[1], _FORMAT).replace(tzinfo=UTC)
        except ValueError:
            return None
    return Lease(silence, until, found[2] or "")


def reason(silence: Silence) -> str:
    """Return what somebody said as they silenced something."""
    found = lease(silence)
    return found.reason if found else silence.comment


async def acknowledge(
    alertmanager: Alertmanager,
    labels: Mapping[str, str],
    author: str,
    why: str,
    lasts: timedelta | None,
) -> str:
    """Take an alert in somebody's name, for a time or until it is over; return the silence's id.

    Raise AlertsError.
    """
    now = datetime.now(UTC)
    until = None if lasts is None else now + lasts
    words = "it is over" if until is None else until.strftime(_FORMAT)
    return await alertmanager.silence(
        [Matcher(name, "=", value) for name, value in sorted(labels.items())],
        author,
        f"{_MARK} until {words}" + (f": {why}" if why else ""),
        _end(now, until),
    )


def _end(now: datetime, until: datetime | None) -> datetime:
    return now + LEASE if until is None else min(now + LEASE, until)


@dataclass(frozen=True, slots=True)
class Due:
    """What has to be done: leases to renew, to take up again, and to end as their alert is over."""

    renew: Sequence[Lease] = ()
    take: Sequence[Lease] = ()
    end: Sequence[Lease] = ()


def due(
    silences: Iterable[Silence],
    alerts: Sequence[Alert],
    over: Callable[[Mapping[str, str]], bool],
    now: datetime,
) -> Due:
    """Return what has to be done about the leases among some silences.

    alerts: what fires. over: whether an alert with these labels certainly fires no longer.
    """
    newest: dict[frozenset[tuple[str, str]], Lease] = {}
    for silence in sorted(silences, key=lambda each: each.starts):
        found = lease(silence)
        if found is None:
            continue
        key = frozenset(found.labels.items())
        # An older one that still holds is not replaced by one that has been ended.
        if key not in newest or silence.active or not newest[key].silence.active:
            newest[key] = found
    renew, take, end = [], [], []
    for each in newest.values():
        if each.silence.active:
            if over(each.labels):
                end.append(each)
            elif each.silence.ends - now < _RENEWED and each.silence.ends < _end(now, each.until):
                renew.append(each)
        elif (
            each.silence.state == "expired"
            and not each.silence.by_hand
            and (each.until is None or each.until > now + timedelta(seconds=1))
            and any(
                dict(alert.labels) == each.labels
                # Another episode has to be taken anew.
                and alert.since <= each.silence.starts + timedelta(seconds=1)
                for alert in alerts
            )
        ):
            take.append(each)
    return Due(renew, take, end)


class Keeper:
    """Does what is due about the leases, each look."""

    def __init__(self, alertmanager: Alertmanager) -> None:
        self._alertmanager = alertmanager
        #: What was last known of the alerts that are taken, by their labels.
        self._alerts: dict[frozenset[tuple[str, str]], Alert] = {}

    async def keep(
        self,
        silences: Sequence[Silence],
        alerts: Sequence[Alert],
        over: Callable[[Mapping[str, str]], bool],
    ) -> int:
        """Renew, take up and end leases; return how many. Raise AlertsError after the last."""
        now = datetime.now(UTC)
        held = {frozenset(found.labels.items()) for each in silences if (found := lease(each))}
        for alert in alerts:
            key = frozenset(alert.labels.items())
            if key in held:
                self._alerts[key] = alert
        self._alerts = {key: alert for key, alert in self._alerts.items() if key in held}
        wanted = due(silences, alerts, over, now)
        done = await asyncio.gather(
            *(self._renew(each, now) for each in wanted.renew),
            *(self._take(each, now) for each in wanted.take),
            *(self._let_go(each, now) for each in wanted.end),
            return_exceptions=True,
        )
        for each in done:
            if isinstance(each, BaseException):
                raise each
        return len(done)

    async def _renew(self, each: Lease, now: datetime) -> None:
        silence = each.silence
        await self._alertmanager.silence(
            silence.matchers, silence.author, silence.comment, _end(now, each.until), silence
        )

    async def _take(self, each: Lease, now: datetime) -> None:
        silence = each.silence
        await self._alertmanager.silence(
            silence.matchers, silence.author, silence.comment, _end(now, each.until)
        )

    async def _let_go(self, each: Lease, now: datetime) -> None:
        """End a lease, and get the alert's end to whoever was told of the alert.

        Alertmanager forgets an end that it looks at while the alert is silenced. Said again after
        the silence, it is sent at once, to whom the beginning was sent.
        """
        await self._alertmanager.expire(each.silence.id)
        known = self._alerts.get(frozenset(each.labels.items()))
        await self._alertmanager.over(known or Alert("", each.labels, {}, each.silence.starts), now)
