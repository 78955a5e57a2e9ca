"""Alertmanager's API, as far as the console asks it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import aiohttp

#: Seconds that an answer may take.
_PATIENCE_S = 6.0


class AlertsError(Exception):
    """Alertmanager did not answer, or refused; the text says which."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that fires. silences: the ids of those that hold it back; inhibited: by another.

    source: where its expression is drawn. known: whether Alertmanager has it; else only Prometheus
    says that it fires.
    """

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    since: datetime
    silences: tuple[str, ...] = ()
    inhibited: bool = False
    source: str = ""
    known: bool = True

    @property
    def name(self) -> str:
        """Its name."""
        return self.labels.get("alertname", "alert")

    @property
    def severity(self) -> str:
        """How bad it is: critical, warning, info, or none for what is told to nobody."""
        return self.labels.get("severity", "warning")

    @property
    def service(self) -> str:
        """Whose it is."""
        return self.labels.get("service", "")


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label has to be, as a silence or a route says it. sign: =, !=, =~ or !~."""

    name: str
    sign: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels are so; a missing one is empty."""
        found = labels.get(self.name, "")
        same = _fits(self.value, found) if "~" in self.sign else found == self.value
        return same != ("!" in self.sign)

    def __str__(self) -> str:
        return f'{self.name}{self.sign}"{self.value}"'


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except re.error:  # Go's expressions are others in small things
        return None


def _fits(pattern: str, text: str) -> bool:
    compiled = _pattern(pattern)
    return compiled is not None and compiled.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence: one that holds, or has ended within the days that Alertmanager keeps it.

    state: active, pending or expired. updated: when it was last changed; one that somebody ended
    was changed then.
    """

    id: str
    matchers: tuple[Matcher, ...]
    author: str
    comment: str
    starts: datetime
    ends: datetime
    updated: datetime
    state: str = "active"

    @property
    def active(self) -> bool:
        """Whether it holds."""
        return self.state == "active"

    @property
    def by_hand(self) -> bool:
        """Whether it was ended, rather than ran out."""
        return self.state == "expired" and (self.ends - self.updated).total_seconds() < 1

    @property
    def words(self) -> str:
        """What it holds back, as Alertmanager writes it."""
        return ", ".join(map(str, self.matchers))

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds back an alert with these labels."""
        return all(each.fits(labels) for each in self.matchers)


class Alertmanager:
    """A client of Alertmanager's API, version 2."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give back its connections."""
        if self._session is not None:
            await self._session.close()

    async def alerts(self) -> list[Alert]:
        """Return what fires, silenced or not. Raise AlertsError."""
        return [
            Alert(
                fingerprint=each["fingerprint"],
                labels=each["labels"],
                annotations=each["annotations"],
                since=_time(each["startsAt"]),
                silences=tuple(each["status"].get("silencedBy") or ()),
                inhibited=bool(each["status"].get("inhibitedBy")),
                source=each.get("generatorURL", ""),
            )
            for each in await self._ask("GET", "alerts")
        ]

    async def silences(self) -> list[Silence]:
        """Return the silences, with those that ended within the last days. Raise AlertsError."""
        return [
            Silence(
                id=each["id"],
                matchers=tuple(_matcher(matcher) for matcher in each["matchers"]),
                author=each["createdBy"],
                comment=each["comment"],
                starts=_time(each["startsAt"]),
                ends=_time(each["endsAt"]),
                updated=_time(each["updatedAt"]),
                state=each["status"]["state"],
            )
            for each in await self._ask("GET", "silences")
        ]

    async def silence(
        self,
        matchers: Sequence[Matcher],
        author: str,
        comment: str,
        ends: datetime,
        renews: Silence | None = None,
    ) -> str:
        """Hold back what fits until then; return the silence's id. Raise AlertsError.

        renews: the silence that shall end then; the others of its properties have to be the same.
        """
        given = {
            "matchers": [
                {
                    "name": each.name,
                    "value": each.value,
                    "isRegex": "~" in each.sign,
                    "isEqual": "!" not in each.sign,
                }
                for each in matchers
            ],
            "startsAt": (renews.starts if renews else datetime.now(UTC)).isoformat(),
            "endsAt": ends.isoformat(),
            "createdBy": author,
            "comment": comment,
        }
        if renews:
            given["id"] = renews.id
        return str((await self._ask("POST", "silences", given))["silenceID"])

    async def expire(self, silence: str) -> None:
        """End a silence. Raise AlertsError."""
        await self._ask("DELETE", f"silence/{silence}")

    async def over(self, alert: Alert, ended: datetime) -> None:
        """Say that an alert is over, as Prometheus does. Raise AlertsError."""
        given = {
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
            "startsAt": alert.since.isoformat(),
            "endsAt": ended.isoformat(),
            "generatorURL": alert.source,
        }
        await self._ask("POST", "alerts", [given])

    async def config(self) -> str:
        """Return the YAML that it runs by, without secrets. Raise AlertsError."""
        return str((await self._ask("GET", "status"))["config"]["original"])

    async def _ask(self, method: str, path: str, given: Any = None) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S))
        url = f"{self._address}/api/v2/{path}"
        try:
            async with self._session.request(method, url, json=given) as answer:
                if answer.status >= 400:
                    text = (await answer.text())[:300].strip()
                    raise AlertsError(f"Alertmanager refused: {text or answer.status}")
                body = await answer.read()
                return await answer.json() if body else None
        except TimeoutError:
            raise AlertsError(f"Alertmanager took more than {_PATIENCE_S:.0f} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise AlertsError(
                f"Alertmanager at {self._address} cannot be reached: {error}"
            ) from None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _matcher(given: Mapping[str, Any]) -> Matcher:
    sign = ("=" if given.get("isEqual", True) else "!") + ("~" if given["isRegex"] else "")
    return Matcher(given["name"], "!=" if sign == "!" else sign, given["value"])
