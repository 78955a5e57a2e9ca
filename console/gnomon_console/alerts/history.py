"""What has fired: when, for how long, and who took it; in a file, for half a year.

Alertmanager forgets an alert as it ends, and tells nobody of the end of a silenced one. So it is
asked every few seconds, and what is missing from its answer twice has ended.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gnomon_console.alerts.alertmanager import Alert, Alertmanager, AlertsError, Silence

#: Seconds between two looks.
LOOK_S = 5.0

#: How long an episode is kept after its end.
KEPT_S = 183 * 86400.0

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS episodes (
    number INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, name TEXT NOT NULL,
    severity TEXT NOT NULL, service TEXT NOT NULL, labels TEXT NOT NULL, summary TEXT NOT NULL,
    began REAL NOT NULL, ended REAL, taken REAL, taker TEXT NOT NULL DEFAULT '',
    UNIQUE (fingerprint, began)
);
CREATE INDEX IF NOT EXISTS by_began ON episodes (began);
"""


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from its beginning to its end, None while it fires. Times in Unix seconds.

    taken, taker: when it was acknowledged, and by whom; None and "" for never.
    """

    name: str
    severity: str
    service: str
    labels: Mapping[str, str]
    summary: str
    began: float
    ended: float | None
    taken: float | None
    taker: str


@dataclass(frozen=True, slots=True)
class Means:
    """How one service fared. In seconds; None where there is nothing to take the mean of.

    to_take: from its beginning until somebody took an alert (MTTA). to_end: until it ended (MTTR).
    between: from one beginning to the next (MTBF).
    """

    service: str
    count: int
    to_take: float | None
    to_end: float | None
    between: float | None


class History:
    """The episodes, kept by asking again and again."""

    def __init__(self, path: Path, alertmanager: Alertmanager) -> None:
        """Open the file, or make it. Raise sqlite3.Error or OSError where that cannot be."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self._database.executescript(_SCHEMA)
        self._alertmanager = alertmanager
        self._missed: set[int] = set()
        self.alerts: Sequence[Alert] = ()
        self.silences: Sequence[Silence] = ()
        #: Why the newest look failed, "" if it did not.
        self.trouble = "Not asked yet"

    async def run(self, *, look_s: float = LOOK_S) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(look_s)

    async def look(self) -> None:
        """Ask once, and write down what is new."""
        try:
            self.alerts, self.silences = await asyncio.gather(
                self._alertmanager.alerts(), self._alertmanager.silences()
            )
        except AlertsError as error:
            # Nothing has ended because nobody answers.
            self.trouble = str(error)
            return
        self.trouble = ""
        try:
            self._note(self.alerts, self.silences, time.time())
        except sqlite3.Error as error:
            self.trouble = f"The history cannot be written: {error}"

    def _note(self, alerts: Sequence[Alert], silences: Sequence[Silence], now: float) -> None:
        write = self._database.execute
        takers = {each.id: each.author for each in silences}
        firing = {}
        for alert in alerts:
            if alert.severity == "none":  # Watchdog and what inhibits: always there
                continue
            key = (alert.fingerprint, alert.since.timestamp())
            firing[key] = alert
            write(
                "INSERT OR IGNORE INTO episodes"
                " (fingerprint, name, severity, service, labels, summary, began)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    alert.fingerprint,
                    alert.name,
                    alert.severity,
                    alert.service,
                    json.dumps(dict(alert.labels)),
                    alert.annotations.get("summary", alert.name),
                    key[1],
                ],
            )
            author = next((takers[each] for each in alert.silences if each in takers), None)
            if author is not None:
                write(
                    "UPDATE episodes SET taken = ?, taker = ?"
                    " WHERE fingerprint = ? AND began = ? AND taken IS NULL",
                    [now, author, *key],
                )
        missing = {
            number
            for number, fingerprint, began in write(
                "SELECT number, fingerprint, began FROM episodes WHERE ended IS NULL"
            ).fetchall()
            if (fingerprint, began) not in firing
        }
        for number in missing & self._missed:
            write("UPDATE episodes SET ended = ? WHERE number = ?", [now, number])
        self._missed = missing - self._missed
        write("DELETE FROM episodes WHERE ended < ?", [now - KEPT_S])

    def episodes(self, since: float, limit: int = 500) -> list[Episode]:
        """Return the newest episodes that began after a time."""
        rows = self._database.execute(
            "SELECT name, severity, service, labels, summary, began, ended, taken, taker"
            " FROM episodes WHERE began >= ? ORDER BY began DESC LIMIT ?",
            [since, limit],
        )
        return [
            Episode(name, severity, service, json.loads(labels), *rest)
            for name, severity, service, labels, *rest in rows
        ]

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def means(episodes: Sequence[Episode]) -> list[Means]:
    """Return the means of each service that had an alert, the most troubled first."""
    found = []
    for service in {each.service for each in episodes}:
        ours = sorted((e for e in episodes if e.service == service), key=lambda e: e.began)
        gaps = [later.began - each.began for each, later in pairwise(ours)]
        found.append(
            Means(
                service=service,
                count=len(ours),
                to_take=_mean(ours, lambda each: each.taken),
                to_end=_mean(ours, lambda each: each.ended),
                between=sum(gaps) / len(gaps) if gaps else None,
            )
        )
    return sorted(found, key=lambda each: (-each.count, each.service))


def _mean(episodes: Sequence[Episode], when: Callable[[Episode], float | None]) -> float | None:
    took = [at - each.began for each in episodes if (at := when(each)) is not None]
    return sum(took) / len(took) if took else None
