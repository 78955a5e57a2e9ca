"""A dashboard as one viewer sees it: its variables' values, and its panels' answers."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon_console import looks
from gnomon_console.boards import Board, Panel, Target
from gnomon_console.colours import colour
from gnomon_console.macros import ALL, Macros
from gnomon_console.panels import (
    bargauge,
    gauge,
    heatmap,
    nodegraph,
    servicemap,
    stat,
    states,
    table,
    timeseries,
)
from gnomon_console.panels.drawn import Answers, Dot, Drawn, Given, Mark
from gnomon_console.prometheus import AskError, Prometheus, Series
from gnomon_console.ranges import POINTS, Range, between, moment, seconds
from gnomon_console.tables import SUPPORTED

#: How each kind of panel is drawn. "text" and "row" need no data; "map" is the console's own.
KINDS: Mapping[str, Callable[[Given], Drawn]] = {
    "timeseries": timeseries.draw,
    "stat": stat.draw,
    "gauge": gauge.draw,
    "bargauge": bargauge.draw,
    "table": table.draw,
    "heatmap": heatmap.draw,
    "state-timeline": states.draw,
    "nodeGraph": nodegraph.draw,
    "map": servicemap.draw,
}

#: Whoever asks for a value of now within so many seconds is told the same.
_SHARED_S = 5

#: Seconds after which an event is seen, at most, in a graph whose points lie farther apart.
_MARKED_S = 60

#: Traces shown on one graph, at most.
_DOTS = 60

#: Events drawn into one graph, at most.
_MARKS = 40


@dataclass(frozen=True, slots=True)
class Variable:
    """What can be chosen, and what is. ``everything`` is what "All" stands for, "" without it."""

    name: str
    title: str
    options: Sequence[tuple[str, str]]
    chosen: Sequence[str]
    everything: str

    @property
    def several(self) -> bool:
        """Whether more than one value can be chosen."""
        return bool(self.everything)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a viewer's address says: since and until as in Grafana's, values by variable."""

    since: str
    until: str
    chosen: Mapping[str, Sequence[str]]

    @property
    def link(self) -> str:
        """The time on show, as part of another dashboard's address."""
        return f"from={self.since}&to={self.until}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What one viewer sees at one moment, in Unix seconds: all of a page's panels show the same.

    at: the time on show. variables: the dashboard's, each with what is chosen.
    """

    asked: Asked
    moment: float
    at: Range
    variables: Sequence[Variable]

    @property
    def end(self) -> float:
        """When values of now are asked for: the last point of a month is hours before its end."""
        return moment(self.asked.until, self.moment) // _SHARED_S * _SHARED_S

    def window(self, panel: Panel, least: float = 0) -> Range:
        """Return the time that a panel shows. least: seconds between two points at least."""
        if panel.span:
            return between(f"now-{panel.span}", "now", least=least, now=self.at.end)
        since, until = self.asked.since, self.asked.until
        return between(since, until, least=least, points=panel.points, now=self.moment)

    def events(self, points: int) -> Range:
        """Return when it is asked for what happened: up to now, also where points lie far apart."""
        at = between(self.asked.since, self.asked.until, points=points, now=self.moment)
        late = (self.end - at.end) // _MARKED_S * _MARKED_S
        return Range(at.start + late, at.end + late, at.step)

    def filled(self, text: str, at: Range) -> str:
        """Return a query with everything in its place. at: the time that it is asked over."""
        return _macros(at, self.variables).fill(text)

    def titled(self, text: str) -> str:
        """Return a title with what was chosen in it, as people read it."""
        chosen = {
            each.name: ["All" if ALL in each.chosen else " + ".join(each.chosen)]
            for each in self.variables
        }
        return Macros(self.at, chosen, {}).fill(text)


async def sight(board: Board, asked: Asked, prometheus: Prometheus) -> Sight:
    """Return what a viewer sees of a dashboard now. Raise AskError, or ValueError for no time."""
    now = time.time()
    at = between(asked.since, asked.until, now=now)
    return Sight(asked, now, at, await _variables(board, asked, at, prometheus))


def blind(board: Board) -> Sight:
    """Return what is seen where nothing could be asked: the dashboard's own time, no variable."""
    now = time.time()
    return Sight(Asked(board.since, "now", {}), now, between(board.since, "now", now=now), ())


async def _variables(
    board: Board, asked: Asked, at: Range, prometheus: Prometheus
) -> list[Variable]:
    """Return a dashboard's variables in their order, each with what is there to choose.

    A value that nobody has is no choice: the first one, or all, is taken instead.
    """
    found: list[Variable] = []
    for given in board.variables:
        if given["type"] == "datasource":
            continue
        name, title = given["name"], given.get("label") or given["name"]
        everything = (given.get("allValue") or ".*") if given.get("includeAll") else ""
        if given["type"] == "query":
            options = [(value, value) for value in await _values(given, at, found, prometheus)]
        else:
            options = [(each["text"], each["value"]) for each in given.get("options", ())]
        known = {value for _, value in options}
        wanted = [value for value in asked.chosen.get(name, ()) if value in known]
        if not wanted:
            wanted = [ALL] if everything else [value for _, value in options[:1]]
        found.append(Variable(name, title, options, wanted, everything))
    return found


async def _values(
    given: Mapping[str, Any], at: Range, before: Sequence[Variable], prometheus: Prometheus
) -> list[str]:
    text = (
        _macros(at, before)
        .fill(given["query"]["query"])
        .removeprefix("label_values(")
        .removesuffix(")")
    )
    selector, _, label = text.rpartition(",")
    values = await prometheus.label_values(label.strip(), selector.strip(), at)
    return sorted(values, key=lambda value: (value.lower(), value))


def _macros(at: Range, chosen: Sequence[Variable]) -> Macros:
    """Return what fills a query."""
    return Macros(
        at,
        {each.name: each.chosen for each in chosen},
        {each.name: each.everything for each in chosen if each.everything},
    )


async def panels(
    board: Board, ids: Sequence[int], seen: Sight, prometheus: Prometheus
) -> dict[int, Drawn]:
    """Return what is drawn of each panel."""
    wanted = [board.panels[each] for each in ids if each in board.panels]
    marks = await _marks(board, seen, prometheus)
    drawn = await asyncio.gather(*(_panel(panel, seen, prometheus, marks) for panel in wanted))
    return {panel.id: each for panel, each in zip(wanted, drawn, strict=True)}


async def _panel(panel: Panel, seen: Sight, prometheus: Prometheus, marks: Sequence[Mark]) -> Drawn:
    if panel.kind not in KINDS:
        return {"unsupported": f"The console does not know panels of the kind {panel.kind}."}
    strange = {step["id"] for step in panel.spec.get("transformations", ())} - SUPPORTED
    if strange:
        return {"unsupported": f"The console does not know {', '.join(sorted(strange))}."}
    try:
        given = await answered(panel, seen, prometheus, marks)
    except AskError as error:
        return {"error": str(error)}
    return KINDS[panel.kind](given)


async def answered(
    panel: Panel, seen: Sight, prometheus: Prometheus, marks: Sequence[Mark] = ()
) -> Given:
    """Return a panel with the answers to its queries. Raise AskError."""
    at = seen.window(panel)

    async def ask(target: Target) -> tuple[Target, Sequence[Series]]:
        own = seen.window(panel, seconds(target.least)) if target.least else at
        expr = seen.filled(target.expr, own)
        if target.instant:
            return target, await prometheus.now(expr, seen.end)
        return target, await prometheus.range(expr, own)

    answers: Answers = await asyncio.gather(*(ask(target) for target in panel.targets))
    dots = [
        dot
        for target in panel.targets
        if target.exemplars
        for dot in await _dots(seen.filled(target.expr, at), at, prometheus)
    ]
    over_time = any(not target.instant for target in panel.targets)
    return Given(panel, answers, at, marks if over_time else (), dots[:_DOTS], seen.asked.link)


async def _dots(expr: str, at: Range, prometheus: Prometheus) -> list[Dot]:
    """Return the newest traces of an expression's samples, spread over its values."""
    found = [
        Dot(float(each["timestamp"]), float(each["value"]), each["labels"]["trace_id"])
        for each in await prometheus.exemplars(expr, at)
        if "trace_id" in each["labels"]
    ]
    # The slowest are looked for most, then the newest.
    found.sort(key=lambda dot: (dot.value, dot.at), reverse=True)
    slow, rest = found[: _DOTS // 3], found[_DOTS // 3 :]
    return slow + sorted(rest, key=lambda dot: dot.at, reverse=True)[: _DOTS - len(slow)]


async def _marks(board: Board, seen: Sight, prometheus: Prometheus) -> list[Mark]:
    """Return what happened: alerts that fired, versions that came. None of it is worth an error."""
    found: list[Mark] = []
    at = seen.events(max((panel.points for panel in board.panels.values()), default=POINTS))
    for given in board.annotations:
        if not given.get("enable") or "expr" not in given:
            continue
        try:
            answers = await prometheus.range(seen.filled(given["expr"], at), at)
        except AskError:
            continue
        for series in answers:
            text = looks.name(series, given.get("titleFormat", ""), given["name"])
            start = previous = series.points[0][0]
            for when, _ in [*series.points[1:], (float("inf"), 0.0)]:
                if when - previous > 2 * at.step:
                    found.append(Mark(start, previous, text, colour(given["iconColor"])))
                    start = when
                previous = when
    return sorted(found, key=lambda mark: mark.start)[-_MARKS:]
