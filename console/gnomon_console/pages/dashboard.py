"""One dashboard: what can be chosen, and its panels, which console.js fills."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request
from nicegui import ui

from gnomon_console import api, view
from gnomon_console.boards import Board, Boards, Panel, Section
from gnomon_console.macros import ALL
from gnomon_console.pages.frame import page
from gnomon_console.prometheus import AskError, Prometheus
from gnomon_console.ranges import seconds

_TIMES = {
    "now-5m": "Last 5 minutes",
    "now-15m": "Last 15 minutes",
    "now-1h": "Last hour",
    "now-3h": "Last 3 hours",
    "now-6h": "Last 6 hours",
    "now-24h": "Last 24 hours",
    "now-2d": "Last 2 days",
    "now-7d": "Last 7 days",
    "now-30d": "Last 30 days",
    "now-35d": "Last 35 days",
}
_REFRESHES = {0: "Off", 5: "5 s", 10: "10 s", 30: "30 s", 60: "1 min", 300: "5 min"}

#: Panels up to this width stand two or three beside each other on a phone.
_SMALL = 5


class DashboardPage:
    """Builds the page of a dashboard for each viewer."""

    def __init__(self, boards: Boards, prometheus: Prometheus, trace: str) -> None:
        self._boards = boards
        self._prometheus = prometheus
        self._trace = trace

    def serve(self) -> None:
        """Put it at the address that Grafana has it at, too."""
        ui.page("/d/{uid}")(self.build)

    async def build(self, uid: str, request: Request) -> None:
        """Build it."""
        boards = self._boards.all()
        board = boards.get(uid)
        if board is None:
            with page("Not found"):
                ui.label(f"There is no dashboard {uid}.").classes("text-lg")
            return
        await self.show(board, request, boards)

    async def show(
        self, board: Board, request: Request, others: Mapping[str, Board] | None = None
    ) -> None:
        """Build the page of a dashboard. others: those that can be chosen in its place."""
        try:
            asked = api.asked(board, api.params_of(request))
            seen, trouble = await view.sight(board, asked, self._prometheus), ""
        except (ValueError, AskError) as error:
            seen, trouble = view.blind(board), str(error)
        with page(board.title):
            self._bar(board, others or {}, seen)
            note = ui.label(trouble).classes("text-sm text-red-600 px-1").props('id="note"')
            note.style("" if trouble else "display:none")
            made: list[dict[str, Any]] = []
            for section in board.sections:
                _section(section, made, seen.titled)
            every = round(seconds(board.refresh)) if board.refresh else 0
            start = {"uid": board.uid, "every": every, "trace": self._trace, "panels": made}
            ui.add_body_html(
                f"<script>addEventListener('load', () => gnomon.open({_inline(start)}))</script>"
            )

    def _bar(self, board: Board, boards: Mapping[str, Board], seen: view.Sight) -> None:
        asked = seen.asked
        with ui.row().classes("w-full items-end gap-2"):
            if boards:
                ui.select(
                    {uid: each.title for uid, each in boards.items()},
                    value=board.uid,
                    label="Dashboard",
                    on_change=lambda event: ui.navigate.to(f"/d/{event.value}?{asked.link}"),
                ).props("dense options-dense outlined").classes("min-w-40")
            for variable in seen.variables:
                _choice(variable)
            ui.space()
            times = dict(_TIMES)
            if asked.since not in times or asked.until != "now":
                times[asked.since] = "As chosen"
            ui.select(
                times,
                value=asked.since,
                label="Time",
                on_change=lambda event: ui.run_javascript(
                    f"gnomon.go({{from: {json.dumps(event.value)}, to: 'now'}})"
                ),
            ).props("dense options-dense outlined").classes("min-w-36")
            every = round(seconds(board.refresh)) if board.refresh else 0
            ui.select(
                _REFRESHES | {every: _REFRESHES.get(every, f"{every} s")},
                value=every,
                label="Refresh",
                on_change=lambda event: ui.run_javascript(f"gnomon.every({event.value})"),
            ).props("dense options-dense outlined").classes("min-w-28")
        ui.label(board.purpose).classes("text-sm text-gray-500 px-1")


def _choice(variable: view.Variable) -> None:
    options = {value: text for text, value in variable.options}
    if variable.several:
        options = {ALL: "All", **options}
    value: Any = list(variable.chosen) if variable.several else next(iter(variable.chosen), None)
    select = ui.select(
        options, value=value, label=variable.title, multiple=variable.several, with_input=True
    )
    select.props("dense options-dense outlined" + (" use-chips" if variable.several else ""))
    select.classes("min-w-36 max-w-96")

    def apply() -> None:
        wanted = select.value
        if variable.several:
            newest = [each for each in wanted or [] if each not in variable.chosen]
            # All and something is something; something and then All is all.
            wanted = [ALL] if ALL in newest or not wanted else [w for w in wanted if w != ALL]
        if wanted not in (value, None):
            ui.run_javascript(f"gnomon.go({json.dumps({f'var-{variable.name}': wanted})})")

    select.on("popup-hide", apply)


def _section(section: Section, made: list[dict[str, Any]], titled: Callable[[str], str]) -> None:
    if not section.title:
        with ui.element("div").classes("panels w-full"):
            made += [_panel(panel, titled(panel.title)) for panel in section.panels]
        return
    fold = ui.expansion(titled(section.title), value=not section.folded).classes(
        "section w-full font-semibold"
    )
    fold.props("dense header-class=px-1")
    # What was folded is asked for as soon as it is seen.
    fold.on("after-show", js_handler="() => gnomon.refresh()")
    with fold, ui.element("div").classes("panels w-full font-normal"):
        made += [_panel(panel, titled(panel.title)) for panel in section.panels]


def _panel(panel: Panel, title: str) -> dict[str, Any]:
    """Build a panel's frame and the element that its data go to; return what console.js knows."""
    box = ui.element("section").classes("panel" + (" small" if panel.width <= _SMALL else ""))
    box.style(f"--w:{panel.width};--h:{panel.height}").props(f'aria-label="{_attribute(title)}"')
    found: dict[str, Any] = {"id": panel.id, "kind": panel.kind}
    with box:
        with ui.element("div").classes("panel-head"):
            ui.label(title).classes("title")
            if panel.question:
                # Whoever has no mouse reaches it by the tabulator.
                about = ui.icon("info_outline", size="15px").classes("opacity-60")
                about.props('tabindex=0 role="img" aria-hidden="false"')
                about.props(f'aria-label="{_attribute(panel.question)}"')
                with about:
                    ui.tooltip(panel.question).classes("text-sm max-w-80")
            if panel.targets:
                link = ui.element("a").props(
                    f'href="#" aria-label="Data of {_attribute(title)} as CSV"'
                )
                link.on("click.prevent", js_handler=f"() => gnomon.csv({panel.id})")
                with link:
                    ui.icon("download", size="15px")
                    ui.tooltip("As CSV")
        with ui.element("div").classes("panel-body").props(f'id="body-{panel.id}"'):
            if panel.kind == "text":
                ui.markdown(panel.options.get("content", "")).classes("words fill")
            elif panel.kind == "stat":
                ui.element("div").classes("fill")
            elif panel.kind == "table":
                grid = ui.aggrid(
                    {"columnDefs": [], "rowData": [], "headerHeight": 30, "rowHeight": 28},
                    theme="balham",
                    auto_size_columns=False,
                )
                found["element"] = grid.classes("fill").id
            elif panel.kind in view.KINDS:
                found["element"] = ui.echart({}).classes("fill").id
            ui.element("div").classes("panel-said").props(f'id="said-{panel.id}" role="status"')
    return found


def _attribute(text: str) -> str:
    return text.replace('"', "'")


def _inline(given: Any) -> str:
    """Return JSON that cannot end the script it stands in."""
    return json.dumps(given).replace("<", "\\u003c")
