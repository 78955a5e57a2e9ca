"""What has fired, and how the services fare by it, as a part of the page of alerts."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from nicegui import ui

from gnomon_console import colours, units
from gnomon_console.alerts import figures
from gnomon_console.alerts.history import Episode
from gnomon_console.alerts.watch import WEEKS, Watch

#: Episodes in the table, at most.
_ROWS = 200

_LONGEST = 300

#: Readable on white and on black.
_WORDS, _LINES = "#7f8896", "rgba(128,128,128,.22)"

#: What is chosen for all services; no service is called that.
_ALL = "\0"

_CHART = "Alerts by week, and how soon they were taken and over"

_TAKE, _END, _BETWEEN = "Until taken (MTTA)", "Until over (MTTR)", "Between two (MTBF)"


class Past:
    """The history, as one viewer has it open: drawn once, and filled again with each change."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._service: str | None = None
        self._shown: figures.Figures | None = None
        self._drawn: _Drawn | None = None

    def build(self) -> None:
        """Build it, and keep it up to date."""
        ui.label("History").classes("text-lg font-semibold mt-4")
        self._none = ui.label("").classes("text-sm")
        self._place = ui.column().classes("w-full gap-3 min-w-0")
        self._refresh()
        self._watch.changed.subscribe(self._refresh)

    def _refresh(self) -> None:
        past = self._watch.past
        if past is self._shown and past is not None:
            return
        self._shown = past
        episodes = past.episodes if past else None
        if past is None or not episodes:
            # Of the time before it was watched nobody knows.
            said = (
                "No alert has fired as far as is known."
                if episodes is not None
                else "Not read yet."
            )
            self._none.set_text(said)
        else:
            self._fill(past)
        self._none.set_visibility(not episodes)
        self._place.set_visibility(bool(episodes))

    def _fill(self, past: figures.Figures) -> None:
        means = past.services
        services = [each.service for each in means]
        if self._service not in services:
            self._service = None
        first = figures.monday(time.time() - WEEKS * 7 * 86400)
        today = datetime.now(UTC).astimezone().date()
        weeks = past.weeks(first, today, self._service)
        if self._drawn is None:
            with self._place:
                self._drawn = _Drawn(self._choose, _chart(weeks))
        drawn = self._drawn
        drawn.figures.set_visibility(bool(means))
        # A service may be called anything: it is chosen by its name, and all by what is none.
        drawn.choice.set_options(
            {_ALL: "All services"} | {each: _service(each) for each in services},
            value=_ALL if self._service is None else self._service,
        )
        drawn.chart.options.update(_chart(weeks))
        drawn.chart.update()
        drawn.weeks.rows = [_row(f"{week:%d %b}", each) for week, each in reversed(weeks)]
        drawn.services.rows = [_row(_service(each.service), each) for each in means]
        drawn.episodes.rows = _rows(past.episodes)
        more = len(past.episodes) - _ROWS
        drawn.more.set_text(f"{more} older ones are not shown." if more > 0 else "")

    def _choose(self, service: str) -> None:
        chosen = None if service == _ALL else service
        if chosen != self._service and self._shown:
            self._service = chosen
            self._fill(self._shown)


class _Drawn:
    """What is drawn once."""

    def __init__(self, choose: Callable[[str], None], chart: dict[str, Any]) -> None:
        self.figures = ui.column().classes("w-full gap-3 min-w-0")
        with self.figures:
            self.choice = (
                ui.select({}, label="By week", on_change=lambda event: choose(event.value))
                .props("dense outlined")
                .classes("w-64 max-w-full")
            )
            with ui.element("div").classes(
                "grid w-full gap-3 grid-cols-1 xl:grid-cols-2 items-start"
            ):
                with ui.column().classes("w-full gap-3 min-w-0"):
                    self.chart = ui.echart(chart).classes("w-full h-56")
                    self.chart.props(f'role=img aria-label="{_CHART}"')
                    self.weeks = _table({"name": "Week from", **_FIGURES})
                self.services = _table({"name": "Service", **_FIGURES})
        self.episodes = _table(_TITLES, pagination=15)
        self.more = ui.label("").classes("text-sm faint")


#: What is in order by its text.
_SORTED = {"name", "count", "began", "severity", "service", "summary"}

_TITLES = {
    "began": "Began",
    "severity": "Severity",
    "service": "Service",
    "summary": "What",
    "lasted": "Lasted",
    "taken": "Taken by",
}

#: On a phone a table is pushed sideways rather than made of single words.
_CLASSES = {"began": "whitespace-nowrap", "summary": "min-w-48"}

_FIGURES = {"count": "Alerts", "take": _TAKE, "end": _END, "between": _BETWEEN}


def _row(name: str, means: figures.Means) -> dict[str, object]:
    return {
        "name": name,
        "count": means.count,
        "take": _lasted(means.to_take),
        "end": _lasted(means.to_end),
        "between": _lasted(means.between),
    }


def _chart(weeks: Sequence[tuple[date, figures.Means]]) -> dict[str, Any]:
    """Return bars of how many, and lines of how long."""
    longest = max(
        (each for _, m in weeks for each in (m.to_take, m.to_end) if each is not None), default=60.0
    )
    scale = units.scale("s", longest)

    def line(name: str, colour: str, values: Sequence[float | None]) -> dict[str, Any]:
        return {
            "name": name,
            "type": "line",
            "yAxisIndex": 1,
            "data": [None if v is None else round(v / scale.divisor, 2) for v in values],
            "symbolSize": 7,
            "color": colour,
            "connectNulls": True,
        }

    words = {"color": _WORDS}
    return {
        "textStyle": {"fontFamily": "Roboto, sans-serif", **words},
        "grid": {"left": 8, "right": 8, "top": 34, "bottom": 4, "containLabel": True},
        "tooltip": {"trigger": "axis", "confine": True},
        "legend": {"top": 0, "left": 0, "textStyle": words, "itemWidth": 16, "itemHeight": 8},
        "xAxis": {
            "type": "category",
            "data": [f"{week:%d %b}" for week, _ in weeks],
            "axisLabel": words,
        },
        "yAxis": [
            {
                "type": "value",
                "minInterval": 1,
                "axisLabel": words,
                "splitLine": {"lineStyle": {"color": _LINES}},
            },
            {
                "type": "value",
                "axisLabel": {**words, "formatter": f"{{value}}{scale.suffix}"},
                "splitLine": {"show": False},
            },
        ],
        "series": [
            {
                "name": "Alerts",
                "type": "bar",
                "data": [each.count for _, each in weeks],
                "color": colours.SERIES[11],
                "barMaxWidth": 42,
            },
            line(_TAKE, colours.SERIES[0], [each.to_take for _, each in weeks]),
            line(_END, colours.SERIES[1], [each.to_end for _, each in weeks]),
        ],
    }


def _rows(episodes: Sequence[Episode]) -> list[dict[str, object]]:
    return [
        {
            "name": number,
            "began": datetime.fromtimestamp(each.began, UTC)
            .astimezone()
            .strftime("%Y-%m-%d %H:%M"),
            "summary": each.summary[:_LONGEST],
            "severity": each.severity[:_LONGEST],
            "service": _service(each.service),
            "lasted": "fires" if each.ended is None else _lasted(each.ended - each.began),
            "taken": ""
            if each.taken is None
            else f"{each.taker[:_LONGEST]}, after {_lasted(each.taken - each.began)}",
        }
        for number, each in enumerate(episodes[:_ROWS])
    ]


def _table(titles: Mapping[str, str], *, pagination: int | None = None) -> ui.table:
    columns = [
        {
            "name": name,
            "label": title,
            "field": name,
            "align": "left",
            "sortable": name in _SORTED,
            "classes": _CLASSES.get(name, ""),
        }
        for name, title in titles.items()
    ]
    table = ui.table(rows=[], columns=columns, row_key="name", pagination=pagination)
    return table.props("dense flat bordered wrap-cells").classes("w-full past")


def _service(name: str) -> str:
    return name[:_LONGEST] or "no service"


def _lasted(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return "< 1 s" if seconds < 1 else units.text(seconds, "s", 0 if seconds < 7200 else 1)
