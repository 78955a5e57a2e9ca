"""The question that comes before an acknowledgement: who, why, for how long."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

from nicegui import ui

from gnomon_console.access import visitor
from gnomon_console.alerts.alertmanager import Alert, AlertsError
from gnomon_console.alerts.watch import Watch

#: Hours; 0 for as long as it fires.
_LASTS = {1: "1 hour", 2: "2 hours", 4: "4 hours", 8: "8 hours", 24: "1 day", 0: "Until it is over"}

#: Where the browser keeps the name of whoever has not logged in.
_NAME = "gnomon-name"

_LONGEST = 300


def take(watch: Watch, alerts: Sequence[Alert]) -> None:
    """Ask, and acknowledge what somebody takes."""
    who = visitor()
    title = alerts[0].name if len(alerts) == 1 else f"{len(alerts)} alerts {alerts[0].name}"
    named = 'aria-label="Acknowledge"'
    with ui.dialog(value=True).props(named) as dialog, ui.card().classes("w-96"):
        ui.label(f"Acknowledge {title[:_LONGEST]}").classes("text-lg font-semibold break-all")
        author = ui.input(
            "Your name",
            value=who.name,
            validation={"Who are you?": lambda value: bool(value and value.strip())},
        )
        author.classes("w-full").props(f"maxlength={_LONGEST}").set_enabled(not who.name)
        reason = ui.input("What you do about it").classes("w-full").props(f"maxlength={_LONGEST}")
        hours = ui.select(_LASTS, value=2, label="Nobody else is told for").classes("w-full")

        async def done() -> None:
            if not visitor().may_change or not author.validate():
                return
            name = visitor().name or str(author.value).strip()[:_LONGEST]
            why = str(reason.value or "").strip()[:_LONGEST]
            lasts = timedelta(hours=hours.value) if hours.value else None
            button.disable()
            said = await asyncio.gather(
                *(watch.acknowledge(each.labels, name, why, lasts) for each in alerts),
                return_exceptions=True,
            )
            button.enable()
            refused = [each for each in said if isinstance(each, BaseException)]
            for each in refused:
                if not isinstance(each, AlertsError):
                    raise each
            if refused:
                ui.notify(str(refused[0]), type="negative")
                return
            if not who.name:
                ui.run_javascript(f"localStorage.setItem('{_NAME}', {json.dumps(name)})")
            dialog.close()

        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            button = ui.button("Acknowledge", on_click=done).props("unelevated no-caps")
    dialog.on("hide", dialog.delete)
    if not who.name:

        async def remembered() -> None:
            try:
                found = await ui.run_javascript(f"localStorage.getItem('{_NAME}')", timeout=30)
            except TimeoutError:  # the page was left
                return
            if isinstance(found, str) and not author.value:
                author.set_value(found[:_LONGEST])

        ui.timer(0, remembered, once=True)
