"""What fires now, with what to do about it; and what has been."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from nicegui import ui

from gnomon_console import units
from gnomon_console.alerts.alertmanager import Alert, Alertmanager, AlertsError, Silence
from gnomon_console.alerts.history import Episode, History, means
from gnomon_console.alerts.runbooks import section
from gnomon_console.pages.frame import page

_BADNESS = {"critical": 0, "warning": 1, "info": 2}
_COLOURS = {"critical": "negative", "warning": "warning", "info": "info"}
_LASTS = {1: "1 hour", 2: "2 hours", 4: "4 hours", 8: "8 hours", 24: "1 day"}

#: How far back the history goes on the page.
_WEEKS = 5


class AlertsPage:
    """Builds the page from what the history knows, and hands on what somebody decides."""

    def __init__(self, history: History, alertmanager: Alertmanager, root: Path) -> None:
        self._history = history
        self._alertmanager = alertmanager
        self._root = root

    def serve(self) -> None:
        """Put it at /alerts."""
        ui.page("/alerts")(self.build)

    def build(self) -> None:
        """Build it."""
        with page("Alerts"):
            shown: list[object] = []

            def state() -> list[object]:
                now = self._history
                return [
                    now.trouble,
                    [(a.fingerprint, a.silences) for a in now.alerts],
                    [s.id for s in now.silences],
                ]

            @ui.refreshable
            def live() -> None:
                shown[:] = state()
                self._firing()
                self._silences()

            live()
            # Only what has changed is sent: a page that is looked at costs next to nothing.
            ui.timer(2, lambda: live.refresh() if state() != shown else None)
            self._past()

    def _firing(self) -> None:
        if self._history.trouble:
            ui.label(f"Not up to date: {self._history.trouble}").classes("text-negative")
        alerts = [each for each in self._history.alerts if each.severity in _BADNESS]
        alerts.sort(key=lambda each: (each.service, _BADNESS[each.severity], each.name))
        if not alerts and not self._history.trouble:
            with ui.row().classes("items-center gap-2 p-2"):
                ui.icon("check_circle", color="positive", size="28px")
                ui.label("Nothing fires.").classes("text-lg")
        for service, group in groupby(alerts, key=lambda each: each.service):
            ui.label(service or "no service").classes("text-base font-semibold mt-2")
            for alert in group:
                self._alert(alert)

    def _alert(self, alert: Alert) -> None:
        took = units.text((datetime.now(UTC) - alert.since).total_seconds(), "s", 0)
        by = {each.id: each for each in self._history.silences}
        holds = [by[each] for each in alert.silences if each in by]
        faint = " opacity-60" if holds or alert.inhibited else ""
        with ui.card().classes(f"w-full gap-1 p-3{faint}"):
            with ui.row().classes("w-full items-center gap-2"):
                ui.badge(alert.severity, color=_COLOURS[alert.severity])
                ui.label(alert.annotations.get("summary", alert.name)).classes("font-semibold")
                ui.space()
                ui.label(f"for {took}").classes("text-sm text-gray-500")
            if text := alert.annotations.get("description"):
                ui.label(text).classes("text-sm")
            hidden = {"alertname", "severity", "service", "host"}
            labels = [f"{k}={v}" for k, v in sorted(alert.labels.items()) if k not in hidden]
            ui.label("  ".join([alert.name, *labels])).classes("text-xs text-gray-500 font-mono")
            for silence in holds:
                word = "Taken" if silence.acknowledges else "Silenced"
                ui.label(f"{word} by {silence.author}: {silence.comment}").classes("text-sm")
            if alert.inhibited:
                ui.label("Held back: a graver alert explains it.").classes("text-sm")
            with ui.row().classes("gap-1"):
                if runbook := section(self._root, alert.annotations.get("runbook_url", "")):
                    ui.button(
                        "Runbook", icon="menu_book", on_click=lambda: _runbook(runbook)
                    ).props("flat dense no-caps")
                if link := alert.annotations.get("dashboard_url"):
                    ui.button("Dashboard", icon="dashboard").props(
                        f'flat dense no-caps href="{link}"'
                    )
                if not holds:
                    ui.button(
                        "Acknowledge", icon="how_to_reg", on_click=lambda: self._take(alert)
                    ).props("flat dense no-caps")

    def _take(self, alert: Alert) -> None:
        with ui.dialog(value=True) as dialog, ui.card().classes("w-96"):
            ui.label(f"Take {alert.name}").classes("text-lg font-semibold")
            author = ui.input("Your name", validation={"Who are you?": bool}).classes("w-full")
            reason = ui.input("What you do about it").classes("w-full")
            hours = ui.select(_LASTS, value=2, label="Silent for").classes("w-full")

            async def done() -> None:
                if not author.validate():
                    return
                try:
                    await self._alertmanager.acknowledge(
                        alert.labels,
                        str(author.value).strip(),
                        str(reason.value or "").strip(),
                        timedelta(hours=hours.value or 1),
                    )
                    await self._history.look()
                    dialog.close()
                except AlertsError as error:
                    ui.notify(str(error), type="negative")

            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
                ui.button("Acknowledge", on_click=done).props("no-caps")

    def _silences(self) -> None:
        if not self._history.silences:
            return
        ui.label("Silences").classes("text-base font-semibold mt-3")
        for silence in self._history.silences:
            with ui.row().classes("w-full items-center gap-3"):
                ui.label(silence.matchers).classes("text-sm font-mono break-all max-w-3xl")
                left = units.text((silence.ends - datetime.now(UTC)).total_seconds(), "s", 0)
                ui.label(f"{silence.author}: {silence.comment}; {left} left").classes("text-sm")
                ui.button("End", on_click=lambda each=silence: self._end(each)).props(
                    "flat dense no-caps"
                )

    async def _end(self, silence: Silence) -> None:
        try:
            await self._alertmanager.expire(silence.id)
            await self._history.look()
        except AlertsError as error:
            ui.notify(str(error), type="negative")

    def _past(self) -> None:
        episodes = self._history.episodes(time.time() - _WEEKS * 7 * 86400)
        ui.label("History").classes("text-base font-semibold mt-4")
        if not episodes:
            ui.label("Nothing has fired while the console looked.").classes("text-sm")
            return
        _means(episodes)
        _episodes(episodes)


def _runbook(markdown: str) -> None:
    with ui.dialog(value=True) as dialog, ui.card().classes("max-w-4xl w-full"):
        ui.markdown(markdown).classes("w-full")
        ui.button("Close", on_click=dialog.close).props("flat no-caps")


def _lasted(seconds: float | None) -> str:
    return "" if seconds is None else units.text(seconds, "s", 0 if seconds < 7200 else 1)


def _means(episodes: Sequence[Episode]) -> None:
    rows = [
        {
            "service": each.service or "no service",
            "count": each.count,
            "take": _lasted(each.to_take),
            "end": _lasted(each.to_end),
            "between": _lasted(each.between),
        }
        for each in means(episodes)
    ]
    titles = {
        "service": "Service",
        "count": f"Alerts in {_WEEKS} weeks",
        "take": "Until taken (MTTA)",
        "end": "Until over (MTTR)",
        "between": "Between two (MTBF)",
    }
    _table(titles, rows, "service")


def _episodes(episodes: Sequence[Episode]) -> None:
    rows = [
        {
            "number": number,
            "began": datetime.fromtimestamp(each.began, UTC)
            .astimezone()
            .strftime("%Y-%m-%d %H:%M"),
            "summary": each.summary,
            "severity": each.severity,
            "service": each.service,
            "lasted": "fires" if each.ended is None else _lasted(each.ended - each.began),
            "taker": each.taker,
        }
        for number, each in enumerate(episodes)
    ]
    titles = {
        "began": "Began",
        "severity": "Severity",
        "service": "Service",
        "summary": "What",
        "lasted": "Lasted",
        "taker": "Taken by",
    }
    _table(titles, rows, "number")


def _table(titles: dict[str, str], rows: list[dict[str, object]], key: str) -> None:
    columns = [
        {"name": name, "label": title, "field": name, "align": "left", "sortable": True}
        for name, title in titles.items()
    ]
    table = ui.table(rows=rows, columns=columns, row_key=key, pagination=25)
    table.props("dense flat bordered wrap-cells").classes("w-full")
