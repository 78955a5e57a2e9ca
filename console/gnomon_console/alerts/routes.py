"""Who is told of an alert, and when: by the routes of the Alertmanager that runs.

Alertmanager does not say whom it has told. What it does follows from its configuration: an alert
is told to the receiver of its route when it has waited for ``group_wait``, and else, if it is held
back then, at one of the looks after it, each ``group_interval``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from gnomon_console import ranges
from gnomon_console.alerts import leases
from gnomon_console.alerts.alertmanager import Alert, Matcher, Silence

_TEXT = r'"(?:[^"\\]|\\.)*"'
_MATCHER = re.compile(rf'({_TEXT}|[^\s=!~,{{}}"]+)\s*(=~|!~|!=|=)\s*({_TEXT}|[^,{{}}]*)')
_ESCAPE = re.compile(r"\\(.)")

#: Waits where nobody has said another, as Alertmanager's.
_WAIT, _INTERVAL = "30s", "5m"

#: Looks into the past, at most: an alert may have been silenced for weeks.
_LOOKS = 5000

_NEVER = datetime.max.replace(tzinfo=UTC)

#: What a receiver's kinds of message are called.
_CHANNELS = {
    "email": "e-mail",
    "slack": "Slack",
    "pagerduty": "PagerDuty",
    "msteams": "Teams",
    "msteamsv2": "Teams",
    "webhook": "webhook",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One way to a receiver. channels: how it tells, none where nobody is behind it.

    hours: the names of the times that it keeps to.
    """

    receiver: str
    channels: tuple[str, ...]
    wait: timedelta
    interval: timedelta
    hours: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Where an alert is on its way to a receiver.

    state: told; next, where it will be told; held, while somebody has taken it or another explains
    it; hours, where that depends on the time of day. at: when it was told or will be, None where
    nobody can know. by: whose silence holds it back.
    """

    route: Route
    state: str
    at: datetime | None = None
    by: str = ""


class Routes:
    """The routes of a configuration."""

    def __init__(self, text: str) -> None:
        """Read the YAML. Raise ValueError for what is none, or has no route."""
        try:
            config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except yaml.YAMLError as error:
            raise ValueError(f"the configuration is no YAML: {error}") from None
        if not isinstance(config, dict) or not isinstance(config.get("route"), dict):
            raise ValueError("the configuration has no route")  # noqa: TRY004
        self.text = text
        self._root: dict[str, Any] = config["route"]
        self._channels = {
            each["name"]: tuple(
                sorted(
                    _CHANNELS.get(key.removesuffix("_configs"), key.removesuffix("_configs"))
                    for key, value in each.items()
                    if key.endswith("_configs") and value
                )
            )
            for each in config.get("receivers") or ()
        }
        times = [
            *(config.get("time_intervals") or ()),
            *(config.get("mute_time_intervals") or ()),
        ]
        self._empty = {each["name"] for each in times if not each.get("time_intervals")}

    def of(self, labels: Mapping[str, str]) -> list[Route]:
        """Return the ways that an alert takes, the first to be told first."""
        found = [self._route(each) for each in _matching(self._root, labels, {})]
        return sorted(found, key=lambda each: each.wait)

    def _route(self, given: Mapping[str, Any]) -> Route:
        mutes = [each for each in given.get("mute_time_intervals") or () if each not in self._empty]
        receiver = str(given.get("receiver", ""))
        return Route(
            receiver=receiver,
            channels=self._channels.get(receiver, ()),
            wait=_duration(given.get("group_wait"), _WAIT),
            interval=_duration(given.get("group_interval"), _INTERVAL),
            hours=(*(given.get("active_time_intervals") or ()), *mutes),
        )


def steps(
    alert: Alert, routes: Sequence[Route], silences: Sequence[Silence], now: datetime
) -> list[Step]:
    """Return where an alert is on its ways to people."""
    holds = [
        (each.starts, _until(each), each.author)
        for each in silences
        if each.state != "pending" and each.fits(alert.labels)
    ]
    return [_step(alert, route, holds, now) for route in routes if route.channels]


def _until(silence: Silence) -> datetime:
    """Return when a silence will let go, as far as it is meant to."""
    found = leases.lease(silence) if silence.active else None
    if found is None:
        return silence.ends
    return found.until or _NEVER


def _step(
    alert: Alert,
    route: Route,
    holds: Sequence[tuple[datetime, datetime, str]],
    now: datetime,
) -> Step:
    if route.hours:
        return Step(route, "hours")
    look = alert.since + route.wait
    for _ in range(_LOOKS):
        held = [(ends, by) for starts, ends, by in holds if starts <= look < ends]
        if not held:
            break
        ends, by = max(held)
        if ends == _NEVER:
            return Step(route, "held", None, by)
        look += max(1, -((look - ends) // route.interval)) * route.interval
    if look <= now and not (alert.inhibited and not alert.silences):
        return Step(route, "told", look)
    if alert.inhibited:
        return Step(route, "held")
    by = next((by for starts, ends, by in holds if starts <= now < ends), "")
    if look == alert.since + route.wait:  # a silence that ends before then stops nothing
        by = ""
    return Step(route, "held" if by else "next", look, by)


def _matching(
    given: Mapping[str, Any], labels: Mapping[str, str], above: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the routes that take an alert, each with what it has from those above it."""
    if above and not all(each.fits(labels) for each in _matchers(given)):
        return
    own = {key: value for key, value in given.items() if value is not None}
    # Times are what a route does not get from the one above it.
    inherited = {key: value for key, value in above.items() if not key.endswith("_time_intervals")}
    whole = {**inherited, **own}
    whole.pop("routes", None)
    taken = False
    for child in given.get("routes") or ():
        inside = list(_matching(child, labels, whole or {"receiver": ""}))
        yield from inside
        taken = taken or bool(inside)
        if inside and not child.get("continue"):
            break
    if not taken:
        yield whole


def _matchers(given: Mapping[str, Any]) -> Iterator[Matcher]:
    for name, value in (given.get("match") or {}).items():
        yield Matcher(name, "=", str(value))
    for name, value in (given.get("match_re") or {}).items():
        yield Matcher(name, "=~", str(value))
    for text in given.get("matchers") or ():
        for name, sign, value in _MATCHER.findall(text):
            yield Matcher(_unquoted(name), sign, _unquoted(value.strip()))


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])
    return text


def _duration(text: Any, default: str) -> timedelta:
    try:
        return timedelta(seconds=ranges.seconds(str(text or default)))
    except ValueError:
        return timedelta(seconds=ranges.seconds(default))
