"""A request's light span, beside the SDK's own."""

import threading

import pytest
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
    use_span,
)

from gnomon import otlp
from gnomon.lightspan import LightSpan, suits

TOLD = {"url.path": "/items/7", "http.request.method": "GET"}
ABOVE = SpanContext(5, 6, True, TraceFlags(TraceFlags.SAMPLED), TraceState([("v", "1")]))


class Seen(SpanProcessor):
    """Keeps what it is told."""

    def __init__(self):
        self.started, self.ending, self.ended = [], [], []

    def on_start(self, span, parent_context=None):
        self.started.append((span, parent_context))

    def _on_ending(self, span):
        self.ending.append(span)

    def on_end(self, span):
        self.ended.append(span)


@pytest.fixture
def seen():
    """Give a processor."""
    return Seen()


@pytest.fixture
def tracer(seen):
    """Give a tracer of the SDK's."""
    provider = TracerProvider(span_limits=SpanLimits(max_events=3))
    provider.add_span_processor(seen)
    return provider.get_tracer("gnomon", "1")


def light(tracer, told=TOLD, above=None):
    """Start a light span."""
    parent = set_span_in_context(NonRecordingSpan(above)) if above else Context()
    return LightSpan(tracer, "GET", (1, 2), told=dict(told), parent=parent, above=above)


def full(tracer, told=TOLD, above=None):
    """Start the SDK's span."""
    parent = set_span_in_context(NonRecordingSpan(above)) if above else Context()
    return tracer.start_span("GET", context=parent, kind=SpanKind.SERVER, attributes=told)


def many(span):
    """Set more attributes than there is room for."""
    span.set_attributes({f"a{n}": n for n in range(200)})


def events(span):
    """Add more events than there is room for."""
    for n in range(5):
        span.add_event(f"e{n}", {"n": n}, timestamp=n)


def twice(span):
    """End it, and go on as if it had not ended."""
    span.end()
    span.set_attribute("late", 1)
    span.add_event("late")
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    span.end()


USES = {
    "nothing": lambda _: None,
    "attribute": lambda span: span.set_attribute("user", "a"),
    "attributes": lambda span: span.set_attributes({"url.path": "/b", "c": (1, 2)}),
    "wrong attribute": lambda span: span.set_attribute("", object()),
    "many attributes": many,
    "events": events,
    "link": lambda span: span.add_link(SpanContext(7, 8, True), {"a": 1}),
    "ok": lambda span: (span.set_status(StatusCode.OK), span.set_status(StatusCode.ERROR, "no")),
    "error": lambda span: span.set_status(Status(StatusCode.ERROR, "text")),
    "name": lambda span: span.update_name("other"),
    "twice": twice,
}


@pytest.mark.parametrize("above", [None, ABOVE], ids=["root", "child"])
@pytest.mark.parametrize("use", USES)
def test_what_an_application_does_to_it_arrives(use, above, tracer, seen, caplog):
    """Whatever is done to a light span, what is exported is as if it were the SDK's."""
    told = []
    for make in (light, full):
        caplog.clear()
        span = make(tracer, above=above)
        USES[use](span)
        span.end(9)
        (ended,) = seen.ended
        seen.ended.clear()
        assert ended.to_json()
        for encoded in (encode_spans([ended]), type(encode_spans([]))()):
            if not encoded.resource_spans:
                encoded.ParseFromString(otlp.encode([ended]))
            (wire,) = encoded.resource_spans[0].scope_spans[0].spans
            wire.trace_id = wire.span_id = b""
            wire.start_time_unix_nano = wire.end_time_unix_nano = 0
            for event in wire.events:
                event.time_unix_nano = 0
            told.append(encoded)
        told.append([record.getMessage() for record in caplog.records])
    assert told[0] == told[1] == told[3] == told[4]
    assert told[2] == told[5]


def test_exceptions_within_it_are_recorded(tracer, seen):
    """use_span records an exception on it, as on any span."""
    with pytest.raises(ValueError, match="a"), use_span(light(tracer), end_on_exit=True):
        raise ValueError("a")
    (span,) = seen.ended
    assert span.status.status_code is StatusCode.ERROR
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"


def test_processors_see_it_as_any_span(tracer, seen):
    """It is a Span and a ReadableSpan, known at its start, its end, and in between."""
    span = light(tracer, above=ABOVE)
    assert isinstance(span, Span)
    assert isinstance(span, ReadableSpan)
    ((started, parent),) = seen.started
    assert started is span
    assert parent is not None
    assert span.is_recording()
    assert dict(span.attributes) == TOLD
    assert (span.kind, span.name, span.parent) == (SpanKind.SERVER, "GET", ABOVE)
    assert span.events == span.links == ()
    assert span.instrumentation_scope.name == "gnomon"
    assert span.resource is tracer.resource
    span.finish("GET /items/{n}", {"http.route": "/items/{n}"})
    assert seen.ending == seen.ended == [span]
    assert not span.is_recording()
    assert span.name == "GET /items/{n}"
    assert dict(span.attributes) == {**TOLD, "http.route": "/items/{n}"}
    assert span.start_time <= span.end_time


def test_what_the_application_has_ended_stays_so(tracer, seen):
    """A request's end changes nothing about a span that the application ended."""
    span = light(tracer)
    span.set_attribute("a", 1)
    span.end(9)
    span.finish("late", {"late": 1})
    (ended,) = seen.ended
    assert (ended.name, ended.end_time) == ("GET", 9)
    assert dict(ended.attributes) == {**TOLD, "a": 1}
    with pytest.raises(TypeError):
        span._attributes["b"] = 2


def test_threads_add_to_one_span(tracer):
    """What threads add first at the same time is all there."""
    gate = threading.Barrier(8)
    for _ in range(50):
        span = light(tracer)

        def work(n, span=span):
            gate.wait(30)
            span.set_attribute(f"a{n}", n)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        span.finish("", {"end": 1})
        assert len(span.attributes) == len(TOLD) + 8 + 1


def test_the_installed_sdk_is_known(tracer):
    """The SDK that the tests run with has spans as this package knows them."""
    assert suits(tracer)


@pytest.mark.parametrize(
    "limits", [{"max_span_attribute_length": 5}, {"max_span_attributes": 10}], ids=str
)
def test_limited_spans_are_the_sdks(limits):
    """Where a span's attributes are limited, the SDK keeps the limit."""
    assert not suits(TracerProvider(span_limits=SpanLimits(**limits)).get_tracer("a"))


def test_an_unknown_sdk_makes_its_own_spans(tracer, monkeypatch):
    """A part that is not known, or one that is gone, leaves the spans to the SDK."""
    from opentelemetry.sdk import trace as sdk

    class Newer(Span):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._news = 1

    with monkeypatch.context() as patch:
        patch.setattr(sdk, "_Span", Newer)
        assert not suits(tracer)
    with monkeypatch.context() as patch:
        patch.delattr(sdk, "_Span")
        assert not suits(tracer)
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    assert not suits(tracer)
    assert not suits(object())
