"""Alertmanager's API, as far as the console asks it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

_PATIENCE_S = 10.0

#: By whom a silence of the console's was made, in the comment that is its only free text.
_MARK = "Acknowledged"


class AlertsError(Exception):
    """Alertmanager did not answer, or refused; the text says which."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that fires. silences: the ids of those that hold it back; inhibited: by another."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    since: datetime
    silences: tuple[str, ...]
    inhibited: bool

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
class Silence:
    """A silence that holds."""

    id: str
    matchers: str
    author: str
    comment: str
    ends: datetime

    @property
    def acknowledges(self) -> bool:
        """Whether somebody took an alert by it, here."""
        return self.comment.startswith(_MARK)


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
            )
            for each in await self._ask("GET", "alerts")
        ]

    async def silences(self) -> list[Silence]:
        """Return the silences that hold now. Raise AlertsError."""
        return [
            Silence(
                id=each["id"],
                matchers=", ".join(_matcher(matcher) for matcher in each["matchers"]),
                author=each["createdBy"],
                comment=each["comment"],
                ends=_time(each["endsAt"]),
            )
            for each in await self._ask("GET", "silences")
            if each["status"]["state"] == "active"
        ]

    async def acknowledge(
        self, labels: Mapping[str, str], author: str, reason: str, lasts: timedelta
    ) -> str:
        """Hold back exactly this alert, in somebody's name; return the silence's id.

        Raise AlertsError.
        """
        now = datetime.now(UTC)
        said = await self._ask(
            "POST",
            "silences",
            {
                "matchers": [
                    {"name": name, "value": value, "isRegex": False, "isEqual": True}
                    for name, value in sorted(labels.items())
                ],
                "startsAt": now.isoformat(),
                "endsAt": (now + lasts).isoformat(),
                "createdBy": author,
                "comment": f"{_MARK}: {reason}" if reason else _MARK,
            },
        )
        return str(said["silenceID"])

    async def expire(self, silence: str) -> None:
        """End a silence. Raise AlertsError."""
        await self._ask("DELETE", f"silence/{silence}")

    async def _ask(self, method: str, path: str, given: Any = None) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S))
        url = f"{self._address}/api/v2/{path}"
        try:
            async with self._session.request(method, url, json=given) as answer:
                if answer.status >= 400:
                    text = (await answer.text())[:300].strip()
                    raise AlertsError(f"Alertmanager refused: {text or answer.status}")
                return await answer.json() if method != "DELETE" else None
        except TimeoutError:
            raise AlertsError(f"Alertmanager took more than {_PATIENCE_S:.0f} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise AlertsError(
                f"Alertmanager at {self._address} cannot be reached: {error}"
            ) from None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _matcher(given: Mapping[str, Any]) -> str:
    sign = ("=" if given.get("isEqual", True) else "!") + ("~" if given["isRegex"] else "")
    return f'{given["name"]}{"!=" if sign == "!" else sign}"{given["value"]}"'
