"""The dashboards' files as the console reads them: Grafana's classic JSON."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gnomon_console.ranges import POINTS

#: What somebody opens first; the others follow by the alphabet.
_FIRST = ("gnomon-overview", "gnomon-service", "gnomon-slo", "gnomon-host")


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel; see Grafana's documentation of a Prometheus target for the fields."""

    ref: str
    expr: str
    legend: str
    instant: bool
    table: bool
    exemplars: bool
    least: str


@dataclass(frozen=True)
class Panel:
    """One panel: what it asks, and all that its file says of how it is drawn (``spec``)."""

    id: int
    kind: str
    title: str
    question: str
    targets: tuple[Target, ...]
    x: int
    y: int
    width: int
    height: int
    spec: Mapping[str, Any] = field(repr=False)

    @property
    def defaults(self) -> Mapping[str, Any]:
        """How its fields are shown, unless an override says otherwise."""
        found: Mapping[str, Any] = self.spec.get("fieldConfig", {}).get("defaults", {})
        return found

    @property
    def overrides(self) -> list[Mapping[str, Any]]:
        """What is different for some of its fields."""
        found: list[Mapping[str, Any]] = self.spec.get("fieldConfig", {}).get("overrides", [])
        return found

    @property
    def options(self) -> Mapping[str, Any]:
        """What its kind can be told."""
        found: Mapping[str, Any] = self.spec.get("options", {})
        return found

    @property
    def unit(self) -> str:
        """The unit of its values."""
        return str(self.defaults.get("unit", "short"))

    @property
    def span(self) -> str:
        """The time that it shows whatever the dashboard shows, "" for the dashboard's."""
        return str(self.spec.get("timeFrom") or "")

    @property
    def points(self) -> int:
        """How many points its lines have at most."""
        return int(self.spec.get("maxDataPoints") or POINTS)


@dataclass(frozen=True)
class Section:
    """Panels below a heading; ``folded`` until somebody opens it. The first one has no title."""

    title: str
    folded: bool
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    purpose: str
    since: str
    refresh: str
    sections: tuple[Section, ...]
    variables: tuple[Mapping[str, Any], ...]
    annotations: tuple[Mapping[str, Any], ...]

    @cached_property
    def panels(self) -> Mapping[int, Panel]:
        """All panels, by their ids."""
        return {panel.id: panel for section in self.sections for panel in section.panels}


def parsed(given: Mapping[str, Any]) -> Board:
    """Return the dashboard that Grafana's JSON describes. Raise KeyError and the like for none."""
    return Board(
        uid=given["uid"],
        title=given["title"],
        purpose=given.get("description", ""),
        since=given.get("time", {}).get("from", "now-1h"),
        refresh=given.get("refresh") or "",
        sections=tuple(_sections(given["panels"])),
        variables=tuple(given.get("templating", {}).get("list", ())),
        annotations=tuple(given.get("annotations", {}).get("list", ())),
    )


def read(path: Path) -> Board:
    """Return the dashboard of one file. Raise ValueError, with its name, for what is none."""
    try:
        return parsed(json.loads(path.read_text()))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not a dashboard that can be shown: {error!r}") from error


def _sections(panels: list[dict[str, Any]]) -> Iterator[Section]:
    title, folded, inside = "", False, []
    for given in panels:
        if given["type"] != "row":
            inside.append(_panel(given))
            continue
        if inside or title:
            yield Section(title, folded, tuple(inside))
        title, folded = given.get("title", ""), bool(given.get("collapsed"))
        inside = [_panel(each) for each in given.get("panels", ())]
    yield Section(title, folded, tuple(inside))


def _panel(given: dict[str, Any]) -> Panel:
    place = given["gridPos"]
    return Panel(
        id=given["id"],
        kind=given["type"],
        title=given.get("title", ""),
        question=given.get("description", ""),
        targets=tuple(_target(each) for each in given.get("targets", ()) if not each.get("hide")),
        x=place["x"],
        y=place["y"],
        width=place["w"],
        height=place["h"],
        spec=given,
    )


def _target(given: dict[str, Any]) -> Target:
    return Target(
        ref=given["refId"],
        expr=given["expr"],
        legend=given.get("legendFormat", "__auto"),
        instant=bool(given.get("instant")) and not given.get("range"),
        table=given.get("format") == "table",
        exemplars=bool(given.get("exemplar")),
        least=given.get("interval", ""),
    )


class Boards:
    """All dashboards of a folder, read again when a file changes.

    own: the console's, which have pages of their own and are not listed.
    """

    def __init__(self, folder: Path, own: Iterable[Board] = ()) -> None:
        self._folder = folder
        self._own = {board.uid: board for board in own}
        self._known: dict[Path, tuple[int, Board]] = {}

    def get(self, uid: str) -> Board | None:
        """Return a dashboard of the folder or of the console's, None for one that is not there."""
        return self._own.get(uid) or self.all().get(uid)

    def all(self) -> dict[str, Board]:
        """Return them by uid. Raise ValueError for a file that is no dashboard."""
        paths = sorted(self._folder.glob("*.json"))
        for path in paths:
            changed = path.stat().st_mtime_ns
            if self._known.get(path, (0,))[0] != changed:
                self._known[path] = (changed, read(path))
        self._known = {path: self._known[path] for path in paths}
        found = {board.uid: board for _, board in self._known.values()}
        return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def _place(uid: str) -> tuple[int, str]:
    """Return where a dashboard stands: in the order in which somebody looks, then by its name."""
    return (_FIRST.index(uid) if uid in _FIRST else len(_FIRST), uid)
