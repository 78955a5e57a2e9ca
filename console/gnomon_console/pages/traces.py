"""Traces: a list to find one in, and one as a waterfall."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from nicegui import ui

from gnomon_console import colours, units
from gnomon_console.pages.frame import page
from gnomon_console.traces.logs import as_event
from gnomon_console.traces.spans import Event, Span
from gnomon_console.traces.store import Store, Summary, Wanted

_SPANS_HOURS = {1: "Last hour", 6: "Last 6 hours", 24: "Last day", 72: "Last 3 days"}
_SHOWN = 200

#: Spans drawn in one waterfall; a trace with more is no request, and no screen shows it.
_DRAWN = 400

#: Lines shown of what one span has logged.
_LOGGED = 200

#: Pixels of one span's row.
_ROW = 24


class TracesPage:
    """Builds both pages from what the store has."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def serve(self) -> None:
        """Put them at /traces and /traces/ID."""
        ui.page("/traces")(self.list)
        ui.page("/traces/{trace_id}")(self.trace)

    async def list(self, request: Request) -> None:
        """Build the list."""
        asked = dict(request.query_params)
        hours = _number(asked.get("hours"), 1)
        wanted = Wanted(
            service=asked.get("service", "")[:200],
            route=asked.get("route", "")[:200],
            shortest=int(_number(asked.get("shortest"), 0) * 1e6),
            failed=asked.get("failed") == "yes",
            since=int((time.time() - hours * 3600) * 1e9),
            limit=_SHOWN,
        )
        found, services = await asyncio.gather(
            asyncio.to_thread(self._store.find, wanted), asyncio.to_thread(self._store.services)
        )
        with page("Traces"):
            _filters(asked, services, hours)
            if not found:
                _nothing(bool(services))
                return
            _table(found)

    async def trace(self, trace_id: str) -> None:
        """Build the waterfall of one trace."""
        spans, logs = await asyncio.gather(
            asyncio.to_thread(self._store.trace, trace_id),
            asyncio.to_thread(self._store.logs, trace_id),
        )
        with page(f"Trace {trace_id[:8]}"):
            if not spans:
                ui.label(f"Trace {trace_id} is not here: it was not sampled, or is gone by now.")
                ui.link("All traces", "/traces")
                return
            _waterfall(trace_id, spans, said(spans, logs))


def _number(text: str | None, default: float) -> float:
    try:
        found = float(text or default)
    except ValueError:
        return default
    return found if 0 <= found < 1e6 else default


def _filters(asked: Mapping[str, str], services: Sequence[str], hours: float) -> None:
    given = dict(asked)

    def go(**changed: str) -> None:
        kept = {key: value for key, value in {**given, **changed}.items() if value}
        ui.navigate.to(f"/traces?{urlencode(kept)}")

    props = "dense options-dense outlined"
    with ui.row().classes("w-full items-end gap-2"):
        ui.select(
            {"": "All", **{name: name for name in services}},
            value=asked.get("service", "") if asked.get("service", "") in services else "",
            label="Service",
            on_change=lambda event: go(service=event.value),
        ).props(props).classes("min-w-40")
        route = ui.input("Route or name", value=asked.get("route", "")).props(f"{props} clearable")
        route.on("keydown.enter", lambda: go(route=route.value or ""))
        slow = ui.number("Longer than, ms", value=_number(asked.get("shortest"), 0) or None, min=0)
        slow.props(props).classes("w-36")
        slow.on("keydown.enter", lambda: go(shortest=f"{slow.value or 0:g}"))
        times = {f"{each:g}": text for each, text in _SPANS_HOURS.items()}
        ui.select(
            times,
            value=f"{hours:g}" if f"{hours:g}" in times else "1",
            label="Time",
            on_change=lambda event: go(hours=event.value),
        ).props(props).classes("min-w-32")
        ui.checkbox(
            "Failed only",
            value=asked.get("failed") == "yes",
            on_change=lambda event: go(failed="yes" if event.value else ""),
        )
        ui.button(
            "Find", on_click=lambda: go(route=route.value or "", shortest=f"{slow.value or 0:g}")
        ).props("unelevated no-caps")


def _nothing(any_at_all: bool) -> None:
    if any_at_all:
        ui.label("No trace is like that. A longer time, or fewer conditions, may find some.")
        return
    ui.markdown(
        "No trace has come yet. An application with `gnomon.instrument(app, …)` sends its own as"
        " soon as it is started with `OTEL_EXPORTER_OTLP_ENDPOINT` set to this page's address, as"
        " in `OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:8090`."
    )


def _table(found: Sequence[Summary]) -> None:
    rows = [
        {
            "id": each.trace_id,
            "start": each.start,
            "time": _clock(each.start),
            "service": each.service,
            "name": each.name,
            "duration": each.duration,
            "took": units.text(each.duration / 1e9, "s"),
            "spans": each.spans,
            "failed": each.failed,
        }
        for each in found
    ]
    columns: list[dict[str, Any]] = [
        {"name": "start", "label": "Time", "field": "start", "sortable": True, "align": "left"},
        {
            "name": "service",
            "label": "Service",
            "field": "service",
            "sortable": True,
            "align": "left",
        },
        {"name": "name", "label": "Began with", "field": "name", "sortable": True, "align": "left"},
        {"name": "duration", "label": "Took", "field": "duration", "sortable": True},
        {"name": "spans", "label": "Spans", "field": "spans", "sortable": True},
        {"name": "failed", "label": "Failed", "field": "failed", "sortable": True},
    ]
    table = ui.table(rows=rows, columns=columns, row_key="id", pagination=50)
    table.props("dense flat bordered").classes("w-full")
    table.add_slot("body-cell-start", '<q-td :props="props">{{ props.row.time }}</q-td>')
    table.add_slot(
        "body-cell-name",
        '<q-td :props="props"><a :href="\'/traces/\' + props.row.id">{{ props.row.name }}</a>'
        "</q-td>",
    )
    table.add_slot("body-cell-duration", '<q-td :props="props">{{ props.row.took }}</q-td>')
    table.add_slot(
        "body-cell-failed",
        "<q-td :props=\"props\" :class=\"props.row.failed ? 'text-negative' : ''\">"
        "{{ props.row.failed || '' }}</q-td>",
    )
    if len(found) == _SHOWN:
        ui.label(f"The newest {_SHOWN} are shown.").classes("text-sm text-gray-500")


def _clock(at: int) -> str:
    moment = datetime.fromtimestamp(at / 1e9, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S") + f".{at // 1_000_000 % 1000:03d}"


def ordered(spans: Sequence[Span]) -> list[tuple[int, Span]]:
    """Return spans with their depth, each below the one that it is a part of.

    What has no parent here stands at the top. A circle, which no honest sender makes, is cut.
    """
    known = {span.span_id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in spans:
        below.setdefault(span.parent if span.parent in known else "", []).append(span)
    found: list[tuple[int, Span]] = []
    seen: set[str] = set()
    waiting = [(0, span) for span in reversed(below.get("", []))]
    while waiting:
        depth, span = waiting.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        found.append((depth, span))
        waiting += [(depth + 1, each) for each in reversed(below.get(span.span_id, []))]
    found += [(0, span) for span in spans if span.span_id not in seen]
    return found


def said(spans: Sequence[Span], logs: Sequence[Span]) -> dict[str, list[Event]]:
    """Return what was logged within each span, by its id, the oldest first.

    Those are its events, an exception among them, and the log records that name it.
    """
    found = {span.span_id: list(span.events) for span in spans}
    for record in logs:
        if record.span_id in found:
            found[record.span_id].append(as_event(record))
    return {key: sorted(events, key=lambda each: each.at) for key, events in found.items()}


def _waterfall(trace_id: str, spans: Sequence[Span], logged: Mapping[str, list[Event]]) -> None:
    start = min(span.start for span in spans)
    end = max(span.start + span.duration for span in spans)
    rows = ordered(spans)[:_DRAWN]
    first = rows[0][1]
    failed = sum(span.failed for span in spans)
    with ui.row().classes("w-full items-baseline gap-4"):
        ui.label(f"{first.service}: {first.name}").classes("text-lg font-semibold")
        ui.label(f"{units.text((end - start) / 1e9, 's')}, {len(spans)} spans").classes("text-sm")
        if failed:
            ui.label(f"{failed} failed").classes("text-sm text-negative")
        ui.label(_clock(start)).classes("text-sm text-gray-500")
        around = f"from={start // 1_000_000 - 900_000}&to={end // 1_000_000 + 300_000}"
        ui.link(
            "The service at that time",
            f"/d/gnomon-service?var-service={quote(first.service)}&{around}",
        )
    ui.label(trace_id).classes("text-xs text-gray-500 font-mono")
    with ui.card().classes("w-full p-2"):
        chart = ui.echart(_option(rows, start, end, logged)).classes("w-full")
        chart.style(f"height:{len(rows) * _ROW + 50}px")
    if len(spans) > len(rows):
        ui.label(f"The first {len(rows)} of {len(spans)} spans are shown.").classes("text-sm")
    details = ui.column().classes("w-full gap-1")

    def show(place: int) -> None:
        details.clear()
        with details:
            span = rows[place][1]
            _details(span, start, logged.get(span.span_id, ()))

    chart.on_point_click(lambda event: show(event.data_index))
    show(0)


def _option(
    rows: Sequence[tuple[int, Span]], start: int, end: int, logged: Mapping[str, list[Event]]
) -> dict[str, Any]:
    scale = units.scale("s", (end - start) / 1e9)
    ticks = f"{{formatter: v => +v.toPrecision(3) + '{scale.suffix}', color: '#8a8f98'}}"
    services = sorted({span.service for _, span in rows})
    shades = {name: colours.SERIES[n % len(colours.SERIES)] for n, name in enumerate(services)}

    def counted(nanoseconds: int) -> float:
        return nanoseconds / 1e9 / scale.divisor

    least = counted(max(1, end - start)) / 400
    bars = [
        {
            "value": max(least, counted(span.duration)),
            "itemStyle": {
                "color": colours.colour("red") if span.failed else shades[span.service],
                "borderRadius": 2,
            },
            "label": {"formatter": _took(span, len(logged.get(span.span_id, ())))},
        }
        for _, span in rows
    ]
    option = {
        "grid": {"left": 340, "right": 110, "top": 26, "bottom": 4, "containLabel": False},
        "xAxis": {
            "type": "value",
            "position": "top",
            "max": counted(end - start) or 1,
            ":axisLabel": ticks,
            "splitLine": {"lineStyle": {"color": "rgba(128,128,128,.18)"}},
        },
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": [
                f"{'  ' * min(depth, 12)}{span.service}  {_short(span.name)}"
                for depth, span in rows
            ],
            "axisLabel": {
                "align": "left",
                "margin": 332,
                "width": 320,
                "overflow": "truncate",
                "color": "#8a8f98",
                "interval": 0,
            },
            "axisTick": {"show": False},
            "axisLine": {"show": False},
        },
        "series": [
            {
                "type": "bar",
                "stack": "all",
                "silent": True,
                "itemStyle": {"color": "transparent"},
                "data": [counted(span.start - start) for _, span in rows],
            },
            {
                "type": "bar",
                "stack": "all",
                "barWidth": 13,
                "data": bars,
                "label": {"show": True, "position": "right", "fontSize": 11, "color": "#8a8f98"},
                "cursor": "pointer",
            },
        ],
        "animation": False,
    }
    narrow = {
        "grid": {"left": 136, "right": 92},
        "xAxis": {"splitNumber": 2},
        "yAxis": {"axisLabel": {"margin": 130, "width": 124}},
    }
    wide = {key: option[key] for key in narrow}
    return {
        "baseOption": option,
        "media": [{"query": {"maxWidth": 640}, "option": narrow}, {"option": wide}],
    }


def _took(span: Span, logged: int) -> str:
    lines = f" · {logged} log{'s' if logged > 1 else ''}" if logged else ""
    return units.text(span.duration / 1e9, "s") + lines


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"


def _details(span: Span, start: int, logged: Sequence[Event]) -> None:
    with ui.card().classes("w-full gap-1"):
        with ui.row().classes("items-baseline gap-3"):
            ui.label(span.name).classes("font-semibold")
            ui.label(f"{span.service} · {span.kind or 'internal'}").classes("text-sm text-gray-500")
            ui.label(
                f"began after {units.text((span.start - start) / 1e9, 's')},"
                f" took {units.text(span.duration / 1e9, 's')}"
            ).classes("text-sm")
            if span.failed:
                ui.label("failed").classes("text-sm text-negative")
        if logged:
            ui.label("Logs").classes("text-sm font-semibold mt-1")
        for event in logged[:_LOGGED]:
            _event(event, span.start)
        if len(logged) > _LOGGED:
            ui.label(f"The first {_LOGGED} of {len(logged)} are shown.").classes("text-sm")
        _pairs("Attributes", span.attributes)
        _pairs("Process", span.resource)


def _event(event: Event, start: int) -> None:
    """Build what was logged: when, how grave, what; an exception with its stack trace."""
    rest = dict(event.attributes)
    severity = str(rest.pop("severity", ""))
    trace = str(rest.pop("exception.stacktrace", ""))
    what = [str(rest.pop(f"exception.{part}", "")) for part in ("type", "message")]
    raised = ": ".join(part for part in what if part)
    grave = bool(raised) or severity.upper() in {"ERROR", "FATAL", "CRITICAL"}
    with ui.row().classes("w-full items-baseline gap-3 no-wrap"):
        after = units.text((event.at - start) / 1e9, "s")
        ui.label(f"+{after}").classes("text-xs text-gray-500 whitespace-nowrap w-16")
        if severity:
            ui.label(severity).classes("text-xs" + (" text-negative" if grave else ""))
        with ui.column().classes("gap-0 min-w-0"):
            text = event.name if event.name != "exception" or not raised else ""
            for line in filter(None, (text, raised)):
                ui.label(line).classes(
                    "text-sm font-mono break-words whitespace-pre-wrap max-w-full"
                    + (" text-negative" if grave else "")
                )
            if rest:
                ui.label(
                    "  ".join(f"{key}={value}" for key, value in sorted(rest.items()))
                ).classes("text-xs text-gray-500 font-mono break-all")
    if trace:
        with ui.expansion("Stack trace").props("dense").classes("w-full text-sm"):
            ui.label(trace).classes("font-mono text-xs whitespace-pre overflow-x-auto block")


def _pairs(title: str, pairs: Mapping[str, Any]) -> None:
    if not pairs:
        return
    ui.label(title).classes("text-sm font-semibold mt-1")
    with (
        ui.element("dl")
        .classes("grid gap-x-4 text-sm w-full")
        .style("grid-template-columns: minmax(8rem, max-content) 1fr")
    ):
        for key, value in sorted(pairs.items()):
            with ui.element("dt").classes("text-gray-500"):
                ui.label(key)
            with ui.element("dd").classes("font-mono break-all whitespace-pre-wrap"):
                ui.label(str(value))
