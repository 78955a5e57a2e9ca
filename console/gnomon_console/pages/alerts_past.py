"""What has fired, and how the services fare by it, as a part of the page of alerts."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from nicegui import ui

from gnomon_console import colours, units
from gnomon_console.alerts import figures
from gnomon_console.alerts.database import DatabaseError
from gnomon_console.alerts.history import Episode
from gnomon_console.alerts.watch import WEEKS, Watch

#: Episodes in the table, at most.
_ROWS = 500

_LONGEST = 300

#: Readable on white and on black.
_WORDS, _LINES = "#7f8896", "rgba(128,128,128,.22)"

_TAKE, _END, _BETWEEN = "Until taken (MTTA)", "Until over (MTTR)", "Between two (MTBF)"


class Past:
    """The history, as one viewer has it open."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._service: str | None = None
        self._shown: list[Episode] | None = None

    def build(self) -> None:
        """Build it, and keep it up to date."""
        ui.label("History").classes("text-lg font-semibold mt-4")
        self._part = ui.refreshable(self._episodes)
        self._part()
        self._watch.changed.subscribe(self._refresh)
        ui.timer(0, self._refresh, once=True)

    async def _refresh(self) -> None:
        try:
            episodes = await self._watch.past()
        except DatabaseError:
            return  # the page says why, above
        if episodes is not self._shown:
            self._shown = episodes
            self._part.refresh()

    def _episodes(self) -> None:
        if not self._shown:
            ui.label(f"Nothing has fired in {WEEKS} weeks." if self._shown == [] else "…").classes(
                "text-sm"
            )
            return
        means = figures.by_service(self._shown)
        if means:
            self._choice([each.service for each in means])
            with ui.element("div").classes(
                "grid w-full gap-3 grid-cols-1 xl:grid-cols-2 items-start"
            ):
                self._weeks(self._shown)
                _table(
                    {"name": "Service", **_FIGURES}, [_row(_service(e.service), e) for e in means]
                )
        _past(self._shown)

    def _choice(self, services: Sequence[str]) -> None:
        def choose(place: int) -> None:
            self._service = None if place < 0 else services[place]
            self._part.refresh()

        # By their places: a service may be called anything.
        options = {-1: "All services"} | {n: _service(each) for n, each in enumerate(services)}
        chosen = services.index(self._service) if self._service in services else -1
        ui.select(
            options,
            value=chosen,
            label="By week",
            on_change=lambda event: choose(event.value),
        ).props("dense outlined").classes("w-64 max-w-full")

    def _weeks(self, episodes: Sequence[Episode]) -> None:
        today = datetime.now(UTC).astimezone().date()
        first = figures.monday(time.time() - WEEKS * 7 * 86400)
        weeks = figures.by_week(episodes, first, today, self._service)
        # What began before the time on show is a part of its first week only.
        with ui.column().classes("w-full gap-3 min-w-0"):
            chart = ui.echart(_chart(weeks)).classes("w-full h-56")
            chart.props(
                'role=img aria-label="Alerts by week, and how soon they were taken and over"'
            )
            _table(
                {"name": "Week from", **_FIGURES},
                [_row(f"{week:%d %b}", each) for week, each in reversed(weeks)],
            )


#: What is in order by its text.
_SORTED = {"name", "count", "began", "severity", "service", "summary"}

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


def _past(episodes: Sequence[Episode]) -> None:
    rows = [
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
    titles = {
        "began": "Began",
        "severity": "Severity",
        "service": "Service",
        "summary": "What",
        "lasted": "Lasted",
        "taken": "Taken by",
    }
    _table(titles, rows, pagination=15)
    if len(episodes) > _ROWS:
        ui.label(f"The newest {_ROWS} of {len(episodes)}.").classes("text-sm faint")


def _table(
    titles: Mapping[str, str], rows: list[dict[str, object]], *, pagination: int | None = None
) -> None:
    columns = [
        {"name": name, "label": title, "field": name, "align": "left", "sortable": name in _SORTED}
        for name, title in titles.items()
    ]
    table = ui.table(rows=rows, columns=columns, row_key="name", pagination=pagination)
    table.props('dense flat bordered wrap-cells').classes("w-full")


def _service(name: str) -> str:
    return name[:_LONGEST] or "no service"


def _lasted(seconds: float | None) -> str:
    return "" if seconds is None else units.text(seconds, "s", 0 if seconds < 7200 else 1)
