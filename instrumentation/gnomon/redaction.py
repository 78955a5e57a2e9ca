"""What client libraries' spans tell more than they should: values of queries, texts of errors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status

from gnomon import guard
from gnomon.databases.statements import shape

if TYPE_CHECKING:
    from collections.abc import Mapping

#: OpenTelemetry's instrumentations, which are others' code; what the application traces is its own.
_SCOPE = "opentelemetry.instrumentation."

_URLS = ("url.full", "http.url", "http.target")
_STATEMENTS = ("db.query.text", "db.statement")
_DROPPED = ("url.query", "exception.message", "exception.stacktrace")
_SYSTEMS = ("db.system.name", "db.system")


def clean(span: ReadableSpan) -> ReadableSpan:
    """Return an ended span without what may be secret in it. Never raises.

    URLs keep their path, statements their shape, errors their class.
    """
    scope = span.instrumentation_scope
    if scope is None or not scope.name.startswith(_SCOPE):
        return span
    attributes: dict[str, Any] = {}
    events: list[Event] = []
    try:
        attributes = _attributes(span.attributes or {})
        events = [
            Event(event.name, _attributes(event.attributes or {}), event.timestamp)
            for event in span.events
        ]
    except Exception:
        guard.failed("redaction")
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=scope,
    )


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in given.items() if name not in _DROPPED}
    for name in _URLS:
        if isinstance(url := kept.get(name), str):
            kept[name] = _without_query(url)
    system = str(next((given[name] for name in _SYSTEMS if name in given), ""))
    for name in _STATEMENTS:
        # Redis' commands come without their arguments' values.
        if isinstance(statement := kept.get(name), str) and system != "redis":
            kept[name] = _shape(statement, system)
    return kept


def _without_query(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@lru_cache(maxsize=512)
def _shape(statement: str, system: str) -> str:
    return shape(statement, system)
