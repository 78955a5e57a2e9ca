"""Traces: taken by OTLP, kept in a bounded file."""

import gzip
import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

import servers
from gnomon_console.pages.traces import ordered, said
from gnomon_console.traces import logs
from gnomon_console.traces.receiver import Receiver
from gnomon_console.traces.spans import Span, decoded
from gnomon_console.traces.store import Store, Wanted

_WITHIN_S = 30


def span(number, *, trace=None, parent=None, failed=False, start=None, took=5, **other):
    """Return a span: a root without ``parent``; took: milliseconds."""
    start = time.time_ns() if start is None else start
    return Span(
        **{
            "trace_id": f"{number if trace is None else trace:032x}",
            "span_id": f"{number + 1:016x}",
            "parent": "" if parent is None else f"{parent + 1:016x}",
            "service": "shop",
            "name": f"GET /{number}",
            "kind": "server",
            "start": start,
            "end": start + took * 1_000_000,
            "failed": failed,
            "attributes": {"http.route": "/things", "text": "x" * 200},
            "resource": {"host.name": "here"},
            "events": (),
            **other,
        }
    )


@pytest.fixture
def store(tmp_path):
    """A store of 4 MiB."""
    made = Store(tmp_path / "traces.db", bytes_=4 * 2**20)
    yield made
    made.close()


@pytest.fixture
def client(store):
    """A receiver before that store."""
    app = FastAPI()
    app.include_router(Receiver(store).router)
    return TestClient(app, raise_server_exceptions=False)


def kept(store, count):
    """Wait until so many spans were written."""
    servers.until(lambda: store.stored >= count, _WITHIN_S)


def sent():
    """Return a small trace as OpenTelemetry's own SDK encodes it."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("POST /orders", attributes={"http.route": "/orders"}):
        with tracer.start_as_current_span("INSERT", attributes={"rows": 3, "ok": True, "t": 0.5}):
            pass
        with suppress(ValueError), tracer.start_as_current_span("charge"):
            raise ValueError("no money")
    return encode_spans(memory.get_finished_spans())


def test_what_the_sdk_sends_is_found_and_shown(client, store):
    """With attributes of each type, the failure, and what was raised."""
    body = sent().SerializeToString()
    answer = client.post(
        "/v1/traces",
        content=gzip.compress(body),
        headers={"content-type": "application/x-protobuf", "content-encoding": "gzip"},
    )
    assert answer.status_code == 200
    kept(store, 3)
    [found] = store.find(Wanted(service="shop", route="orders"))
    assert (found.name, found.route, found.spans, found.failed) == ("POST /orders", "/orders", 3, 1)
    spans = {each.name: each for each in store.trace(found.trace_id)}
    assert spans["INSERT"].attributes == {"rows": 3, "ok": True, "t": 0.5}
    assert spans["INSERT"].parent == spans["POST /orders"].span_id
    assert spans["charge"].failed
    [event] = spans["charge"].events
    assert event.attributes["exception.message"] == "no money"
    assert [(depth, each.name) for depth, each in ordered(list(spans.values()))] == [
        (0, "POST /orders"),
        (1, "INSERT"),
        (1, "charge"),
    ]


def test_json_is_taken_as_well(client, store):
    """With ids as OTLP writes them there: hexadecimal."""
    trace_id, span_id = "ab" * 16, "cd" * 8
    body = {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]
                },
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": trace_id,
                                "spanId": span_id,
                                "name": "load",
                                "kind": 3,
                                "startTimeUnixNano": str(time.time_ns()),
                                "endTimeUnixNano": str(time.time_ns() + 10**6),
                            }
                        ]
                    }
                ],
            }
        ]
    }
    assert client.post("/v1/traces", json=body).json() == {}
    kept(store, 1)
    [found] = store.trace(trace_id)
    assert (found.span_id, found.service, found.kind) == (span_id, "web", "client")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "text/plain"}, b"", 415),
        ({"content-type": "application/x-protobuf"}, b"\xff\xff\xff", 400),
        ({"content-type": "application/json"}, b"{", 400),
        ({"content-type": "application/json"}, b'{"resourceSpans": 5}', 400),
        ({"content-type": "application/json"}, b"[" * 100_000, 400),
        ({"content-type": "application/json"}, b'{"resourceSpans":[{"traceId":"zz"}]}', 400),
        ({"content-type": "application/x-protobuf", "content-encoding": "br"}, b"x", 415),
        ({"content-type": "application/x-protobuf", "content-encoding": "gzip"}, b"x", 400),
        (
            {"content-type": "application/x-protobuf", "content-encoding": "gzip"},
            gzip.compress(b"\n" * 1000, mtime=0)[:-9],
            400,
        ),
        (
            {"content-type": "application/x-protobuf", "content-encoding": "gzip"},
            gzip.compress(bytes(64 * 2**20), mtime=0),
            413,
        ),
        ({"content-type": "application/x-protobuf"}, bytes(5 * 2**20), 413),
        ({"content-type": "application/x-protobuf"}, b"", 200),
    ],
)
def test_what_is_no_request_is_refused(client, headers, body, status):
    """By what is wrong with it, and at once."""
    assert client.post("/v1/traces", content=body, headers=headers).status_code == status


def test_hostile_bytes_never_break_the_receiver(client, store):
    """Thousands of requests with some of their bytes changed."""
    chance = random.Random(7)
    body = sent().SerializeToString()
    for _ in range(2000):
        broken = bytearray(body)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        answer = client.post(
            "/v1/traces",
            content=bytes(broken[: chance.randrange(1, len(broken) + 1)]),
            headers={"content-type": "application/x-protobuf"},
        )
        assert answer.status_code in {200, 400}
    store.take([span(1)])
    servers.until(lambda: store.trace(f"{1:032x}"), _WITHIN_S)


def test_odd_values_in_json_never_break_the_receiver(client, store):
    """Hundreds of requests in which something is what it cannot be."""
    chance = random.Random(11)
    odd = [None, True, -1, 2**70, 1e308, "", "zz", "0" * 33, "\x00\ud800", [], {}, [[]], {"a": 1}]
    odd += [[None], {"key": 5, "value": []}, {"stringValue": 7}, float("nan"), "9" * 400]

    def broken(given):
        if not isinstance(given, list | dict) or not given or chance.random() < 0.2:
            return chance.choice(odd)
        made = dict(given) if isinstance(given, dict) else list(given)
        place = chance.choice(list(made) if isinstance(made, dict) else range(len(made)))
        made[place] = broken(made[place])
        return made

    span_ = {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "name": "load",
        "kind": 3,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": 2,
        "attributes": [{"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}}],
        "events": [{"timeUnixNano": "1", "name": "b", "attributes": []}],
        "status": {"code": 2},
    }
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span_]}]}]}
    for _ in range(600):
        answer = client.post(
            "/v1/traces",
            content=json.dumps(broken(body)),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code in {200, 400}
    store.take([span(1)])
    servers.until(lambda: store.trace(f"{1:032x}"), _WITHIN_S)


def test_a_trace_is_named_after_its_root_whenever_that_comes(store):
    """Before it, after its first part."""
    now = time.time_ns()
    store.take([span(2, trace=9, parent=1, name="inner", start=now, attributes={})])
    kept(store, 1)
    assert store.find(Wanted())[0].name == "inner"
    store.take([span(1, trace=9, name="outer", start=now + 10**6, took=50)])
    kept(store, 2)
    [found] = store.find(Wanted())
    assert (found.name, found.spans) == ("outer", 2)
    assert found.duration == 51_000_000


def test_traces_are_found_by_what_is_asked_for(store):
    """Each condition by itself, the newest first."""
    now = time.time_ns()
    store.take(
        [
            span(1, start=now),
            span(2, start=now + 1, failed=True),
            span(3, start=now + 2, took=900),
            span(4, start=now + 3, service="mail", attributes={"http.route": "/send"}),
            span(5, start=now - 3600 * 10**9),
        ]
    )
    kept(store, 5)

    def names(**wanted):
        return [found.name for found in store.find(Wanted(**wanted))]

    assert names(since=now) == ["GET /4", "GET /3", "GET /2", "GET /1"]
    assert names(failed=True) == ["GET /2"]
    assert names(shortest=500_000_000) == ["GET /3"]
    assert names(service="mail") == ["GET /4"]
    assert names(route="SEND") == ["GET /4"]
    assert names(limit=1) == ["GET /4"]
    assert names(service='"; DROP TABLE spans; --') == []
    assert store.services() == ["mail", "shop"]


def test_the_newest_are_kept_within_the_bound(store):
    """Far more than fits: the file does not grow past it, the last is there, the rest counted."""
    total = 30_000
    for first in range(0, total, 500):
        batch = [span(number) for number in range(first, first + 500)]
        servers.until(lambda batch=batch: store.take(batch), _WITHIN_S)
        assert store.size() <= 4 * 2**20
    kept(store, total)
    assert store.size() <= 4 * 2**20
    assert store.refused == 0
    assert store.trace(f"{total - 1:032x}")
    assert store.trace(f"{0:032x}") == []
    assert store.dropped > total / 2
    listed = store.find(Wanted(limit=100_000))
    assert len(listed) == store.stored - store.dropped


def test_what_is_too_old_goes(tmp_path):
    """Also where there is room."""
    path = tmp_path / "traces.db"
    store = Store(path, age_s=3600)
    now = time.time_ns()
    store.take([span(1, start=now - 2 * 3600 * 10**9), span(2, start=now)])
    kept(store, 2)
    store.close()
    store = Store(path, age_s=3600)
    store.take([span(3)])
    kept(store, 1)
    servers.until(lambda: store.find(Wanted(limit=9))[-1].name != "GET /1", _WITHIN_S)
    store.close()


def test_too_many_at_once_are_sent_again_later(client, store, monkeypatch):
    """The sender is told when, and nothing is half taken."""
    monkeypatch.setattr("gnomon_console.traces.store._WAITING", 1)
    answer = client.post(
        "/v1/traces",
        content=sent().SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert store.refused == 3


_WRITES = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from gnomon_console.traces.store import Store
from test_traces import span
store = Store(Path(sys.argv[1]))
for number in range(10**9):
    store.take([span(number)])
    print(number, time.time(), flush=True)
    time.sleep(0.001)
"""


def test_a_killed_process_loses_the_last_second_at_most(tmp_path):
    """In the middle of writing; the file is whole, and is written to again."""
    path = tmp_path / "traces.db"
    with (tmp_path / "said").open("wb") as said:
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITES, str(path), os.path.dirname(__file__)],
            stdout=said,
            env={**os.environ, "PYTHONPATH": f"{servers.ROOT / 'tests'}"},
        )
    lines = tmp_path / "said"
    servers.until(lambda: len(lines.read_bytes().splitlines()) > 1500, 60)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    taken = [line.split() for line in lines.read_text().splitlines() if line.count(" ") == 1]
    last = float(taken[-1][1])
    with sqlite3.connect(path) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        [there] = opened.execute("SELECT max(number) FROM spans").fetchone()
    # The writer's thread shares a loaded machine: a second, with a margin of five.
    assert there >= sum(float(at) < last - 5 for _, at in taken)
    store = Store(path)
    store.take([span(10**9)])
    kept(store, 1)
    store.close()


def test_circles_and_orphans_are_shown_too():
    """What nobody can reach from a root stands at the top, once."""
    circle = [span(1, trace=1, parent=2), span(2, trace=1, parent=1)]
    orphan = span(3, trace=1, parent=77)
    found = ordered([*circle, orphan])
    assert sorted(each.span_id for _, each in found) == [f"{n + 1:016x}" for n in (1, 2, 3)]


def test_long_texts_and_odd_values_are_cut(store):
    """A span cannot be larger than its bounds."""
    request = sent()
    attribute = request.resource_spans[0].scope_spans[0].spans[0].attributes.add()
    attribute.key = "k" * 10_000
    attribute.value.string_value = "v" * 1_000_000
    spans = decoded(request.SerializeToString(), as_json=False)
    assert max(len(json.dumps(each.attributes)) for each in spans) < 20_000
    store.take(spans)
    kept(store, len(spans))


_PROTOBUF = {"content-type": "application/x-protobuf"}


def logged():
    """Return a trace with an event and log records of it, as OpenTelemetry's own SDK sends both."""
    spans, records = InMemorySpanExporter(), InMemoryLogRecordExporter()
    resource = Resource.create({"service.name": "shop"})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(SimpleSpanProcessor(spans))
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(SimpleLogRecordProcessor(records))
    logger = logging.getLogger("shop.orders")
    logger.handlers = [LoggingHandler(logger_provider=provider)]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.warning("outside of any trace")
    tracer = traces.get_tracer("test")
    with tracer.start_as_current_span("POST /orders"):
        logger.info("order of %d taken", 3)
        with suppress(KeyError), tracer.start_as_current_span("charge"):
            try:
                {}["price"]
            except KeyError:
                logger.exception("no price")
                raise
    return encode_spans(spans.get_finished_spans()), encode_logs(records.get_finished_logs())


def test_what_was_logged_in_a_span_is_found_under_it(client, store):
    """By its trace and span; an exception with its stack; what was written in no span is gone."""
    spans, records = logged()
    for path, body in (("/v1/logs", records), ("/v1/traces", spans)):
        answer = client.post(path, content=body.SerializeToString(), headers=_PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
    kept(store, 4)
    [found] = store.find(Wanted())
    assert (found.name, found.spans, found.failed) == ("POST /orders", 2, 1)
    trace = store.trace(found.trace_id)
    assert [each.name for each in trace] == ["POST /orders", "charge"]
    root, charge = (said(trace, store.logs(found.trace_id))[each.span_id] for each in trace)
    assert [(each.name, each.attributes["severity"]) for each in root] == [
        ("order of 3 taken", "INFO")
    ]
    assert root[0].attributes["logger"] == "shop.orders"
    assert [each.name for each in charge] == ["no price", "exception"]
    for each in charge:
        assert each.attributes["exception.type"] == "KeyError"
        assert "price" in each.attributes["exception.message"]
        assert "KeyError" in each.attributes["exception.stacktrace"]


def test_logs_are_taken_as_json_too(client, store):
    """A body that is no text as well, and a time that only the receiver knew."""
    now = time.time_ns()
    record = {
        "traceId": f"{7:032x}",
        "spanId": f"{8:016x}",
        "observedTimeUnixNano": str(now),
        "severityNumber": 17,
        "body": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}},
    }
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    assert client.post("/v1/logs", json=body).json() == {}
    kept(store, 1)
    [found] = store.logs(f"{7:032x}")
    assert (found.span_id, found.name, found.start) == (
        f"{8:016x}",
        '{"a": 1}',
        now,
    )
    assert (found.failed, found.attributes["severity"]) == (True, "ERROR")
    assert store.trace(f"{7:032x}") == []
    assert store.find(Wanted()) == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "text/plain"}, b"", 415),
        (_PROTOBUF, b"\xff\xff\xff", 400),
        ({"content-type": "application/json"}, b'{"resourceLogs": 5}', 400),
        ({"content-type": "application/json"}, b"[" * 100_000, 400),
        ({**_PROTOBUF, "content-encoding": "gzip"}, gzip.compress(bytes(64 * 2**20)), 413),
        (_PROTOBUF, b"", 200),
    ],
)
def test_what_are_no_logs_is_refused(client, headers, body, status):
    """As with spans."""
    assert client.post("/v1/logs", content=body, headers=headers).status_code == status


def test_hostile_logs_never_break_the_receiver(client, store):
    """Hundreds of requests with some of their bytes changed; what is good is kept after them."""
    chance = random.Random(11)
    body = logged()[1].SerializeToString()
    for _ in range(500):
        broken = bytearray(body)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        answer = client.post(
            "/v1/logs",
            content=bytes(broken[: chance.randrange(1, len(broken) + 1)]),
            headers=_PROTOBUF,
        )
        assert answer.status_code in {200, 400}
    store.take([span(1, kind="log")])
    servers.until(lambda: store.logs(f"{1:032x}"), _WITHIN_S)


def test_logs_are_cut_and_go_with_the_oldest(store):
    """However many and long they are, the file does not grow past its bound."""
    request = logged()[1]
    request.resource_logs[0].scope_logs[0].log_records[1].body.string_value = "v" * 1_000_000
    records = logs.decoded(request.SerializeToString(), as_json=False)
    assert max(len(each.name) for each in records) == 4096
    store.take([span(1)])
    for first in range(0, 8000, 500):
        batch = [
            span(number, trace=5, kind="log", name="x" * 1000)
            for number in range(first, first + 500)
        ]
        servers.until(lambda batch=batch: store.take(batch), _WITHIN_S)
    kept(store, 8001)
    assert store.size() <= 4 * 2**20
    assert store.refused == 0
    assert store.trace(f"{1:032x}") == []
    assert store.find(Wanted()) == []
    assert len(store.logs(f"{5:032x}")) == min(2000, store.stored - store.dropped)
