"""Looks at what fires every few seconds, once for all who look at the page.

Alertmanager, Prometheus and the database may each be away for a while: what the others say is shown
meanwhile, with the reason, and what was missed is made up for afterwards.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from nicegui import Event

from gnomon_console.alerts import firing, leases
from gnomon_console.alerts.alertmanager import Alert, Alertmanager, AlertsError, Silence
from gnomon_console.alerts.database import DatabaseError
from gnomon_console.alerts.figures import Figures
from gnomon_console.alerts.history import KEPT_S, History
from gnomon_console.alerts.routes import Routes
from gnomon_console.prometheus import AskError, Prometheus

_T = TypeVar("_T")

log = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_S = 5.0

#: Seconds without a look after which Prometheus' past is asked.
_GAP_S = 60.0

#: Seconds between two looks at Alertmanager's configuration.
_ROUTES_S = 60.0

#: How far back the page goes.
WEEKS = 5


@dataclass(frozen=True, slots=True)
class Now:
    """What is known at the moment.

    trouble: what cannot be asked, and why; by its name. routes: None where they are not known.
    """

    alerts: Sequence[Alert] = ()
    silences: Sequence[Silence] = ()
    trouble: Mapping[str, str] = field(default_factory=dict)
    routes: Routes | None = None


class Watch:
    """What fires, who has taken it, and what has been."""

    def __init__(
        self, alertmanager: Alertmanager, prometheus: Prometheus, history: History
    ) -> None:
        self._alertmanager = alertmanager
        self._prometheus = prometheus
        self._history = history
        self._keeper = leases.Keeper(alertmanager)
        self._missed: list[Alert] = []
        #: What Prometheus has said to fire since Alertmanager last said what does.
        self._told: dict[frozenset[tuple[str, str]], Alert] = {}
        self._routes: tuple[float, Routes | None] = (0.0, None)
        self._looking = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        self.now = Now(trouble={"": "Not asked yet"})
        #: What has fired within the last weeks, the newest first; None until that is known.
        self.past: Figures | None = None
        #: Happens after each change of what fires, and of what has been.
        self.changed: Event[[]] = Event()

    async def run(self, *, look_s: float = LOOK_S) -> None:
        """Look again and again, until cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except Exception:  # one strange answer may not end the watch
                    log.exception("Alerts could not be looked at")
                await asyncio.sleep(look_s)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Leave what is being written as it is."""
        if self._writing:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    async def look(self) -> None:
        """Ask once, do what is due, and write down what is new."""
        async with self._looking:
            await self._look()

    async def written(self) -> None:
        """Wait until what was seen last is written down, or cannot be."""
        if self._writing:
            await asyncio.wait([self._writing])

    async def acknowledge(
        self, labels: Mapping[str, str], author: str, why: str, lasts: timedelta | None
    ) -> None:
        """Take an alert in somebody's name; lasts: None for until it is over. Raise AlertsError."""
        await leases.acknowledge(self._alertmanager, labels, author, why, lasts)
        await self.look()

    async def expire(self, silence: str) -> None:
        """End a silence. Raise AlertsError."""
        await self._alertmanager.expire(silence)
        await self.look()

    async def _look(self) -> None:
        at = time.time()
        said, silences, told = await asyncio.gather(
            _tried(self._alertmanager.alerts()),
            _tried(self._alertmanager.silences()),
            _tried(firing.now(self._prometheus)),
        )
        trouble: dict[str, str] = {}
        for name, answer in (
            ("Prometheus", told),
            ("Alertmanager", said),
            ("Alertmanager", silences),
        ):
            if isinstance(answer, Exception):
                trouble[name] = str(answer)
        known = [] if isinstance(said, Exception) else said
        others = [] if isinstance(told, Exception) else told
        held = self.now.silences if isinstance(silences, Exception) else silences
        # What Alertmanager cannot say now is known from before.
        before = _by_name(self.now.alerts)
        alerts = [
            *known,
            *(
                _remembered(
                    each, before.get(each.name, ()), held, lost=not isinstance(said, Exception)
                )
                for each in _unknown(others, known)
            ),
        ]
        if not isinstance(said, Exception) and not isinstance(silences, Exception):
            await self._keep(held, alerts, isinstance(told, Exception), trouble)
        routes = await self._configured(isinstance(said, Exception))
        if database := self.now.trouble.get("History"):
            trouble["History"] = database
        self._say(Now(alerts, held, trouble, routes))
        unsure = isinstance(said, Exception) and isinstance(told, Exception)
        if not unsure and (self._writing is None or self._writing.done()):
            self._told |= {frozenset(each.labels.items()): each for each in others}
            self._writing = asyncio.create_task(
                self._write(
                    at,
                    alerts,
                    held,
                    answered=not isinstance(said, Exception),
                    asked=not isinstance(told, Exception),
                )
            )

    async def _keep(
        self,
        silences: Sequence[Silence],
        alerts: Sequence[Alert],
        blind: bool,
        trouble: dict[str, str],
    ) -> None:
        """Do what is due about the leases. blind: Prometheus does not say what fires."""
        before, self._missed = self._missed, list(alerts)

        def over(labels: Mapping[str, str]) -> bool:
            return not blind and not any(
                firing.same(each.labels, labels) for each in (*alerts, *before)
            )

        try:
            await self._keeper.keep(silences, alerts, over)
        except AlertsError as error:
            trouble["Alertmanager"] = f"An acknowledgement could not be renewed: {error}"

    async def _configured(self, blind: bool) -> Routes | None:
        asked, routes = self._routes
        if blind or time.monotonic() - asked < _ROUTES_S:
            return routes
        try:
            text = await self._alertmanager.config()
            if routes is None or routes.text != text:
                routes = Routes(text)
        except (AlertsError, ValueError) as error:
            log.warning("Who is told of an alert is not known: %s", error)
            routes = None
        self._routes = (time.monotonic(), routes)
        return routes

    def _say(self, now: Now) -> None:
        before, self.now = self.now, now
        if before != now:
            self.changed.emit()

    async def _write(
        self,
        at: float,
        alerts: Sequence[Alert],
        silences: Sequence[Silence],
        *,
        answered: bool,
        asked: bool,
    ) -> None:
        """Write down what a look has seen, and before it what nobody has looked at.

        answered, asked: whether Alertmanager and Prometheus have said what fires.
        """

        def ended(labels: Mapping[str, str]) -> bool:
            # What Prometheus has never said to fire is another's, and it cannot say that it ended.
            return answered or any(firing.same(each.labels, labels) for each in told)

        told = list(self._told.values())
        revision = self._history.revision
        trouble = ""
        try:
            until = await self._history.known()
            until = max(until, at - KEPT_S)
            missing = at - until > _GAP_S
            if asked and missing:
                try:
                    await self._fill(until, at, alerts if answered else None, silences)
                    missing = False
                except AskError as error:
                    trouble = f"is not complete: {error}"
            await self._history.note(
                alerts, silences, at=at, ended=ended, until=None if missing else at
            )
            if answered:
                self._told = {}
            if self.past is None or self._history.revision != revision:
                self.past = Figures(await self._history.episodes(at - WEEKS * 7 * 86400))
                self.changed.emit()
        except DatabaseError as error:
            trouble = f"cannot be written: {error}"
        if trouble != self.now.trouble.get("History", ""):
            others = {k: v for k, v in self.now.trouble.items() if k != "History"}
            self._say(
                replace(self.now, trouble={**others, **({"History": trouble} if trouble else {})})
            )

    async def _fill(
        self,
        start: float,
        end: float,
        alerts: Sequence[Alert] | None,
        silences: Sequence[Silence],
    ) -> None:
        if end - start > firing.CHUNK_S:
            start = await firing.oldest(self._prometheus, start, end)
        while start < end:
            until = min(start + firing.CHUNK_S, end)
            spells = await firing.past(self._prometheus, start, until)
            await self._history.fill(spells, alerts, silences, start, until)
            start = until


async def _tried(answer: Awaitable[_T]) -> _T | Exception:
    try:
        return await answer
    except (AlertsError, AskError) as error:
        return error


def _by_name(alerts: Sequence[Alert]) -> dict[str, list[Alert]]:
    found: dict[str, list[Alert]] = {}
    for each in alerts:
        found.setdefault(each.name, []).append(each)
    return found


def _unknown(others: Sequence[Alert], known: Sequence[Alert]) -> list[Alert]:
    """Return what only Prometheus says."""
    by_name = _by_name(known)
    return [
        each
        for each in others
        if not any(firing.same(each.labels, one.labels) for one in by_name.get(each.name, ()))
    ]


def _remembered(
    alert: Alert, before: Sequence[Alert], silences: Sequence[Silence], *, lost: bool
) -> Alert:
    """Return what only Prometheus says, with what Alertmanager has said of it before.

    lost: whether Alertmanager has it no longer, rather than does not answer.
    """
    now = datetime.now(UTC)
    known = next((each for each in before if firing.same(each.labels, alert.labels)), None)
    if known:
        alert = replace(known, inhibited=False, known=known.known and not lost)
    return replace(
        alert, silences=tuple(e.id for e in silences if e.ends > now and e.fits(alert.labels))
    )
