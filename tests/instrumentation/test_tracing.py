"""Server spans, exemplars and propagation, each in a process of its own, against a real receiver.

A tracer provider is the process's: it can be set once. So each case is a small program.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time

import httpx
import pytest

import otlp
import servers

APP = """
    import logging, os
    from fastapi import FastAPI
    import gnomon
    app = FastAPI()

    @app.get("/items/{n}")
    async def item(n: int):
        from opentelemetry import propagate, trace
        carrier = {}
        propagate.inject(carrier)
        with trace.get_tracer("app").start_as_current_span("work"):
            pass
        return carrier

    @app.get("/fails")
    async def fails():
        raise ValueError("password=hunter2")

    below = FastAPI()
    below.add_api_route("/leaf", lambda: 1)
    app.mount("/below", below)
"""


@pytest.fixture
def receiver():
    """Receive spans by OTLP over HTTP; `answer` says with which status."""
    with otlp.http_receiver() as received:
        yield received


@pytest.fixture
def start(tmp_path):
    """Return a function that serves a program's application in a process of its own."""
    running = []

    def run(code, endpoint, *words, **environment):
        (tmp_path / "program.py").write_text(textwrap.dedent(APP) + textwrap.dedent(code))
        port = servers.free_port()
        settings = {
            "OTEL_SERVICE_NAME": "traced",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        } | ({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if endpoint else {})
        command = words or ("-m", "uvicorn", "program:app", "--port", str(port))
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=tmp_path,
            env=os.environ | settings | environment,
            stderr=subprocess.PIPE,
        )
        running.append(process)
        process.address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read().decode()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return process

    yield run
    for process in running:
        process.kill()
        process.wait()
        process.stderr.close()


def page(address):
    """Give the page of metrics in OpenMetrics."""
    return httpx.get(f"{address}/metrics", headers={"Accept": "application/openmetrics-text"}).text


INSTRUMENT = "gnomon.instrument(app)"


@pytest.mark.parametrize("limit", ["", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"])
def test_one_server_span_for_each_request(limit, start, receiver, until):
    """A sampled request is one SERVER span under its route, the application's spans below it.

    Where attributes are limited, which light spans are not, the span is the SDK's.
    """
    limits = {limit: "10"} if limit else {}
    address = start(INSTRUMENT, receiver.address, **limits).address
    httpx.get(f"{address}/items/7?token=secret")
    httpx.get(f"{address}/below/leaf")
    until(lambda: len(receiver.spans) == 3)
    time.sleep(0.3)
    assert len(receiver.spans) == 3
    assert {told.service for told in receiver.spans} == {"traced"}
    spans = {span.name: span for _, _, span in receiver.spans}
    server = spans["GET /items/{n}"]
    assert server.kind == 2
    assert spans["work"].parent_span_id == server.span_id
    assert "GET /below/leaf" in spans
    found = otlp.attributes(server)
    assert found["http.request.method"] == "GET"
    assert found["http.route"] == "/items/{n}"
    assert found["http.response.status_code"] == 200
    assert found["url.path"] == "/items/7"
    assert (len(found["user_agent.original"]) == 10) == bool(limit)
    assert "secret" not in str(server)


def test_what_an_application_says_of_its_request_arrives(start, receiver, until):
    """The current span takes attributes, events and links; a processor of its own sees the span."""
    code = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import SpanProcessor
        ended = []

        class Own(SpanProcessor):
            def on_start(self, span, parent_context=None):
                span.set_attribute("tenant", "a")

            def on_end(self, span):
                ended.append(span.to_json())

        @app.get("/says/{n}")
        async def says(n: int):
            trace.get_tracer_provider().add_span_processor(Own())
            span = trace.get_current_span()
            span.set_attribute("n", n)
            span.add_event("found", {"rows": (1, 2)})
            span.record_exception(ValueError("text"))
            return span.name

        @app.get("/ended")
        async def all_that_ended():
            return ended

        gnomon.instrument(app)
    """
    address = start(code, receiver.address).address
    with httpx.Client() as http:
        assert http.get(f"{address}/says/7").json() == "GET"
        http.get(f"{address}/items/7")
        seen = "".join(http.get(f"{address}/ended").json())
    assert "GET /says/{n}" in seen
    assert '"tenant": "a"' in seen
    until(lambda: len(receiver.spans) == 4, 30)
    spans = {span.name: span for _, _, span in receiver.spans}
    said = spans["GET /says/{n}"]
    found = otlp.attributes(said)
    assert found["n"] == 7
    assert found["http.route"] == "/says/{n}"
    assert found["http.response.status_code"] == 200
    assert [event.name for event in said.events] == ["found", "exception"]
    assert otlp.attributes(spans["GET /items/{n}"])["tenant"] == "a"


def test_exemplars_are_the_sampled_traces(start, receiver, until):
    """Each histogram on the request's path carries the trace id that was exported."""
    address = start(INSTRUMENT, receiver.address).address
    httpx.get(f"{address}/items/7")
    until(lambda: len(receiver.spans) == 2)
    exported = {span.trace_id.hex() for _, _, span in receiver.spans}
    for family in (
        "http_server_request_duration_seconds",
        "gnomon_http_response_start_seconds",
        "http_server_response_body_size_bytes",
    ):
        found = re.findall(rf'^{family}_bucket.* # .*trace_id="(\w+)"', page(address), re.MULTILINE)
        assert set(found) == exported
    assert "trace_id" not in httpx.get(f"{address}/metrics").text


def test_unsampled_requests_carry_their_ids_and_cost_no_span(start, receiver):
    """With ratio 0 nothing is exported, no exemplar shown, and calls still go on in one trace."""
    address = start(INSTRUMENT, receiver.address, OTEL_TRACES_SAMPLER_ARG="0").address
    carried = httpx.get(f"{address}/items/7").json()["traceparent"]
    assert re.fullmatch(r"00-(?!0{32})\w{32}-(?!0{16})\w{16}-00", carried)
    time.sleep(0.5)
    assert receiver.spans == []
    assert "trace_id" not in page(address)


@pytest.mark.parametrize("sampled", ["00", "01"])
def test_the_callers_decision_holds(start, receiver, until, sampled):
    """Head sampling is parent based: a caller's flag decides, whatever the ratio."""
    ratio = "1" if sampled == "00" else "0"
    address = start(INSTRUMENT, receiver.address, OTEL_TRACES_SAMPLER_ARG=ratio).address
    parent = f"00-{'a' * 32}-{'b' * 16}-{sampled}"
    carried = httpx.get(
        f"{address}/items/7", headers={"traceparent": parent, "tracestate": "v=1"}
    ).json()
    assert carried["traceparent"].split("-")[1] == "a" * 32
    assert carried["traceparent"][-1] == sampled[-1]
    assert carried["tracestate"] == "v=1"
    if sampled == "01":
        until(lambda: len(receiver.spans) == 2)
        server = next(span for _, _, span in receiver.spans if span.kind == 2)
        assert server.parent_span_id.hex() == "b" * 16
    else:
        time.sleep(0.5)
        assert receiver.spans == []


def test_a_share_is_sampled(start, receiver):
    """At 30 % about 30 % of the traces arrive, each whole."""
    address = start(INSTRUMENT, receiver.address, OTEL_TRACES_SAMPLER_ARG="0.3").address
    with httpx.Client() as http:
        for _ in range(400):
            http.get(f"{address}/items/7")
    time.sleep(1)
    traces = {span.trace_id for _, _, span in receiver.spans}
    assert 70 <= len(traces) <= 170
    assert len(receiver.spans) == 2 * len(traces)


def test_an_exceptions_text_stays_here(start, receiver, until):
    """A span has an error's class and place; its text, which may hold a secret, does not leave."""
    address = start(INSTRUMENT, receiver.address).address
    assert httpx.get(f"{address}/fails").status_code == 500
    until(lambda: len(receiver.spans) == 1)
    span = receiver.spans[0].span
    assert otlp.attributes(span)["error.type"] == "ValueError"
    assert span.status.code == 2
    assert [event.name for event in span.events] == ["exception"]
    assert "in fails" in str(span)
    assert "hunter2" not in str(span)


FOREIGN = {
    "contrib before": """
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])
        gnomon.instrument(app)
    """,
    "contrib after": """
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        gnomon.instrument(app)
        FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])
    """,
    "FastAPI's own": "gnomon.instrument(app)",
}
PROVIDER = """
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
"""


@pytest.mark.parametrize("kind", FOREIGN)
def test_an_application_that_is_traced_already_keeps_its_spans(kind, start, receiver, until):
    """Another instrumentation's server span stays the only one, and gives the exemplars."""
    code = textwrap.dedent(PROVIDER) + textwrap.dedent(FOREIGN[kind])
    address = start(code, receiver.address).address
    httpx.get(f"{address}/items/7")
    until(lambda: [span for _, _, span in receiver.spans if span.kind == 2])
    time.sleep(0.3)
    (server,) = [span for _, _, span in receiver.spans if span.kind == 2]
    assert f'trace_id="{server.trace_id.hex()}"' in page(address)


def test_opentelemetrys_instrumentation_by_choice(start, receiver, until):
    """tracing="opentelemetry" leaves the span to its package, without send and receive spans."""
    process = start('gnomon.instrument(app, tracing="opentelemetry")', receiver.address)
    httpx.get(f"{process.address}/items/7")
    until(lambda: len(receiver.spans) == 2)
    time.sleep(0.3)
    scopes = sorted(span.kind for _, _, span in receiver.spans)
    assert scopes == [1, 2]
    assert "trace_id" in page(process.address)


def test_without_an_endpoint_nothing_is_traced(start):
    """No endpoint, no provider, no span."""
    address = start(INSTRUMENT, None).address
    assert httpx.get(f"{address}/items/7").json() == {}
    assert "trace_id" not in page(address)


@pytest.mark.parametrize("fault", ["refused", "500", "black hole", "slow"])
def test_a_broken_backend_harms_nobody(fault, start, receiver, until):
    """Requests are answered, lost spans counted, and SIGTERM ends within five seconds."""
    hole = socket.create_server(("127.0.0.1", 0))
    address = {
        "refused": "http://127.0.0.1:1",
        "500": receiver.address,
        "black hole": f"http://127.0.0.1:{hole.getsockname()[1]}",
        "slow": receiver.address,
    }[fault]
    receiver.answer = 500
    if fault == "slow":
        receiver.answer = 503  # which the exporter tries again, later and later
    process = start(
        INSTRUMENT,
        address,
        OTEL_BSP_MAX_QUEUE_SIZE="64",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16",
        OTEL_EXPORTER_OTLP_TIMEOUT="1" if fault in ("refused", "500") else "10",
    )
    began = time.monotonic()
    with httpx.Client() as http:
        for _ in range(200):
            assert http.get(f"{process.address}/items/7").status_code == 200
    assert time.monotonic() - began < 25

    def lost():
        return sum(
            map(
                float,
                re.findall(
                    r"^gnomon_spans_dropped_total{.*} (\S+)", page(process.address), re.MULTILINE
                ),
            )
        )

    until(lambda: lost() > 0)
    stopping = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(25)
    assert time.monotonic() - stopping < 5
    hole.close()


def test_spans_that_wait_go_out_at_the_end(start, receiver):
    """SIGTERM exports what is queued."""
    process = start(INSTRUMENT, receiver.address, OTEL_BSP_SCHEDULE_DELAY="60000")
    httpx.get(f"{process.address}/items/7")
    assert receiver.spans == []
    process.send_signal(signal.SIGTERM)
    process.wait(25)
    assert len(receiver.spans) == 2


def test_websockets_have_one_span(start, receiver, until):
    """A WebSocket is one span, however many messages it has."""
    import asyncio

    import websockets

    code = """
        from fastapi import WebSocket
        @app.websocket("/ws/{room}")
        async def ws(websocket: WebSocket, room: str):
            await websocket.accept()
            await websocket.send_text("a")
            await websocket.send_text("b")
            await websocket.close()
        gnomon.instrument(app)
    """
    address = start(code, receiver.address).address

    async def talk():
        async with websockets.connect(address.replace("http", "ws") + "/ws/1") as socket_:
            return [message async for message in socket_]

    assert asyncio.run(talk()) == ["a", "b"]
    until(lambda: receiver.spans)
    assert [span.name for _, _, span in receiver.spans] == ["WS /ws/{room}"]


def test_a_missing_extra_is_named(monkeypatch):
    """Without OpenTelemetry's SDK the error says which extra brings it, and raises at the start."""
    from fastapi import FastAPI
    from prometheus_client import CollectorRegistry

    import gnomon

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="extra 'fastapi'"):
        gnomon.instrument(FastAPI(), registry=CollectorRegistry())


def test_client_libraries_are_traced_below_the_request(start, receiver, until):
    """Httpx's call is a CLIENT span of the request's trace, and passes the trace on."""
    code = """
        import httpx
        @app.get("/calls")
        async def calls():
            async with httpx.AsyncClient() as client:
                return (await client.get(os.environ["PEER"])).json()
        gnomon.instrument(app)
    """
    peer = start(INSTRUMENT, None).address
    address = start(code, receiver.address, PEER=f"{peer}/items/7").address
    httpx.get(f"{address}/calls")
    until(lambda: len(receiver.spans) == 2)
    spans = {span.kind: span for _, _, span in receiver.spans}
    assert spans[3].parent_span_id == spans[2].span_id
    assert spans[3].trace_id == spans[2].trace_id
    found = re.findall(
        r"^http_client_request_duration_seconds_count{.*} (\S+)", page(address), re.MULTILINE
    )
    assert found == ["1.0"]


def test_an_unsampled_request_starts_no_trace_in_its_clients(start, receiver):
    """Below a request that is not sampled no client library samples either."""
    code = """
        import httpx
        @app.get("/calls")
        async def calls():
            async with httpx.AsyncClient() as client:
                return (await client.get(os.environ["PEER"])).status_code
        gnomon.instrument(app, sample_ratio=0)
    """
    peer = start(INSTRUMENT, None).address
    address = start(code, receiver.address, PEER=f"{peer}/items/7").address
    assert httpx.get(f"{address}/calls").json() == 200
    time.sleep(0.5)
    assert receiver.spans == []
