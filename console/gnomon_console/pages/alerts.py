"""What fires now, who is told of it, and what to do about it; and what has been."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from nicegui import ui

from gnomon_console import units
from gnomon_console.access import visitor
from gnomon_console.alerts import firing, leases
from gnomon_console.alerts.alertmanager import Alert, AlertsError, Silence
from gnomon_console.alerts.routes import Step, steps
from gnomon_console.alerts.runbooks import section
from gnomon_console.alerts.watch import Watch
from gnomon_console.pages.alerts_past import Past
from gnomon_console.pages.alerts_taking import take
from gnomon_console.pages.frame import page

_BADNESS = {"critical": 0, "warning": 1, "info": 2}
_COLOURS = {"critical": "negative", "warning": "warning", "info": "info"}
_EDGES = {"critical": "#e0364c", "warning": "#e8871e", "info": "#3b82d6"}

#: Alerts of one name that are shown until somebody wants them all; silences likewise.
_SHOWN = 8

#: Alerts on the page, at most: the gravest services'.
_MOST = 300

#: Characters of a text that are shown: a label may hold a novel.
_LONGEST = 600

#: Labels that stand elsewhere, or say what another does.
_HIDDEN = {"alertname", "severity", "service", "host"}

#: Seconds between two looks at what time alone changes.
_TICK_S = 10.0


@dataclass(slots=True)
class _View:
    """What one viewer has chosen. labels: of the alert in detail; tapped: by the viewer's hand.

    opened: the names of which all alerts are shown.
    """

    labels: Mapping[str, str] | None = None
    tapped: bool = False
    opened: set[tuple[str, str]] = field(default_factory=set)


class AlertsPage:
    """Builds the page from what the watch knows, and hands on what somebody decides."""

    def __init__(self, watch: Watch, root: Path) -> None:
        self._watch = watch
        self._root = root

    def serve(self) -> None:
        """Put it at /alerts."""
        ui.page("/alerts")(self.build)

    def build(self) -> None:
        """Build it."""
        with page("Alerts"):
            _Open(self._watch, self._root).build()


class _Open:
    """The page as one viewer has it open."""

    def __init__(self, watch: Watch, root: Path) -> None:
        self._watch = watch
        self._root = root
        self._view = _View()
        self._alerts: list[Alert] = []
        self._total = 0
        self._parts: list[tuple[Callable[[], object], Callable[[], object], list[object]]] = []
        self._ages: list[tuple[ui.label, Callable[[], str]]] = []

    def build(self) -> None:
        """Build it, and keep it up to date."""
        self._look()
        self._part(self._troubles, lambda: self._watch.now.trouble)
        with ui.element("div").classes("alerts"):
            with ui.column().classes("w-full gap-1"):
                self._part(self._rows, self._rows_state)
            with ui.column().classes("w-full gap-2 alert-side"):
                self._part(self._side, self._detail_state)
        self._part(self._silences, self._silences_state)
        Past(self._watch).build()
        # Dialogs stay as they are while what is behind them changes.
        self._front = ui.element("div")
        self._watch.changed.subscribe(self._refresh)
        ui.timer(_TICK_S, self._refresh)

    def _part(self, build: Callable[[], None], state: Callable[[], object]) -> None:
        """Build a part of the page, which is built again when what it shows has changed."""
        part = ui.refreshable(build)
        self._parts.append((part.refresh, state, [state()]))
        part()

    def _refresh(self) -> None:
        self._look()
        for refresh, state, shown in self._parts:
            if [now := state()] != shown:
                shown[:] = [now]
                refresh()
        self._ages = [each for each in self._ages if not each[0].is_deleted]
        for label, words in self._ages:
            label.set_text(words())

    def _look(self) -> None:
        alerts = [each for each in self._watch.now.alerts if each.severity in _BADNESS]
        self._total = len(alerts)
        worst: dict[str, int] = {}
        for each in alerts:
            badness = _BADNESS[each.severity]
            worst[each.service] = min(badness, worst.get(each.service, badness))
        self._alerts = sorted(
            alerts,
            key=lambda each: (
                worst[each.service],
                each.service,
                _BADNESS[each.severity],
                each.name,
                sorted(each.labels.items()),
            ),
        )[:_MOST]

    def _chosen(self) -> Alert | None:
        """Return the alert in detail: the one that was chosen, or the first."""
        wanted = self._view.labels
        if wanted is not None:
            found = [each for each in self._alerts if firing.same(each.labels, wanted)]
            if found:
                return found[0]
        return self._alerts[0] if self._alerts else None

    def _choose(self, alert: Alert) -> None:
        again = self._view.tapped and alert == self._chosen()
        self._view.labels, self._view.tapped = alert.labels, not again
        self._refresh()

    # What there is to see of an alert; each is compared with what is shown.

    def _holds(self, alert: Alert) -> list[Silence]:
        by = {each.id: each for each in self._watch.now.silences}
        return [by[each] for each in alert.silences if each in by]

    def _steps(self, alert: Alert) -> list[Step]:
        now = self._watch.now
        if now.routes is None or not alert.known:
            return []
        return steps(alert, now.routes.of(alert.labels), now.silences, datetime.now(UTC))

    def _rows_state(self) -> object:
        chosen = self._chosen()
        return (
            [(each.labels, _summary(each), self._chip(each)) for each in self._alerts],
            self._total,
            self._view.opened.copy(),
            chosen and chosen.labels,
            # What is known in detail changes more often, and stands here on small screens alone.
            self._detail_state() if self._view.tapped else None,
        )

    def _detail_state(self) -> object:
        alert = self._chosen()
        return alert and (
            alert,
            [(each.id, _until(each)) for each in self._holds(alert)],
            self._steps(alert),
        )

    def _silences_state(self) -> object:
        return [(each.id, _until(each)) for each in self._others()]

    def _troubles(self) -> None:
        for name, why in self._watch.now.trouble.items():
            with ui.row().classes(
                "w-full items-center gap-2 p-2 rounded border border-red-500 no-wrap"
            ):
                ui.icon("warning", color="negative", size="20px")
                # What Prometheus and Alertmanager refuse begins with their names.
                said = f"The history {why}" if name == "History" else why
                ui.label(_short(said)).classes("text-sm break-words min-w-0")

    def _rows(self) -> None:
        if not self._alerts:
            if not {"Alertmanager", ""} & self._watch.now.trouble.keys():
                with ui.row().classes("items-center gap-2 p-2"):
                    ui.icon("check_circle", color="positive", size="28px")
                    ui.label("Nothing fires.").classes("text-lg")
            return
        self._counts()
        for service, ours in groupby(self._alerts, key=lambda each: each.service):
            ui.label(_short(service, 80) or "no service").classes(
                "text-base font-semibold mt-1 max-w-full truncate"
            )
            for name, group in groupby(ours, key=lambda each: each.name):
                self._group(service, name, list(group))
        if self._total > _MOST:
            ui.label(f"{self._total - _MOST} more alerts fire.").classes("text-sm")

    def _counts(self) -> None:
        held = [each for each in self._alerts if each.silences or each.inhibited]
        with ui.row().classes("items-center gap-2"):
            for severity, colour in _COLOURS.items():
                count = sum(each.severity == severity for each in self._alerts)
                if count:
                    ui.badge(f"{count} {severity}", color=colour).classes("text-sm px-2 py-1")
            if held:
                ui.label(f"{len(held)} of them taken or held back").classes("text-sm")

    def _group(self, service: str, name: str, alerts: Sequence[Alert]) -> None:
        key = (service, name)
        shown = alerts if key in self._view.opened else alerts[:_SHOWN]
        for alert in shown:
            self._row(alert)
            if self._view.tapped and alert == self._chosen():
                with ui.element("div").classes("w-full alert-inline"):
                    self._detail(alert)
        free = [each for each in alerts if not each.silences and each.known]
        if len(shown) == len(alerts) and (len(free) < 2 or not visitor().may_change):
            return
        with ui.row().classes("gap-1"):
            if len(shown) < len(alerts):

                def more() -> None:
                    self._view.opened.add(key)
                    self._refresh()

                ui.button(f"{len(alerts) - len(shown)} more", on_click=more).props(
                    "flat dense no-caps size=sm icon=expand_more"
                )
            if len(free) > 1 and visitor().may_change:
                ui.button(f"Acknowledge all {len(free)}", on_click=lambda: self._take(free)).props(
                    "flat dense no-caps size=sm icon=how_to_reg"
                )

    def _row(self, alert: Alert) -> None:
        chosen = alert == self._chosen()
        held = bool(alert.silences or alert.inhibited)
        with (
            ui.button(on_click=lambda: self._choose(alert), color=None)
            .props("flat no-caps align=left padding=none")
            .classes(f"alert-row w-full rounded {'chosen' if chosen else ''}")
            .style(f"border-left: 4px {'dotted' if held else 'solid'} {_EDGES[alert.severity]}"),
            ui.element("div").classes("w-full min-w-0 px-3 py-2 text-left leading-snug"),
        ):
            with ui.element("div").classes("flex items-baseline gap-2 no-wrap"):
                ui.label(_summary(alert)).classes(
                    f"truncate flex-1 min-w-0 {'faint' if held else 'font-semibold'}"
                )
                self._age(alert.since, "text-xs whitespace-nowrap faint")
            with ui.element("div").classes("flex items-baseline gap-2 no-wrap text-xs faint"):
                ui.label(" ".join([alert.name, *_labels(alert)])).classes("truncate flex-1 min-w-0")
                if chip := self._chip(alert):
                    ui.label(chip).classes("whitespace-nowrap truncate max-w-[60%]")

    def _chip(self, alert: Alert) -> str:
        """Return how it stands with an alert, in a few words."""
        holds = self._holds(alert)
        if holds:
            took = leases.lease(holds[0]) is not None
            return f"{'taken' if took else 'silenced'} by {_short(holds[0].author, 40)}"
        if not alert.known and "Alertmanager" not in self._watch.now.trouble:
            return "not at Alertmanager"
        if alert.inhibited:
            return "explained by a graver one"
        waiting = [each for each in self._steps(alert) if each.state == "next"]
        if waiting and waiting[0].at:
            return f"tells {_short(waiting[0].route.receiver, 30)} at {_clock(waiting[0].at)}"
        return ""

    def _age(self, since: datetime, classes: str) -> None:
        def words() -> str:
            return _lasts((datetime.now(UTC) - since).total_seconds())

        self._ages.append((ui.label(words()).classes(classes), words))

    def _side(self) -> None:
        if alert := self._chosen():
            self._detail(alert)

    def _detail(self, alert: Alert) -> None:
        with ui.card().classes("w-full gap-2 p-4 min-w-0").props("flat bordered"):
            with ui.row().classes("w-full items-center gap-2"):
                ui.badge(alert.severity, color=_COLOURS[alert.severity])
                ui.label(_short(alert.name, 120)).classes("text-sm faint break-all")
                ui.space()
                ui.label(f"since {_clock(alert.since)}").classes("text-sm faint")
            ui.label(_summary(alert)).classes("text-lg font-semibold break-words max-w-full")
            if text := alert.annotations.get("description"):
                ui.label(_short(text)).classes("text-sm break-words max-w-full")
            if labels := _labels(alert):
                with ui.row().classes("gap-1 max-w-full"):
                    for label in labels:
                        ui.label(label).classes("alert-label text-xs font-mono break-all")
            self._way(alert)
            self._actions(alert)
        if runbook := section(self._root, alert.annotations.get("runbook_url", "")):
            with ui.card().classes("w-full p-4 mt-2 min-w-0").props("flat bordered"):
                ui.markdown(runbook).classes("runbook w-full min-w-0")

    def _way(self, alert: Alert) -> None:
        """Show who is told of an alert, and what keeps it from them."""
        if not alert.known:
            if "Alertmanager" not in self._watch.now.trouble:
                _line("help", "Only Prometheus has it, Alertmanager has not: nobody is told.")
            return
        for silence in self._holds(alert):
            took = leases.lease(silence)
            word = "Taken by" if took else "Silenced by"
            why = f": {leases.reason(silence)}" if leases.reason(silence) else ""
            when = f"since {_clock(silence.starts)}, {_until(silence)}"
            with ui.row().classes("w-full items-center gap-2 no-wrap"):
                ui.icon("how_to_reg" if took else "notifications_off", color="primary", size="20px")
                ui.label(_short(f"{word} {silence.author}{why} · {when}")).classes(
                    "text-sm break-words min-w-0 flex-1"
                )
                if visitor().may_change:
                    ui.button("Let go", on_click=lambda each=silence: self._end(each)).props(
                        "flat dense no-caps size=sm"
                    )
        if alert.inhibited:
            _line("call_merge", "Held back: something graver that fires explains it.")
        if self._watch.now.routes is None:
            return
        ways = self._steps(alert)
        for step in ways:
            _line(_ICONS[step.state], _words(step))
        if not ways:
            _line("notifications_none", "Nobody is told: no receiver is set up for it.")

    def _actions(self, alert: Alert) -> None:
        with ui.row().classes("gap-2"):
            if not alert.silences and alert.known and visitor().may_change:
                ui.button(
                    "Acknowledge", icon="how_to_reg", on_click=lambda: self._take([alert])
                ).props("unelevated dense no-caps padding='4px 12px'")
            for title, icon, link in (
                ("Dashboard", "dashboard", alert.annotations.get("dashboard_url", "")),
                ("Graph", "show_chart", alert.source),
            ):
                if link.startswith(("http://", "https://", "/")):
                    button = ui.button(title, icon=icon)
                    button.props("flat dense no-caps padding='4px 8px'")
                    # By itself: within a text of properties it could say anything.
                    button.props["href"] = link

    def _take(self, alerts: Sequence[Alert]) -> None:
        with self._front:
            take(self._watch, alerts)

    def _others(self) -> list[Silence]:
        """Return the silences that hold and belong to no alert on the page."""
        ours = {each for alert in self._alerts for each in alert.silences}
        return [each for each in self._watch.now.silences if each.active and each.id not in ours]

    def _silences(self) -> None:
        others = self._others()
        if not others:
            return
        ui.label("Silences of what does not fire now").classes("text-base font-semibold mt-3")
        for silence in others[: _SHOWN * 4]:
            with ui.row().classes("w-full items-center gap-3"):
                ui.label(_short(silence.words)).classes("text-sm font-mono break-all max-w-3xl")
                ui.label(
                    _short(f"{silence.author}: {leases.reason(silence)} · {_until(silence)}")
                ).classes("text-sm break-words")
                if visitor().may_change:
                    ui.button("End", on_click=lambda each=silence: self._end(each)).props(
                        "flat dense no-caps size=sm"
                    )

    async def _end(self, silence: Silence) -> None:
        if not visitor().may_change:
            return
        try:
            await self._watch.expire(silence.id)
        except AlertsError as error:
            ui.notify(str(error), type="negative")


_ICONS = {
    "told": "mark_email_read",
    "next": "schedule",
    "held": "notifications_paused",
    "hours": "calendar_month",
}


def _words(step: Step) -> str:
    """Return where an alert is on its way to a receiver."""
    route = step.route
    who = f"{_short(route.receiver, 60)} ({', '.join(route.channels)})"
    if step.state == "told" and step.at:
        return f"{who}: told at {_clock(step.at)}"
    if step.state == "next" and step.at:
        return f"{who}: will be told at {_clock(step.at)}, unless it is over or taken by then"
    if step.state == "hours":
        return f"{who}: told in its hours ({', '.join(route.hours)})"
    if step.by:
        then = f"; told at {_clock(step.at)} if it still fires" if step.at else ""
        return f"{who}: not told, for {_short(step.by, 60)} has it{then}"
    return f"{who}: not told"


def _line(icon: str, text: str) -> None:
    with ui.row().classes("w-full items-center gap-2 no-wrap"):
        ui.icon(icon, size="20px").classes("faint")
        ui.label(text).classes("text-sm break-words min-w-0")


def _until(silence: Silence) -> str:
    """Return when a silence will end, as far as it is meant to."""
    found = leases.lease(silence)
    if found and found.until is None:
        return "until it is over"
    return f"until {_clock(found.until if found and found.until else silence.ends)}"


def _clock(moment: datetime) -> str:
    """Return a time by this machine's clock, with its day where that is another."""
    here = moment.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return here.strftime("%H:%M" if here.date() == today else "%d %b %H:%M")


def _lasts(seconds: float) -> str:
    return f"for {units.text(max(0, seconds), 's', 0)}"


def _summary(alert: Alert) -> str:
    return _short(alert.annotations.get("summary", "") or alert.name)


def _labels(alert: Alert) -> list[str]:
    return [
        _short(f"{name}={value}", 200)
        for name, value in sorted(alert.labels.items())
        if name not in _HIDDEN
    ]


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
