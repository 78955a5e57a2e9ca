"""Spans as OTLP says them, and as the store keeps them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

#: What a text may be long; the rest of a longer one is cut off.
LONGEST = 4096

#: Attributes and events of one span, at most.
_ATTRIBUTES, _EVENTS = 128, 64

#: The kind of what is no span but a log record in one; see ``traces.logs``.
LOG = "log"

_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}

#: SQLite's integers.
LAST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span: a log record, an exception. In Unix nanoseconds."""

    at: int
    name: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Ids are hexadecimal, "" for no parent; times are Unix nanoseconds."""

    trace_id: str
    span_id: str
    parent: str
    service: str
    name: str
    kind: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: tuple[Event, ...]

    @property
    def duration(self) -> int:
        """Nanoseconds from its start to its end, 0 for clocks that went backwards."""
        return max(0, self.end - self.start)

    @property
    def route(self) -> str:
        """The route of the request that it stands for, "" for another span."""
        return str(self.attributes.get("http.route", ""))

    def body(self) -> str:
        """Return all that no column of the store has, as JSON."""
        return json.dumps(
            [
                self.attributes,
                self.resource,
                [[event.at, event.name, event.attributes] for event in self.events],
            ],
            separators=(",", ":"),
        )


def decoded(body: bytes, *, as_json: bool) -> list[Span]:
    """Return the spans of an OTLP request. Raise ValueError for what is none.

    Spans without the ids that the specification asks for are left out, as it says.
    """
    request = ExportTraceServiceRequest()
    parse(body, request, as_json=as_json)
    return list(_spans(request))


def parse(body: bytes, request: Message, *, as_json: bool) -> None:
    """Read an OTLP request. Raise ValueError for what is none."""
    try:
        if as_json:
            Parse(_hex_ids(body), request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (DecodeError, ParseError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not an OTLP request of this kind: {error}") from None


def _hex_ids(body: bytes) -> str:
    """Return OTLP's JSON as protobuf's: OTLP writes ids as hexadecimal, protobuf as base 64."""
    import base64  # noqa: PLC0415  # few senders speak JSON

    def rewritten(given: Any) -> Any:
        if isinstance(given, dict):
            return {
                key: (
                    base64.b64encode(bytes.fromhex(value)).decode()
                    if key in {"traceId", "spanId", "parentSpanId"} and isinstance(value, str)
                    else rewritten(value)
                )
                for key, value in given.items()
            }
        return [rewritten(each) for each in given] if isinstance(given, list) else given

    try:
        return json.dumps(rewritten(json.loads(body)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not an OTLP request of this kind: {error}") from None


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = attributes_of(group.resource.attributes)
        service = str(resource.pop("service.name", "unknown"))[:LONGEST]
        for scope in group.scope_spans:
            for sent in scope.spans:
                if len(sent.trace_id) == 16 and len(sent.span_id) == 8:
                    yield _span(sent, service, resource)


def _span(sent: Sent, service: str, resource: dict[str, Any]) -> Span:
    attributes = attributes_of(sent.attributes)
    if sent.status.message:
        attributes["status.message"] = sent.status.message[:LONGEST]
    return Span(
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent=sent.parent_span_id.hex(),
        service=service,
        name=sent.name[:LONGEST],
        kind=_KINDS.get(sent.kind, ""),
        start=min(sent.start_time_unix_nano, LAST_NS),
        end=min(sent.end_time_unix_nano, LAST_NS),
        failed=sent.status.code == 2,
        attributes=attributes,
        resource=resource,
        events=tuple(
            Event(
                min(event.time_unix_nano, LAST_NS),
                event.name[:LONGEST],
                attributes_of(event.attributes),
            )
            for event in sent.events[:_EVENTS]
        ),
    )


def attributes_of(given: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes, as many and as long as they may be."""
    found: dict[str, Any] = {}
    for each in given:
        if len(found) >= _ATTRIBUTES:
            break
        # The end of a stack trace says what happened.
        if each.key == "exception.stacktrace":
            found[each.key] = each.value.string_value[-LONGEST:]
        else:
            found[each.key[:LONGEST]] = value_of(each.value)
    return found


def value_of(given: AnyValue, depth: int = 0) -> Any:
    """Return a value, None for none and for what lies too deep."""
    kind = given.WhichOneof("value")
    if kind is None or depth > 4:
        return None
    value = getattr(given, kind)
    if kind == "string_value":
        return value[:LONGEST]
    if kind == "array_value":
        return [value_of(each, depth + 1) for each in value.values[:_ATTRIBUTES]]
    if kind == "kvlist_value":
        return {each.key[:LONGEST]: value_of(each.value, depth + 1) for each in value.values}
    if kind == "bytes_value":
        return value[: LONGEST // 2].hex()
    return value if kind != "double_value" or abs(value) < float("inf") else str(value)
