"""Service level objectives as data: Sloth's files (``prometheus/v1``), read strictly.

Beyond Sloth's own keys there are ``window`` and ``min_bad_events`` of an objective, and the SLI
``latency``. What Sloth has and we cannot do (plugins) is refused with the reason.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gnomon_exporter.strict_yaml import BOOL, FLOAT, INT, TEXT, ConfigError, Section, load

VERSION = "prometheus/v1"

#: Days that Prometheus keeps; see supervisord.conf.
RETENTION_DAYS = 35

#: Share of the budget that may be gone within so many hours before somebody is told: the pages'
#: two pairs, then the tickets'. The short window (a twelfth) shows that it still goes on.
PAGE = ((0.02, 1), (0.05, 6))
TICKET = ((0.1, 24), (0.1, 72))

_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WINDOW = re.compile(r"\{\{\s*\.window\s*\}\}")
_BUCKET = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)_bucket\s*\{[^}]*\ble\s*=\s*\"([^\"]+)\"")
_DAYS = re.compile(r"([1-9][0-9]*)([dw])")


@dataclass(frozen=True, slots=True)
class Events:
    """Bad and all events, each a query that gives events a second over ``{{.window}}``."""

    bad: str
    total: str

    @staticmethod
    def over(query: str, window: str) -> str:
        """Return a query for one window."""
        return _WINDOW.sub(window, query).strip()


@dataclass(frozen=True, slots=True)
class Share:
    """A share of time that is bad, as one query; every moment counts alike."""

    ratio: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One of an objective's two alerts; the labels and annotations come on top of ours."""

    name: str
    enabled: bool
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective.

    objective: the share of good events that is promised, from 0 to 1. days: over how long.
    min_bad_events: fewer in the long window never alert.
    """

    service: str
    name: str
    objective: float
    days: int
    sli: Events | Share
    description: str
    labels: dict[str, str]
    min_bad_events: int
    page: Notice
    ticket: Notice

    @property
    def id(self) -> str:
        """Its name among all, as Sloth forms it."""
        return f"{self.service}-{self.name}"

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.objective, 9)

    def factor(self, share: float, hours: int) -> float:
        """Return how many times too fast ``share`` of the budget goes in ``hours``."""
        return round(share * self.days * 24 / hours, 4)


def read(folder: Path, buckets: dict[str, Sequence[float]]) -> list[Objective]:
    """Return the objectives of all files in a folder, in the order of the files.

    buckets: the bounds of histograms that are known; a bound elsewhere is taken on trust. Raises
    ConfigError, which names the line and the remedy.
    """
    found: dict[str, Objective] = {}
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        for objective in _file(path, buckets):
            if objective.id in found:
                raise ConfigError(
                    str(path), "given twice", key=objective.id, expected="a name of its own"
                )
            found[objective.id] = objective
    return list(found.values())


def _file(path: Path, buckets: dict[str, Sequence[float]]) -> Iterator[Objective]:
    top = load(str(path))
    version = top.take("version", TEXT)
    if version != VERSION:
        raise top.error("version", repr(version), f"{VERSION!r}, Sloth's format")
    service = _name(top, "service")
    labels = top.section("labels").take_each(TEXT)
    objectives = [_objective(s, service, labels, buckets) for s in top.sections("slos")]
    if not objectives:
        raise top.error("slos", "none", "a list with at least one objective")
    top.finish()
    yield from objectives


def _name(section: Section, key: str) -> str:
    name = section.take(key, TEXT)
    if not _NAME.fullmatch(name):
        raise section.error(key, repr(name), "letters, digits, - and _")
    return name


def _objective(
    section: Section, service: str, above: dict[str, str], buckets: dict[str, Sequence[float]]
) -> Objective:
    name = _name(section, "name")
    percent = section.take("objective", FLOAT)
    if not 0 < percent < 100:
        raise section.error(
            "objective",
            f"{percent:g}",
            "a percentage between 0 and 100; all of it (100) leaves no budget to alert on",
        )
    days = _days(section)
    sli = _sli(section.section("sli"), section, buckets)
    alerting = section.section("alerting")
    shared = alerting.take("name", TEXT, "")
    on_top = (alerting.section("labels").take_each(TEXT), alerting.section("annotations"))
    notes = on_top[1].take_each(TEXT)
    page = _notice(alerting, "page_alert", shared or "SLOFastBurn", on_top[0], notes)
    ticket = _notice(alerting, "ticket_alert", shared or "SLOSlowBurn", on_top[0], notes)
    default = 0 if isinstance(sli, Share) else 10
    objective = Objective(
        service=service,
        name=name,
        objective=round(percent / 100, 9),
        days=days,
        sli=sli,
        description=section.take("description", TEXT, ""),
        labels={**above, **section.section("labels").take_each(TEXT)},
        min_bad_events=section.take("min_bad_events", INT, default),
        page=page,
        ticket=ticket,
    )
    _refuse_what_never_fires(section, objective)
    return objective


def _days(section: Section) -> int:
    text = section.take("window", TEXT, "30d")
    match = _DAYS.fullmatch(text)
    days = int(match[1]) * (7 if match[2] == "w" else 1) if match else 0
    if not 7 <= days <= RETENTION_DAYS:
        raise section.error(
            "window", repr(text), f"7d to {RETENTION_DAYS}d, for Prometheus keeps no more"
        )
    return days


def _notice(
    alerting: Section, key: str, name: str, labels: dict[str, str], annotations: dict[str, str]
) -> Notice:
    section = alerting.section(key)
    return Notice(
        name,
        not section.take("disable", BOOL, default=False),
        {**labels, **section.section("labels").take_each(TEXT)},
        {**annotations, **section.section("annotations").take_each(TEXT)},
    )


def _sli(section: Section, above: Section, buckets: dict[str, Sequence[float]]) -> Events | Share:
    kinds = [kind for kind in ("events", "raw", "latency", "plugin") if kind in section]
    if len(kinds) != 1:
        raise above.error("sli", "not one kind", "one of events, raw, latency")
    if kinds[0] == "plugin":
        raise section.error("plugin", "Sloth's plugins are programs", "events with its two queries")
    inner = section.section(kinds[0])
    if kinds[0] == "raw":
        return Share(_query(inner, "error_ratio_query", buckets))
    if kinds[0] == "events":
        return Events(_query(inner, "error_query", buckets), _query(inner, "total_query", buckets))
    return _latency(inner, buckets)


def _query(section: Section, key: str, buckets: dict[str, Sequence[float]]) -> str:
    query = section.take(key, TEXT)
    if not _WINDOW.search(query):
        raise section.error(key, "no window", "a range of [{{.window}}] in the query")
    for histogram, bound in _BUCKET.findall(query):
        _check_bound(section, key, histogram, bound, buckets)
    return query


def _latency(section: Section, buckets: dict[str, Sequence[float]]) -> Events:
    histogram = section.take("histogram", TEXT)
    if not _METRIC.fullmatch(histogram):
        raise section.error("histogram", repr(histogram), "a histogram's name without _bucket")
    bound = section.take("bound", FLOAT)
    _check_bound(section, "bound", histogram, f"{bound:g}", buckets)
    chosen = section.take("matchers", TEXT, "").strip().strip("{},")
    # Prometheus 3 writes whole bounds with .0, Prometheus 2 as the program gave them.
    number = f"{bound:g}"
    le = f'le=~"{number}([.]0)?"' if bound.is_integer() else f'le="{number}"'
    within = ", ".join(filter(None, (chosen, le)))
    total = f"sum(rate({histogram}_count{{{chosen}}}[{{{{.window}}}}]))"
    good = f"sum(rate({histogram}_bucket{{{within}}}[{{{{.window}}}}]))"
    # A scrape may catch the two a request apart: not fewer than none were slow.
    return Events(f"clamp_min({total} - {good}, 0)", total)


def _check_bound(
    section: Section, key: str, histogram: str, bound: str, buckets: dict[str, Sequence[float]]
) -> None:
    known = buckets.get(histogram)
    if known is None or bound == "+Inf":
        return
    try:
        there = float(bound) in known
    except ValueError:
        there = False
    if not there:
        shown = ", ".join(f"{b:g}" for b in known)
        raise section.error(
            key,
            f"{histogram} has no bucket {bound}, so nothing could be counted",
            f"one of {shown}",
        )


def _refuse_what_never_fires(section: Section, objective: Objective) -> None:
    for notice, pairs, key in (
        (objective.page, PAGE, "page_alert"),
        (objective.ticket, TICKET, "ticket_alert"),
    ):
        worst = max(objective.factor(*pair) for pair in pairs)
        if notice.enabled and worst * objective.budget >= 1:
            least = 100 * (1 - 1 / worst)
            raise section.error(
                "objective",
                f"{objective.objective * 100:g} % can never fire {key}: it asks for {worst:g} times"
                f" the budget of {objective.budget * 100:g} %, which is more than every event",
                f"above {least:.2f}, or alerting.{key}.disable: true",
            )
