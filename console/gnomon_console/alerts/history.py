"""What has fired: when, for how long, and who took it; in a database, for half a year.

Alertmanager forgets an alert as it ends, and tells nobody of the end of a silenced one. So it and
Prometheus are asked every few seconds, and what is missing from both answers twice has ended. What
happened while nobody looked is filled in from Prometheus' past.
"""

import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gnomon_console.alerts import leases
from gnomon_console.alerts.alertmanager import Alert, Silence
from gnomon_console.alerts.database import Database, Transaction
from gnomon_console.alerts.firing import Past, same

#: How long an episode is kept after its end.
KEPT_S = 183 * 86400.0

#: A silence that began so many seconds before an alert, at most, is an answer to it.
_SLACK_S = 2.0

#: By so many seconds, at most, two sources differ in when something began or ended.
_BLUR_S = 30.0

#: Seconds between two looks for what is too old.
_FORGET_S = 3600.0

#: Labels and annotations longer than that say nothing more; characters.
_LONGEST = 4000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alert_episodes (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, severity TEXT NOT NULL, service TEXT NOT NULL,
    labels TEXT NOT NULL, summary TEXT NOT NULL, began {number} NOT NULL, ended {number},
    taken {number}, taker TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS alert_episodes_began ON alert_episodes (began);
CREATE TABLE IF NOT EXISTS alert_known (id INTEGER PRIMARY KEY, until {number} NOT NULL)
"""

_COLUMNS = "id, name, severity, service, labels, summary, began, ended, taken, taker, reason"


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from its beginning to its end, None while it fires. Times in Unix seconds.

    taken, taker, reason: when it was acknowledged, by whom, and what they said; None and "" for
    never.
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
    reason: str = ""
    id: str = ""


class History:
    """The episodes, in a database that may be away for a while."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready = False
        self._missed: dict[str, float] = {}
        self._forgot = 0.0
        #: Grows with each change.
        self.revision = 0

    async def known(self) -> float:
        """Return the Unix time until which everything is written down, 0 for never.

        Raise DatabaseError.
        """
        found: float = await self._do(_known)
        return found

    async def note(
        self,
        alerts: Sequence[Alert],
        silences: Sequence[Silence],
        *,
        at: float,
        ended: Callable[[Mapping[str, str]], bool],
        until: float | None,
    ) -> None:
        """Write down what fires at a time.

        ended: whether an alert with these labels, which is not among the alerts, does not fire.
        until: the time until which everything is known then, None where that is no later than
        before. Raise DatabaseError.
        """
        self._changed(
            await self._do(
                lambda do: self._note(do, alerts, silences, at=at, ended=ended, until=until)
            )
        )

    async def fill(
        self,
        past: Sequence[Past],
        firing: Sequence[Alert] | None,
        silences: Sequence[Silence],
        start: float,
        end: float,
    ) -> None:
        """Write down what Prometheus says has fired between two times.

        firing: what fires now, None where that is not known. Raise DatabaseError.
        """
        self._changed(await self._do(lambda do: _fill(do, past, firing, silences, (start, end))))

    async def episodes(self, since: float, limit: int = 20_000) -> list[Episode]:
        """Return the newest episodes that began after a time, or lasted until then.

        Raise DatabaseError.
        """
        rows = await self._do(
            lambda do: do(
                f"SELECT {_COLUMNS} FROM alert_episodes"  # noqa: S608  # nothing from outside
                " WHERE began >= ? OR ended IS NULL OR ended >= ? ORDER BY began DESC, id LIMIT ?",
                [since, since, limit],
            )
        )
        return [_episode(row) for row in rows]

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _changed(self, count: int) -> None:
        if count:
            self.revision += 1

    async def _do(self, work: Callable[[Transaction], Any]) -> Any:
        kind = self._database.kind

        def whole(do: Transaction) -> Any:
            if kind.lock:
                do(kind.lock)
            if not self._ready:
                for statement in _SCHEMA.format(number=kind.number).split(";"):
                    do(statement)
            return work(do)

        found = await self._database.run(whole)
        self._ready = True
        return found

    def _note(
        self,
        do: Transaction,
        alerts: Sequence[Alert],
        silences: Sequence[Silence],
        *,
        at: float,
        ended: Callable[[Mapping[str, str]], bool],
        until: float | None,
    ) -> int:
        before = _known(do)
        open_ = _open(do)
        changes = 0
        for each in alerts:
            if each.severity == "none":  # Watchdog and what inhibits: always there
                continue
            alert = replace(each, labels=_tidy(each.labels))
            since = alert.since.timestamp() if alert.known else at
            episode = _match(open_, alert.labels)
            # Between two looks it was over, and began again.
            if episode and alert.known and before and since > max(before, episode.began) + 1:
                _end(do, episode, min(since, max(before, episode.began)))
                episode = None
                changes += 1
            if episode is None:
                episode = _new(do, alert.labels, alert.annotations.get("summary", ""), since, None)
                changes += 1
            else:
                changes += _told_more(do, episode, alert)
            changes += _take(do, episode, each.labels, silences)
            open_ = [each for each in open_ if each.id != episode.id]
        missed, self._missed = self._missed, {}
        for episode in open_:
            if not ended(episode.labels):
                continue
            if episode.id in missed:
                _end(do, episode, missed[episode.id])
                changes += 1
            else:
                self._missed[episode.id] = at
        if until is not None:
            _set_known(do, until)
        if at - self._forgot > _FORGET_S:
            do("DELETE FROM alert_episodes WHERE ended < ?", [at - KEPT_S])
            self._forgot = at
        return changes


def _fill(
    do: Transaction,
    past: Sequence[Past],
    firing: Sequence[Alert] | None,
    silences: Sequence[Silence],
    window: tuple[float, float],
) -> int:
    start, end = window
    changes = 0
    there = {
        row[0]: _episode(row)
        for row in do(
            f"SELECT {_COLUMNS} FROM alert_episodes"  # noqa: S608  # nothing from outside
            " WHERE began <= ? AND (ended IS NULL OR ended >= ?)",
            [end, start - _BLUR_S],
        )
    }
    used: set[str] = set()
    for given in past:
        if given.labels.get("severity") == "none":
            continue
        spell = replace(given, labels=_tidy(given.labels))
        last = end if spell.ended is None else spell.ended
        ours = [each for each in there.values() if same(each.labels, spell.labels)]
        episode = next(
            (each for each in ours if _overlap(each, spell.began, last) > 0),
            # What both say of an end differs a little.
            next(
                (
                    each
                    for each in ours
                    if each.id not in used and _overlap(each, spell.began, last) > -_BLUR_S
                ),
                None,
            ),
        )
        if episode is None:
            episode = _new(do, spell.labels, "", spell.began, spell.ended)
            changes += 1
        elif episode.ended is None and spell.ended is not None:
            over = max(spell.ended, episode.began)
            episode = replace(episode, ended=over)
            _end(do, episode, over)
            changes += 1
        there[episode.id] = episode
        used.add(episode.id)
        changes += _take(do, episode, given.labels, silences)
    if past and firing is not None:  # Without any, no rule was evaluated, and nobody knows.
        for episode in there.values():
            # It was over as soon as nobody looked: Prometheus has not seen it fire since.
            if (
                episode.ended is None
                and episode.id not in used
                and episode.began < start
                and not any(same(episode.labels, _tidy(alert.labels)) for alert in firing)
            ):
                _end(do, episode, start)
                changes += 1
    _set_known(do, end)
    return changes


def _overlap(episode: Episode, began: float, ended: float) -> float:
    """Return how long an episode and a time have in common, less than 0 where they lie apart."""
    last = ended if episode.ended is None else episode.ended
    return min(last, ended) - max(episode.began, began)


def _known(do: Transaction) -> float:
    rows = do("SELECT until FROM alert_known WHERE id = 1")
    return float(rows[0][0]) if rows else 0.0


def _set_known(do: Transaction, until: float) -> None:
    do(
        "INSERT INTO alert_known (id, until) VALUES (1, ?)"
        " ON CONFLICT (id) DO UPDATE SET until = excluded.until",
        [until],
    )


def _open(do: Transaction) -> list[Episode]:
    return [
        _episode(row)
        for row in do(
            f"SELECT {_COLUMNS} FROM alert_episodes WHERE ended IS NULL"  # noqa: S608
        )
    ]


def _match(episodes: Sequence[Episode], labels: Mapping[str, str]) -> Episode | None:
    """Return the episode of an alert: the one with just its labels, if there is one."""
    ours = [each for each in episodes if same(each.labels, labels)]
    return next((each for each in ours if each.labels == labels), ours[0] if ours else None)


def _new(
    do: Transaction, labels: Mapping[str, str], summary: str, began: float, ended: float | None
) -> Episode:
    name = labels.get("alertname", "alert")
    episode = Episode(
        name=name,
        severity=labels.get("severity", "warning"),
        service=labels.get("service", ""),
        labels=labels,
        summary=_clean(summary) or name,
        began=began,
        ended=ended,
        taken=None,
        taker="",
        id=uuid.uuid4().hex,
    )
    do(
        f"INSERT INTO alert_episodes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        [
            episode.id,
            name,
            episode.severity,
            episode.service,
            json.dumps(labels),
            episode.summary,
            began,
            ended,
            None,
            "",
            "",
        ],
    )
    return episode


def _told_more(do: Transaction, episode: Episode, alert: Alert) -> int:
    """Write down what Alertmanager knows of an alert and Prometheus' past did not."""
    summary = _clean(alert.annotations.get("summary", "")) or episode.summary
    labels = dict(alert.labels)
    if len(labels) < len(episode.labels):
        labels = dict(episode.labels)
    if (labels, summary) == (episode.labels, episode.summary):
        return 0
    do(
        "UPDATE alert_episodes SET labels = ?, summary = ? WHERE id = ?",
        [json.dumps(labels), summary, episode.id],
    )
    return 1


def _take(
    do: Transaction, episode: Episode, labels: Mapping[str, str], silences: Sequence[Silence]
) -> int:
    """Write down who took an alert first: who silenced it after it had begun.

    labels: the alert's, as they came.
    """
    if episode.taken is not None:
        return 0
    answers = [
        each
        for each in silences
        if episode.began - _SLACK_S <= each.starts.timestamp() < (episode.ended or math.inf)
        and each.state != "pending"
        and (each.fits(labels) or ((ours := leases.lease(each)) and same(ours.labels, labels)))
    ]
    if not answers:
        return 0
    first = min(answers, key=lambda each: each.starts)
    do(
        "UPDATE alert_episodes SET taken = ?, taker = ?, reason = ? WHERE id = ?",
        [
            max(first.starts.timestamp(), episode.began),
            _clean(first.author),
            _clean(leases.reason(first)),
            episode.id,
        ],
    )
    return 1


def _end(do: Transaction, episode: Episode, at: float) -> None:
    do("UPDATE alert_episodes SET ended = ? WHERE id = ?", [max(at, episode.began), episode.id])


def _episode(row: Sequence[Any]) -> Episode:
    number, name, severity, service, labels, summary, began, ended, taken, taker, reason = row
    return Episode(
        name=name,
        severity=severity,
        service=service,
        labels=json.loads(labels),
        summary=summary,
        began=began,
        ended=ended,
        taken=taken,
        taker=taker,
        reason=reason,
        id=number,
    )


def _tidy(labels: Mapping[str, str]) -> dict[str, str]:
    return {_clean(name): _clean(value) for name, value in labels.items()}


def _clean(text: str) -> str:
    """Return text that every database takes: no NUL, no half of a character, no novel."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST]
