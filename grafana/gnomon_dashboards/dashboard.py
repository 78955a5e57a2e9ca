"""A dashboard: its questions in sections, what can be chosen, and the file that Grafana reads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gnomon_dashboards import annotations, links
from gnomon_dashboards.panels import Panel
from gnomon_dashboards.variables import DATASOURCE_CHOICE

#: The grid's width.
_COLUMNS = 24

#: Grafana 9.4's; later ones bring it up to theirs as they read it.
_SCHEMA = 37


class Variable(Protocol):
    """What a viewer can choose."""

    def json(self) -> dict[str, Any]:
        """Return it as Grafana stores it."""


@dataclass(frozen=True)
class Section:
    """Panels that belong together, left to right, as many lines of them as it takes.

    title: "" for what stands at the top without a heading. folded: shown when it is opened, and
    asked for only then.
    """

    title: str
    panels: Sequence[Panel]
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard.

    subject: its word in every room of the house. title: as the list of dashboards shows it.
    purpose: whose question it answers. about: label matchers of the alerts and deploys that are
    drawn in, with its variables; None for no such lines. refresh: how often it asks anew. since:
    how far back it looks at first.
    """

    subject: str
    title: str
    purpose: str
    sections: Sequence[Section]
    variables: Sequence[Variable] = ()
    about: str | None = ""
    deploys: str | None = None
    refresh: str = "30s"
    since: str = "now-1h"
    more_links: Sequence[Mapping[str, Any]] = ()

    def json(self) -> dict[str, Any]:
        """Return it as Grafana stores it."""
        events = [] if self.about is None else annotations.alerts(self.about)
        if self.deploys is not None:
            events.append(annotations.deploys(self.deploys))
        return {
            "annotations": {"list": events},
            "description": self.purpose,
            "editable": False,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,  # the cursor is shown in all graphs at the same time
            "links": [links.ALL, *(dict(link) for link in self.more_links)],
            "liveNow": False,
            "panels": self._panels(),
            "refresh": self.refresh,
            "schemaVersion": _SCHEMA,
            "style": "dark",
            "tags": [links.TAG],
            "templating": {"list": [DATASOURCE_CHOICE, *(v.json() for v in self.variables)]},
            "time": {"from": self.since, "to": "now"},
            "timepicker": {},
            "timezone": "",
            "title": self.title,
            "uid": links.uid(self.subject),
            "version": 1,
            "weekStart": "",
        }

    def text(self) -> str:
        """Return the file's content."""
        return json.dumps(self.json(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def _panels(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        number = y = 0
        for section in self.sections:
            inside = found
            if section.title:
                number += 1
                heading: dict[str, Any] = {
                    "collapsed": section.folded,
                    "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": y},
                    "id": number,
                    "panels": [],
                    "title": section.title,
                    "type": "row",
                }
                found.append(heading)
                y += 1
                if section.folded:
                    inside = heading["panels"]
            for line in _lines(section.panels):
                x, height = 0, max(panel.height for panel in line)
                for panel in line:
                    number += 1
                    inside.append(replace(panel, height=height).json(number, x, y))
                    x += panel.width
                y += height
            # What is folded takes no room until it is opened; Grafana moves the rest then.
            y = y if inside is found else found[-1]["gridPos"]["y"] + 1
        return found


def _lines(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    """Yield the panels that stand beside each other; all of a line are as high as the highest."""
    line: list[Panel] = []
    for panel in panels:
        if line and sum(each.width for each in line) + panel.width > _COLUMNS:
            yield line
            line = []
        line.append(panel)
    if line:
        yield line
