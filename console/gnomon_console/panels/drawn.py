"""What every kind of panel is given, and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon_console.boards import Panel, Target
from gnomon_console.looks import Look, address, look, name
from gnomon_console.prometheus import Series
from gnomon_console.ranges import Range
from gnomon_console.tables import Row, frames, shaped

#: One query of a panel and its series.
Answers = Sequence[tuple[Target, Sequence[Series]]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, from ``start`` to ``end`` in Unix seconds."""

    start: float
    end: float
    text: str
    colour: str


@dataclass(frozen=True, slots=True)
class Dot:
    """The trace of one sample: an exemplar."""

    at: float
    value: float
    trace_id: str


@dataclass(frozen=True, slots=True)
class Given:
    """What there is to draw.

    at: the time on show. link: the query string that keeps it and the datasource, for links.
    """

    panel: Panel
    answers: Answers
    at: Range
    marks: Sequence[Mark] = ()
    dots: Sequence[Dot] = ()
    link: str = ""


#: Ready for JSON. "chart" is options of ECharts; "times" stand for the first coordinate of every
#: point of its lines; the rest is told apart by console.js.
Drawn = dict[str, Any]


def linked(given: Given, url: str) -> str:
    """Return a link with what it keeps put in."""
    url = url.replace("${__url_time_range}", given.link).replace("${datasource:queryparam}", "")
    return url.replace("&&", "&")


def empty(panel: Panel) -> str:
    """Return what is said where there is no data."""
    return str(panel.defaults.get("noValue") or "No data")


def called(panel: Panel, series: Series, target: Target) -> str:
    """Return what a series is called, after the panel's overrides."""
    shown = name(series, target.legend, target.expr)
    return str(look(panel, shown).get("displayName") or shown)


def link(
    given: Given, own: Look, labels: Mapping[str, str], fields: Mapping[str, str] | None = None
) -> str:
    """Return where a click on a value leads, "" for nowhere. labels, fields: as of `address`."""
    if not own.get("links"):
        return ""
    return address(linked(given, own.get("links")[0]["url"]), labels, fields or {})


def rows(given: Given) -> list[list[Row]]:
    """Return the rows of each query, shaped as the panel says."""
    return shaped(frames(given.answers), given.panel.spec.get("transformations", ()))


def reduced(given: Given) -> list[tuple[str, float, Series, Target]]:
    """Return the newest value of each series, with its name."""
    return [
        (called(given.panel, series, target), series.last, series, target)
        for target, found in given.answers
        for series in found
        if series.points
    ]
