"""Spans as OTLP's bytes, beside OpenTelemetry's own encoder."""

import enum
import logging
import random

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

import otlp as receivers
from gnomon import guard, otlp


class Colour(enum.StrEnum):
    """Text by another class than str."""

    RED = "red"


#: What an attribute may be, and what it may not be but is.
VALUES = (
    None, True, False, 0, 1, -1, 127, 128, 2**31, 2**63 - 1, -(2**63), 1.0, 0.0, -0.0, 1e308,
    float("nan"), float("inf"), "", "a", "ä€😀", "\0", "x" * 127, "x" * 128, "x" * 5000, b"",
    b"\xff\x00", Colour.RED, (), (1, 2), ("a", "b"), (True, None, 1.5, "c", b"d"), ((1,), ()), {},
    {"a": 1, "b": {"c": (None, {})}}, {"": ""},
    2**63, -(2**63) - 1, 2**200, "\ud800", "a\udfffb", ("a", "\ud800"), {"a": 2**64}, object(),
)  # fmt: skip
KEYS = ("a", "http.route", "url.path", "ключ", "k" * 300, "", "\ud800", "b")
NAMES = ("", "GET /items/{n}", "ä", "x" * 2000)
RESOURCES = tuple(
    Resource(attributes, schema)
    for attributes in ({"service.name": "a"}, {"service.name": "b", "n": 1, "t": ("x", "y")}, {})
    for schema in (None, "https://schema")
)
SCOPES = (
    None,
    InstrumentationScope("gnomon", "1"),
    InstrumentationScope("gnomon", "1", "https://schema", {"a": 1}),
    InstrumentationScope("", None),
)


def context(chance):
    """Give a span context."""
    state = TraceState([("a", "1"), ("b", "x y")][: chance.randrange(3)])
    ids = chance.choice((1, 2**128 - 1, chance.getrandbits(128))), chance.choice((1, 2**64 - 1))
    return SpanContext(*ids, chance.random() < 0.5, None, chance.choice((None, state)))


def attributes(chance):
    """Give some attributes, or none."""
    number = chance.choice((0, 1, 3, 12))
    found = {chance.choice(KEYS) + str(n % 3): chance.choice(VALUES) for n in range(number)}
    return chance.choice((found, found, None))


def span(chance):
    """Give a finished span."""
    return ReadableSpan(
        name=chance.choice(NAMES),
        context=context(chance),
        parent=chance.choice((None, context(chance))),
        resource=chance.choice(RESOURCES),
        attributes=attributes(chance),
        events=[
            Event(chance.choice(NAMES), attributes(chance), chance.choice((0, 1, 2**63)))
            for _ in range(chance.choice((0, 0, 1, 3)))
        ],
        links=[
            Link(context(chance), attributes(chance)) for _ in range(chance.choice((0, 0, 1, 3)))
        ],
        kind=chance.choice(list(SpanKind)),
        status=chance.choice(
            (Status(), Status(StatusCode.OK), Status(StatusCode.ERROR, chance.choice(NAMES)))
        ),
        start_time=chance.choice((None, 0, 1, 1_700_000_000_000_000_000, 2**64 - 1)),
        end_time=chance.choice((None, 1_700_000_000_000_000_001)),
        instrumentation_scope=chance.choice(SCOPES),
    )


def same(spans):
    """Tell whether both encoders' bytes read alike; compared as bytes, for NaN equals nothing."""
    ours = ExportTraceServiceRequest.FromString(otlp.encode(spans))
    theirs = encode_spans(spans)
    return ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("seed", range(20))
def test_what_is_encoded_reads_as_opentelemetrys(seed, caplog):
    """Whatever a span carries, both encoders say the same, and leave out the same attributes."""
    caplog.set_level(logging.CRITICAL)  # theirs logs each attribute that it leaves out
    chance = random.Random(seed)
    for _ in range(20):
        assert same([span(chance) for _ in range(chance.choice((0, 1, 2, 30)))])


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_each_value_is_encoded_alike(value, caplog):
    """An attribute's value is, alone and among others, what OpenTelemetry makes of it."""
    caplog.set_level(logging.CRITICAL)
    one = SpanContext(1, 2, False)
    for told in (
        {"a": value},
        {"a": 1, "b": value, "c": "d"},
        {"a": (value,)},
        {"a": {"b": value}},
    ):
        given = [ReadableSpan("n", one, resource=RESOURCES[0], attributes=told)]
        assert same(given)
        assert same(given)  # what is remembered included


def test_numbers_that_are_equal_stay_apart():
    """True, 1 and 1.0 are equal in Python, and three values of an attribute."""
    one = SpanContext(1, 2, False)
    for value in (1, True, 1.0, 1, "1", 0, False, 0.0, -0.0):
        given = [ReadableSpan("n", one, resource=RESOURCES[0], attributes={"a": value})]
        assert same(given)


def test_what_the_sdk_drops_is_counted():
    """Attributes, events and links that a limit drops are counted as OpenTelemetry counts them."""
    kept = InMemorySpanExporter()
    limits = SpanLimits(
        max_span_attributes=2, max_events=1, max_links=1, max_event_attributes=1,
        max_link_attributes=1, max_attribute_length=3,
    )  # fmt: skip
    provider = TracerProvider(span_limits=limits, resource=RESOURCES[0])
    provider.add_span_processor(SimpleSpanProcessor(kept))
    many = {str(n): "x" * 9 for n in range(5)}
    links = [Link(SpanContext(n, n, True), many) for n in (1, 2, 3)]
    tracer = provider.get_tracer("any", "1", "https://schema", {"a": "b"})
    with tracer.start_as_current_span("above", attributes=many, links=links) as above:
        above.add_event("a", many)
        above.add_event("b", many)
        with pytest.raises(ValueError, match="hunter"), tracer.start_as_current_span("below"):
            raise ValueError("hunter")
    spans = kept.get_finished_spans()
    assert same(spans)
    (whole,) = ExportTraceServiceRequest.FromString(otlp.encode(spans)).resource_spans
    told = whole.scope_spans[0].spans[1]
    assert (told.dropped_attributes_count, told.dropped_events_count) == (3, 1)
    assert told.dropped_links_count == 2


def test_more_values_than_are_remembered():
    """An attribute of a new value each time is encoded right, and memory of them is bounded."""
    one = SpanContext(1, 2, False)
    for start in range(0, 3 * otlp.PAIRS, 100):
        spans = [
            ReadableSpan("n", one, resource=RESOURCES[0], attributes={"n": n, "t": f"{n}"})
            for n in range(start, start + 100)
        ]
        assert same(spans)
        assert len(otlp._known) <= otlp.PAIRS


class Spoilt(ReadableSpan):
    """A span that fails when it is read."""

    @property
    def events(self):
        raise RuntimeError


def faults():
    """Give how often telemetry failed, by place."""
    return {
        sample.labels["where"]: sample.value
        for family in guard.families() for sample in family.samples
    }  # fmt: skip


def test_one_bad_span_costs_no_other():
    """Where OpenTelemetry's encoder gives up the batch, one span or a part of it is left out."""
    one = SpanContext(1, 2, False)
    nested = "deep"
    for _ in range(200):
        nested = (nested,)
    spans = [
        ReadableSpan("half \ud800", one, attributes={"nested": nested, "a": 1}),
        ReadableSpan("late", one, start_time=-5, end_time=2**70),
        ReadableSpan("float", one, start_time=1.5e18, end_time=float("nan")),
        ReadableSpan(None, one, status=Status(StatusCode.ERROR, "\udfff")),
        ReadableSpan(7, one, events=[Event("e\ud800", {"a": "\ud800", "b": 1}, -1)]),
        Spoilt("spoilt", one),
        ReadableSpan("no context", None),
        ReadableSpan("good", one, resource=Resource({"service.name": "\ud800"}, "\ud800")),
    ]
    for given in spans[:1] + spans[5:7]:
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever theirs raises
            encode_spans([given]).SerializeToString()
    before = faults().get("span encoding", 0)
    request = ExportTraceServiceRequest.FromString(otlp.encode(spans))
    told = [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert [s.name for s in told] == ["half ?", "late", "float", "", "7", "good"]
    assert [a.key for a in told[0].attributes] == ["a"]
    assert (told[1].start_time_unix_nano, told[1].end_time_unix_nano) == (0, 2**64 - 1)
    assert (told[2].start_time_unix_nano, told[2].end_time_unix_nano) == (int(1.5e18), 0)
    assert told[3].status.message == "?"
    assert [a.key for a in told[4].events[0].attributes] == ["b"]
    assert faults()["span encoding"] == before + 2


def test_the_exporter_stays_opentelemetrys():
    """Only the encoding is ours: headers, compression, the answer's verdict are the exporter's."""
    kind = otlp.lean(OTLPSpanExporter)
    assert kind is not OTLPSpanExporter
    assert issubclass(kind, OTLPSpanExporter)
    chance = random.Random(1)
    spans = [span(chance) for _ in range(50)]
    spans = [s for s in spans if "service.name" in s.resource.attributes]
    with receivers.http_receiver() as received:
        exporter = kind(f"{received.address}/v1/traces", compression=Compression.Gzip)
        assert exporter.export(spans) is SpanExportResult.SUCCESS
        exporter.shutdown()
        assert exporter.export(spans) is SpanExportResult.FAILURE
    assert len(received.spans) == len(spans)
    gone = kind(f"{received.address}/v1/traces", timeout=0.2)
    assert gone.export(spans) is SpanExportResult.FAILURE


class Foreign(OTLPSpanExporter):
    """An exporter that encodes in a way that is not known here."""

    def export(self, spans):
        return super().export(spans)


def test_an_exporter_with_other_insides_is_left_alone():
    """Without OpenTelemetry's encoder in an export method there is nothing to replace."""
    assert otlp.lean(Foreign) is Foreign
    assert otlp.lean(InMemorySpanExporter) is InMemorySpanExporter
