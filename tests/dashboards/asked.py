"""What the dashboards ask, as Grafana asks it: with choices, macros and steps put in."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dashboards.history import seconds
from servers import ROOT

FOLDER = ROOT / "grafana/dashboards"
PATHS = sorted(FOLDER.glob("*.json"))

#: The scrape interval that Grafana is told of where nothing else is.
SCRAPE_S = 10

#: Points on a graph that is as wide as the page, and the shortest time between two.
_POINTS = 1500

#: How many values of one variable are tried, and how many choices of all of them together.
_OFFERED, _TRIED = 30, 120

_VARIABLE = re.compile(r"\$\{([a-zA-Z_]\w*)(?::\w+)?\}|\[\[(\w+)\]\]|\$([a-zA-Z_]\w*)")
_LABEL_VALUES = re.compile(r"label_values\((?:(.*),\s*)?(\w+)\)$", re.DOTALL)

#: What Grafana itself knows, besides those that begin with two underscores.
DATASOURCE = "datasource"

#: The series API: label matchers to sets of labels, within the time on show.
Series = Callable[[str], list[dict[str, str]]]


@cache
def dashboard(path: Path) -> dict[str, Any]:
    """Return a dashboard's file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def everything(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all panels, rows too, those in folded rows behind their row."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all panels that show something."""
    return [panel for panel in everything(board) if panel["type"] != "row"]


def sections(board: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each panel that shows something, behind the title of its section."""
    title = ""
    for panel in everything(board):
        if panel["type"] == "row":
            title = panel["title"]
        else:
            yield title, panel


def variables(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the variables in their order."""
    found: list[dict[str, Any]] = board["templating"]["list"]
    return found


def named(text: str) -> set[str]:
    """Return the names of the variables in a text, without Grafana's own."""
    names = {next(filter(None, found)) for found in _VARIABLE.findall(text)}
    return {name for name in names if not name.startswith("__")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query of one panel. span_s: the time it is drawn over. step_s: between two points."""

    board: str
    section: str
    panel: str
    ref: str
    expr: str
    instant: bool
    span_s: int
    step_s: int

    def __str__(self) -> str:
        """Say where it stands."""
        return " / ".join(filter(None, (self.board, self.section, self.panel, self.ref)))

    def asked(self, chosen: Mapping[str, str]) -> str:
        """Return the expression as Prometheus gets it. chosen: a matcher's text by variable."""
        return replaced(self.expr, chosen, self.span_s, self.step_s)


def replaced(text: str, chosen: Mapping[str, str], span_s: int, step_s: int) -> str:
    """Put in what Grafana puts in; raise KeyError for a variable that there is not."""
    own = {
        "__interval": f"{step_s}s",
        "__interval_ms": f"{1000 * step_s}",
        "__rate_interval": f"{max(step_s + SCRAPE_S, 4 * SCRAPE_S)}s",
        "__range": f"{span_s}s",
        "__range_s": f"{span_s}",
        "__range_ms": f"{1000 * span_s}",
    }

    def one(found: re.Match[str]) -> str:
        name = next(filter(None, found.groups()))
        return own[name] if name.startswith("__") else chosen[name]

    return _VARIABLE.sub(one, text)


def queries(path: Path) -> list[Query]:
    """Return all queries of all panels of a dashboard."""
    board = dashboard(path)
    shown_s = _ago(board["time"]["from"])
    found = []
    for section, panel in sections(board):
        span_s = seconds(panel["timeFrom"]) if panel.get("timeFrom") else shown_s
        points = panel.get("maxDataPoints") or _POINTS * panel["gridPos"]["w"] // 24
        for target in panel.get("targets", ()):
            least = seconds(target.get("interval") or panel.get("interval") or f"{SCRAPE_S}s")
            found.append(
                Query(
                    board=path.stem,
                    section=section,
                    panel=panel["title"],
                    ref=target["refId"],
                    expr=target["expr"],
                    instant=target["instant"],
                    span_s=span_s,
                    step_s=max(_round(span_s / points), least),
                )
            )
    return found


def graphs() -> list[tuple[str, int]]:
    """Return the expressions of all dashboards, with what they ask about the past, in seconds."""

    class Anything(dict[str, str]):
        def __missing__(self, name: str) -> str:
            return name

    return [
        (query.asked(Anything()), 0 if query.instant else query.span_s)
        for path in PATHS
        for query in queries(path)
    ]


def _ago(text: str) -> int:
    """Return how many seconds ago "now-6h" is; "now/M" is at most a month ago."""
    if text.startswith("now/"):
        return 31 * 86_400
    return seconds(text.removeprefix("now-"))


def _round(step_s: float) -> int:
    """Return the round number of seconds that is next above."""
    for good in (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800):
        if good >= step_s:
            return good
    return 21_600


def choices(board: Mapping[str, Any], series: Series) -> list[dict[str, str]]:
    """Return what can be chosen at the head, what Grafana chooses by itself first.

    Each is a matcher's text by variable; that of "all" stands for all, "" for a variable that has
    nothing to choose from. The more of the choices are not the first one, the later they come.
    """
    found: list[tuple[int, dict[str, str]]] = [(0, {})]
    for variable in variables(board):
        longer = []
        for distance, chosen in found:
            if variable["includeAll"]:
                values = [variable["allValue"]]
            else:
                values = values_of(variable, chosen, series)[:_OFFERED] or [""]
            longer += [
                (distance + n, {**chosen, variable["name"]: value})
                for n, value in enumerate(values)
            ]
        found = sorted(longer, key=lambda one: one[0])[:_TRIED]
    return [chosen for _, chosen in found]


def values_of(variable: Mapping[str, Any], chosen: Mapping[str, str], series: Series) -> list[str]:
    """Return the values that a variable offers, in the order in which Grafana lists them."""
    if variable["type"] == DATASOURCE:
        return ["prometheus"]
    if variable["type"] == "custom":
        return [option["value"] for option in variable["options"]]
    asked = replaced(variable["query"]["query"], chosen, 3600, SCRAPE_S)
    source, label = _LABEL_VALUES.fullmatch(asked).groups()  # type: ignore[union-attr]
    return sorted({one[label] for one in series(source) if label in one})
