"""How services fare, by what has fired: how often, how soon somebody came, how soon it was over.

Of what is critical or a warning; what is only information is no failure.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import groupby, pairwise

from gnomon_console.alerts.history import Episode

_FAILURES = {"critical", "warning"}


@dataclass(frozen=True, slots=True)
class Means:
    """How one service fared. In seconds; None where there is nothing to take the mean of.

    count: alerts that began. to_take: from its beginning until somebody took an alert (MTTA), of
    those that somebody took. to_end: until it ended (MTTR), of those that have. between: from one
    beginning to the next (MTBF); in a week, of the alerts that began in it, the first counted from
    the last one before.
    """

    service: str
    count: int
    to_take: float | None
    to_end: float | None
    between: float | None


class Figures:
    """The means of what has been, worked out once for all who look at them."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self.episodes = episodes
        self._weeks: dict[tuple[date, date, str | None], list[tuple[date, Means]]] = {}

    @cached_property
    def services(self) -> list[Means]:
        """The means of each service, as ``by_service`` says."""
        return by_service(self.episodes)

    def weeks(self, first: date, last: date, service: str | None) -> list[tuple[date, Means]]:
        """Return the means of each week, as ``by_week`` does."""
        key = (first, last, service)
        if key not in self._weeks:
            self._weeks[key] = by_week(self.episodes, *key)
        return self._weeks[key]


def by_service(episodes: Iterable[Episode]) -> list[Means]:
    """Return the means of each service that had a failure, the most troubled first."""
    found = [_means(service, ours, _gaps(ours)) for service, ours in _services(episodes).items()]
    return sorted(found, key=lambda each: (-each.count, each.service))


def by_week(
    episodes: Iterable[Episode], first: date, last: date, service: str | None = None
) -> list[tuple[date, Means]]:
    """Return the means of each week between two days, by its Monday, also where nothing failed.

    Weeks begin on Monday by this machine's clock; an alert belongs to the week in which it began.
    service: of this one alone, None for all; between two alerts lies what does within a service.
    """
    services = {
        name: ours
        for name, ours in _services(episodes).items()
        if service is None or name == service
    }
    every = sorted((each for ours in services.values() for each in ours), key=_began)
    gaps = [gap for ours in services.values() for gap in _gaps(ours)]
    weeks = {week: list(ours) for week, ours in groupby(every, key=lambda each: monday(each.began))}
    found = []
    week = first - timedelta(days=first.weekday())
    while week <= last:
        within = [gap for gap in gaps if monday(gap[0]) == week]
        found.append((week, _means(service or "", weeks.get(week, []), within)))
        week += timedelta(days=7)
    return found


def monday(moment: float) -> date:
    """Return the Monday of the week of a Unix time, by this machine's clock."""
    day = datetime.fromtimestamp(moment, UTC).astimezone().date()
    return day - timedelta(days=day.weekday())


def _began(episode: Episode) -> float:
    return episode.began


def _services(episodes: Iterable[Episode]) -> dict[str, list[Episode]]:
    found: dict[str, list[Episode]] = {}
    for each in sorted(episodes, key=_began):
        if each.severity in _FAILURES:
            found.setdefault(each.service, []).append(each)
    return found


def _gaps(ours: Sequence[Episode]) -> list[tuple[float, float]]:
    """Return each beginning but the first, with the seconds since the one before."""
    return [(later.began, later.began - each.began) for each, later in pairwise(ours)]


def _means(service: str, ours: Sequence[Episode], gaps: Sequence[tuple[float, float]]) -> Means:
    return Means(
        service=service,
        count=len(ours),
        to_take=_took(ours, lambda each: each.taken),
        to_end=_took(ours, lambda each: each.ended),
        between=_mean([gap for _, gap in gaps]),
    )


def _took(ours: Sequence[Episode], when: Callable[[Episode], float | None]) -> float | None:
    return _mean([at - each.began for each in ours if (at := when(each)) is not None])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
