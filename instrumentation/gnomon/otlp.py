"""Spans as OTLP's bytes, without the protobuf objects that take ten times as long to make.

The fields and their numbers are those of opentelemetry-proto's trace.proto; what comes out reads as
what OpenTelemetry's own encoder writes, the parts that it cannot encode left out one by one where
it gives up a whole batch.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import DEFAULT_TRACE_STATE, SpanKind, StatusCode

from gnomon import guard
from gnomon.lightspan import LightSpan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link

#: Most pairs of an attribute's key and value that are remembered encoded.
PAIRS = 1024

#: Longest text, in characters, that is: what is longer hardly comes twice.
LONG = 128

#: Deepest nesting of an attribute's value. A list in it takes three messages at most, and readers
#: refuse what is nested in more than a hundred.
DEEP = 30

_SIZES = tuple(bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(1024))
_KINDS = {
    id(SpanKind.INTERNAL): 1,
    id(SpanKind.SERVER): 2,
    id(SpanKind.CLIENT): 3,
    id(SpanKind.PRODUCER): 4,
    id(SpanKind.CONSUMER): 5,
}
_U32, _U64, _I64 = (1 << 32) - 1, (1 << 64) - 1, 1 << 63

# The kind of a span with its start and its end, and the time of an event; a field's number and
# type stand before each, in one byte.
_TIMES = struct.Struct("<BBBQBQ").pack
_TIME = struct.Struct("<BQ").pack
_DOUBLE = struct.Struct("<Bd").pack

# Whether a parent or a link is of another process: bit 9, valid if bit 8 is set; of four bytes.
_HERE, _REMOTE = b"\x00\x01\x00\x00", b"\x00\x03\x00\x00"


def lean(exporter: type[SpanExporter]) -> type[SpanExporter]:
    """Return an OTLP exporter over HTTP that encodes spans by this module, else does as it did.

    exporter: OpenTelemetry's class. It is returned itself if none of its methods is known to call
    OpenTelemetry's encoder.
    """
    for name in ("export", "_serialize_spans"):
        method = vars(exporter).get(name)
        if isinstance(method, FunctionType) and _encodes(method):
            # The same function with another encoder: whatever else it does is kept.
            own = FunctionType(
                method.__code__,
                {**method.__globals__, "encode_spans": _Encoded},
                name,
                method.__defaults__,
                method.__closure__,
            )
            own.__kwdefaults__ = method.__kwdefaults__
            return type(exporter.__name__, (exporter,), {name: own})
    return exporter


def _encodes(method: FunctionType) -> bool:
    """Whether a method serialises what its module's ``encode_spans`` returns."""
    names = method.__code__.co_names
    return (
        "encode_spans" in names
        and "encode_spans" in method.__globals__
        and ("SerializePartialToString" in names or "SerializeToString" in names)
    )


class _Encoded:
    """Spans that are encoded when they are asked for, as the messages of protobuf are."""

    def __init__(self, spans: Sequence[ReadableSpan]) -> None:
        self._spans = spans

    def SerializePartialToString(self) -> bytes:  # noqa: N802  # protobuf's name
        """Return an ExportTraceServiceRequest."""
        return encode(self._spans)

    SerializeToString = SerializePartialToString


def encode(spans: Iterable[ReadableSpan]) -> bytes:
    """Return spans as a serialised ExportTraceServiceRequest. Never raises.

    An attribute that cannot be encoded (a number beyond 64 bits, half of a surrogate pair) is left
    out, as is a span that cannot be read; both are counted as internal errors.
    """
    # By identity first: to ask a resource for its hash takes longer than to encode a span.
    places: dict[tuple[int, int], list[bytes]] = {}
    alive: list[Any] = []  # as long as an id has to mean one object
    resources: dict[Resource, dict[InstrumentationScope | None, list[bytes]]] = {}
    for span in spans:
        try:
            resource, scope = span.resource, span.instrumentation_scope or None
            place = places.get((id(resource), id(scope)))
            if place is None:
                place = resources.setdefault(resource, {}).setdefault(scope, [])
                places[id(resource), id(scope)] = place
                alive += (resource, scope)
            body = _span(span)
            place += (b"\x12", _size(len(body)), body)
        except Exception:
            guard.failed("span encoding")
    return b"".join(
        _field(b"\x0a", _resource_spans(resource, scopes)) for resource, scopes in resources.items()
    )


def _resource_spans(
    resource: Resource, scopes: dict[InstrumentationScope | None, list[bytes]]
) -> bytes:
    parts = [_field(b"\x0a", _attributes(b"\x0a", resource.attributes))]
    for scope, spans in scopes.items():
        parts.append(_field(b"\x12", _scope_spans(scope, spans)))
    parts.append(_text(b"\x1a", resource.schema_url))
    return b"".join(parts)


def _scope_spans(scope: InstrumentationScope | None, spans: list[bytes]) -> bytes:
    if scope is None:
        return b"\x0a\x00" + b"".join(spans)
    told = (
        _text(b"\x0a", scope.name)
        + _text(b"\x12", scope.version)
        + _attributes(b"\x1a", scope.attributes)
    )
    return _field(b"\x0a", told) + b"".join(spans) + _text(b"\x1a", scope.schema_url)


def _span(span: ReadableSpan) -> bytes:
    context: Any = span.get_span_context()
    parent, start, end = span.parent, span.start_time, span.end_time
    parts = [
        b"\x0a\x10",
        context.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        context.span_id.to_bytes(8, "big"),
    ]
    if context.trace_state is not DEFAULT_TRACE_STATE:
        state = ",".join(f"{key}={value}" for key, value in context.trace_state.items())
        parts.append(_text(b"\x1a", state))
    if parent is not None:
        parts += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
    parts.append(_text(b"\x2a", span.name))
    try:
        parts.append(_TIMES(0x30, _KINDS[id(span.kind)], 0x39, start, 0x41, end))
    except struct.error:
        kind, first, last = _KINDS[id(span.kind)], _moment(start), _moment(end)
        parts.append(_TIMES(0x30, kind, 0x39, first, 0x41, last))
    if type(span) is LightSpan:
        parts.append(_attributes(b"\x4a", span.attributes))
    else:
        # The SDK's own object: the property puts a proxy around it.
        parts.append(_attributes(b"\x4a", getattr(span, "_attributes", span.attributes)))
    if type(span) is not LightSpan or span.is_eventful:
        _told_later(span, parts)
    status = span.status
    if status is not None:
        code, told = status.status_code, _text(b"\x12", status.description)
        if code is not StatusCode.UNSET:
            told += bytes((0x18, code.value))
        parts.append(_field(b"\x7a", told))
    parts += (b"\x85\x01", _HERE if parent is None or not parent.is_remote else _REMOTE)
    return b"".join(parts)


def _told_later(span: ReadableSpan, parts: list[bytes]) -> None:
    """Add what most requests' spans have none of."""
    if dropped := span.dropped_attributes:
        parts += (b"\x50", _varint(dropped & _U32))
    parts += [_field(b"\x5a", _event(event)) for event in span.events]
    if dropped := span.dropped_events:
        parts += (b"\x60", _varint(dropped & _U32))
    parts += [_field(b"\x6a", _link(link)) for link in span.links]
    if dropped := span.dropped_links:
        parts += (b"\x70", _varint(dropped & _U32))


def _event(event: Event) -> bytes:
    parts = [_TIME(0x09, _moment(event.timestamp)), _text(b"\x12", event.name)]
    parts.append(_attributes(b"\x1a", event.attributes))
    if dropped := event.dropped_attributes:
        parts += (b"\x20", _varint(dropped & _U32))
    return b"".join(parts)


def _link(link: Link) -> bytes:
    context = link.context
    parts = [b"\x0a\x10", context.trace_id.to_bytes(16, "big")]
    parts += (b"\x12\x08", context.span_id.to_bytes(8, "big"))
    parts.append(_attributes(b"\x22", link.attributes))
    if dropped := link.dropped_attributes:
        parts += (b"\x28", _varint(dropped & _U32))
    parts += (b"\x35", _REMOTE if context.is_remote else _HERE)
    return b"".join(parts)


def _moment(given: Any) -> int:
    """Return a time in nanoseconds that fits; 0, which is none, for what is not even a number."""
    try:
        return min(max(int(given or 0), 0), _U64)
    except (TypeError, ValueError, OverflowError):
        return 0


_known: dict[tuple[str, Any], bytes] = {}


def _attributes(tag: bytes, attributes: Any) -> bytes:
    """Return attributes as repeated fields. tag: that of each."""
    if not attributes:
        return b""
    inner = getattr(attributes, "_dict", None)
    pairs = []
    for key, value in (inner if isinstance(inner, dict) else attributes).items():
        kind = type(value)
        if kind is str or kind is int:
            # Most of what a service says of a request it has said of the one before.
            pair = _known.get((key, value))
            if pair is not None:
                pairs.append(pair)
                continue
        try:
            body = _pair(key, value, DEEP)
        except Exception:
            guard.failed("span attribute")
            continue
        pair = _size(len(body)) + body
        pairs.append(pair)
        if kind is int or (kind is str and len(value) <= LONG):
            if len(_known) >= PAIRS:
                _known.clear()
            _known[key, value] = pair
    return tag + tag.join(pairs) if pairs else b""


def _pair(key: str, value: Any, deep: int) -> bytes:
    """Return a KeyValue. deep: how much deeper its value may be nested."""
    told = _field(b"\x12", _value(value, deep))
    return _field(b"\x0a", key.encode()) + told if key else told


def _value(value: Any, deep: int) -> bytes:
    """Return an AnyValue."""
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, str):
        return _field(b"\x0a", value.encode())
    if isinstance(value, int):
        if not -_I64 <= value < _I64:
            raise OverflowError(f"{value} is beyond 64 bits")
        return b"\x18" + _varint(value & _U64)
    if isinstance(value, float):
        return _DOUBLE(0x21, value)
    if isinstance(value, bytes):
        return _field(b"\x3a", value)
    if not deep:
        raise RecursionError("nested too deep")
    if isinstance(value, Sequence):
        parts = [_field(b"\x0a", _value(item, deep - 1)) for item in value]
        return _field(b"\x2a", b"".join(parts))
    if isinstance(value, Mapping):
        parts = [_field(b"\x0a", _pair(str(key), item, deep - 1)) for key, item in value.items()]
        return _field(b"\x32", b"".join(parts))
    raise TypeError(f"{type(value)} is no type of an attribute")


def _text(tag: bytes, text: Any) -> bytes:
    """Return a field of text, nothing for none."""
    if not text:
        return b""
    try:
        told: bytes = text.encode()
    except (AttributeError, UnicodeError):
        told = str(text).encode(errors="replace")
    return tag + _size(len(told)) + told


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _size(len(content)) + content


def _size(length: int) -> bytes:
    return _SIZES[length] if length < 1024 else _varint(length)


def _varint(number: int) -> bytes:
    """Return a number, which is not negative, seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
