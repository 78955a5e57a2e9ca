"""This machine: what was found, what is scraped, what is missing and the line that adds it."""

import asyncio
import json
from collections.abc import Sequence

from nicegui import ui

from gnomon_console.pages.frame import page
from gnomon_console.setup import lines
from gnomon_console.setup.look import ABSENT, FAILS, MISSING, WATCHED, Scraped, Seen, Setup, Thing

#: Seconds between two looks of an open page.
_EVERY_S = 5.0

#: How each state is shown: icon and colour. The word stands beside it.
_STATES = {
    WATCHED: ("check_circle", "positive"),
    MISSING: ("add_circle", "warning"),
    FAILS: ("error", "negative"),
    ABSENT: ("remove", "grey"),
}

_UNKNOWN = "not known"


class SetupPage:
    """Builds the page from what ``Setup`` sees."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def serve(self) -> None:
        """Put it at /setup."""
        ui.page("/setup")(self.build)

    async def build(self) -> None:
        """Build it."""
        seen = await self._setup.look()
        with page("This machine"):

            @ui.refreshable
            def live() -> None:
                _headline(seen)
                with ui.element("div").classes("grid w-full gap-2 grid-cols-1 lg:grid-cols-2"):
                    _found(seen)
                    with ui.column().classes("gap-2 min-w-0"):
                        _applications(seen, self._setup.receiver)
                        _told(seen)
                _scraped(seen)

            live()

            async def again() -> None:
                nonlocal seen
                now = await self._setup.look()
                # Only what has changed is sent, and nothing that somebody is just copying moves.
                if now != seen:
                    seen = now
                    live.refresh()

            ui.timer(_EVERY_S, again)


async def gist(setup: Setup) -> None:
    """Build the line of the first page that leads here, where there is reason to look."""
    try:
        # A first page does not wait for what answers slowly.
        seen = await asyncio.wait_for(setup.look(), 1)
    except TimeoutError:
        return
    if text := said(seen):
        with ui.row().classes("w-full items-center gap-2 no-wrap"):
            ui.icon("info", size="20px", color="primary")
            with ui.element("div").classes("text-sm"):
                ui.label(text).classes("inline")
                ui.link("This machine shows what was found, and what to do.", "/setup").classes(
                    "inline ml-1"
                )


def said(seen: Seen) -> str:
    """Return what is worth a word on the first page, "" for nothing."""
    if seen.trouble:
        return f"Nothing can be shown yet. {seen.trouble}."
    if not seen.samples:
        return "The first samples come within seconds."
    found = []
    if not seen.applications:
        found.append("None of your applications is watched yet.")
    if names := [thing.name for thing in seen.missing]:
        found.append(f"Found here and not watched: {', '.join(names)}.")
    return " ".join(found)


def _headline(seen: Seen) -> None:
    up = sum(each.health == "up" for each in seen.scraped)
    down = [each for each in seen.scraped if each.health == "down"]
    if seen.trouble:
        icon, colour, text = "error", "negative", seen.trouble
    elif not seen.samples:
        icon, colour, text = "hourglass_empty", "info", "The first samples come within seconds."
    elif down:
        names = ", ".join(dict.fromkeys(each.service or each.address for each in down))
        icon, colour, text = "error", "negative", f"Does not answer: {names}."
    elif seen.missing:
        names = ", ".join(thing.name for thing in seen.missing)
        icon, colour, text = "add_circle", "warning", f"Found here and not watched: {names}."
    else:
        icon, colour, text = "check_circle", "positive", "All that was found here is watched."
    with ui.row().classes("items-center gap-2 p-1 no-wrap"):
        ui.icon(icon, color=colour, size="26px")
        ui.label(text).classes("text-lg")
    if seen.trouble:
        _line(lines.START)
    if seen.scraped:
        ui.label(
            f"{up} of {len(seen.scraped)} targets answer; {seen.working} collectors of the"
            f" exporters work" + (f", {len(seen.failing)} fail" if seen.failing else "")
        ).classes("text-sm text-gray-500 px-1")


def _found(seen: Seen) -> None:
    with ui.card().classes("gap-1 min-w-0"):
        ui.label("Found on this machine").classes("text-base font-semibold")
        for thing in sorted(seen.things, key=lambda each: list(_STATES).index(each.state)):
            _thing(thing, known=not seen.trouble)
        for each in seen.failing:
            ui.label(f"Collector {each} fails: the exporter's own page, :9840, says why.").classes(
                "text-sm text-negative"
            )


def _thing(thing: Thing, *, known: bool) -> None:
    icon, colour = _STATES[thing.state]
    state = thing.state if known or thing.state == ABSENT else _UNKNOWN
    with ui.row().classes("w-full items-center gap-2 no-wrap"):
        icon, colour = (icon, colour) if state != _UNKNOWN else ("help_outline", "grey")
        ui.icon(icon, color=colour, size="20px")
        ui.label(thing.name).classes("font-semibold text-sm")
        ui.label(thing.here).classes("text-sm text-gray-500")
        ui.space()
        ui.label(state).classes("text-sm whitespace-nowrap")
    if thing.line and known:
        _line(thing.line)


def _line(text: str) -> None:
    """Build a line to copy: in the browser, without a word to the server."""
    with ui.row().classes("w-full items-center no-wrap gap-1 rounded px-2 bg-gray-500/10"):
        ui.label(text).classes("font-mono text-xs whitespace-pre-wrap break-all grow min-w-0 py-1")
        ui.button(icon="content_copy").props(
            'flat dense round size=sm aria-label="Copy this line"'
        ).on("click", js_handler=f"() => navigator.clipboard.writeText({json.dumps(text)})")


def _applications(seen: Seen, receiver: str) -> None:
    with ui.card().classes("gap-1 w-full min-w-0"):
        ui.label("Applications").classes("text-base font-semibold")
        for service in seen.services:
            with ui.row().classes("items-center gap-2"):
                ui.icon("check_circle", color="positive", size="20px")
                ui.link(service.name, f"/d/gnomon-service?var-service={service.name}").classes(
                    "text-sm font-semibold"
                )
                ui.label(service.version and f"version {service.version}").classes(
                    "text-sm text-gray-500"
                )
                ui.label("part of the stack" if service.own else "").classes(
                    "text-sm text-gray-500"
                )
        if not seen.applications:
            ui.label("None of your own yet. Three lines:").classes("text-sm")
        else:
            ui.label("Another one:").classes("text-sm")
        _line(lines.APPLICATION)
        _line(lines.TARGET)
        if receiver:
            _line(lines.traces(receiver))
        else:
            ui.label("Traces are Jaeger's: applications send them there.").classes("text-sm")


def _told(seen: Seen) -> None:
    with ui.card().classes("gap-1 w-full min-w-0"):
        ui.label("Who is told of alerts").classes("text-base font-semibold")
        if seen.told is None:
            ui.label("Alertmanager does not answer, so nobody is.").classes("text-sm text-negative")
            return
        for name, kinds in seen.told:
            ui.label(f"{name}: {', '.join(kinds)}").classes("text-sm")
        if not seen.told:
            ui.label("Nobody: alerts are shown here and sent nowhere.").classes("text-sm")
            _line(lines.ALERTS)


def _scraped(seen: Seen) -> None:
    if not seen.scraped:
        return
    columns = [
        {"name": name, "label": label, "field": name, "align": "left", "sortable": True}
        for name, label in (
            ("service", "Service"),
            ("health", "Answers"),
            ("job", "Job"),
            ("address", "Address"),
            ("trouble", "Why not"),
        )
    ]
    ui.label("What is scraped").classes("text-base font-semibold mt-2")
    table = ui.table(rows=_rows(seen.scraped), columns=columns, row_key="id", pagination=25)
    table.props("dense flat bordered").classes("w-full")
    table.add_slot(
        "body-cell-health",
        "<q-td :props=\"props\" :class=\"props.row.up ? 'text-positive' : 'text-negative'\">"
        "{{ props.row.health }}</q-td>",
    )


def _rows(scraped: Sequence[Scraped]) -> list[dict[str, object]]:
    return [
        {
            "id": number,
            "service": each.service,
            "job": each.job,
            "address": each.address,
            "health": {"up": "yes", "down": "no"}.get(each.health, "not asked yet"),
            "up": each.health == "up",
            "trouble": each.trouble,
        }
        for number, each in enumerate(scraped)
    ]
