"""One request is one connected trace: desk, queue, worker, outside API, database.

Its log lines, its exemplars and its metrics agree with it, whichever queue lies between.
"""

import contextlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import caches
import otlp
import servers
from gnomon_demo.tones import tone

ROUTE = "/transcribe/batches"

#: A line of the demo's log, with the ids that it was written with.
LINE = re.compile(r" trace_id=(\w{32}) span_id=(\w{16}) transcribed (\w{32}): segments=1\n")


class Traced(NamedTuple):
    """A desk whose spans are received; of who transcribes there, service, log and metrics."""

    desk: Any
    received: otlp.Received
    worker: str
    log: Path
    page: Callable[[], list[Any]]


@pytest.fixture
def traced(another, tmp_path):
    """Return a function that runs exchange, desk and, where there is a broker, a worker."""
    with contextlib.ExitStack() as stack:

        def run(celery=""):
            received = stack.enter_context(otlp.http_receiver())
            port, worker_port = servers.free_port(), servers.free_port()
            environ = {
                "OTEL_SDK_DISABLED": "false",
                "OTEL_EXPORTER_OTLP_ENDPOINT": received.address,
                "OTEL_BSP_SCHEDULE_DELAY": "200",
                "GNOMON_EXCHANGE_PORT": str(port),
                "GNOMON_DEMO_DATA": str(tmp_path / "data"),
                "GNOMON_DEMO_CELERY": celery,
                "GNOMON_DEMO_WORKER_PORT": str(worker_port),
            }

            def begin(process, url):
                words = [sys.executable, "-m", "gnomon_demo", process]
                log = tmp_path / process
                server = servers.Server(words, ready=url, log=log, env=environ)
                return stack.enter_context(server)

            begin("exchange", f"http://127.0.0.1:{port}/-/ready")
            desk = another(**environ)
            url = f"{desk.url}/metrics"
            if not celery:
                return Traced(desk, received, "desk", desk.log, lambda: samples(url))
            own = f"http://127.0.0.1:{worker_port}/metrics"
            log = begin("worker", own).log
            return Traced(desk, received, "desk-worker", log, lambda: samples(own))

        yield run


def samples(url):
    """Return the samples of a page, with their exemplars."""
    accept = {"Accept": "application/openmetrics-text"}
    text = httpx.get(url, headers=accept, timeout=30, trust_env=False).text
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def total(found, name, **labels):
    """Sum the samples of a name over the labels that are not given."""
    return sum(s.value for s in found if s.name == name and labels.items() <= s.labels.items())


def exemplars(found, name):
    """Return the traces that a histogram's buckets lead to."""
    own = [s.exemplar.labels for s in found if s.name == f"{name}_bucket" and s.exemplar]
    return {labels["trace_id"] for labels in own}


def way(told, spans):
    """Return the spans from one to the first of its trace; fails where one's parent is not."""
    by_id = {other.span.span_id: other for other in spans}
    found = [told]
    while parent := found[-1].span.parent_span_id:
        found.append(by_id[parent])
    return found


def transcribed(traced):
    """Send batches until the exchange has told workers its prices; return log lines and traces.

    On a busy machine it may not: the desk waits 0.4 s for an answer, three times.
    """
    for _ in range(10):
        batch = traced.desk.send(("a.wav", tone(1)), ("b.wav", tone(1)))
        files = traced.desk.done(batch)["files"]
        assert [file["state"] for file in files] == ["done", "done"]
        shown = [traced.desk.get(f"/transcribe/{file['id']}").json() for file in files]
        if all(file["market"] for file in shown):
            break
    else:
        pytest.fail("the exchange never answered a worker")
    wanted = {file["id"] for file in files}

    def logged():
        lines = LINE.findall(traced.log.read_text())
        own = [line for line in lines if line[2] in wanted]
        return own if len(own) == 2 else None

    lines = servers.until(logged)
    return lines, {trace for trace, _, _ in lines}


@pytest.mark.parametrize("queue", ["memory", "redis", "rabbitmq"])
@pytest.mark.timeout(300)
def test_one_request_is_one_trace_through_queue_worker_outside_api_and_database(
    traced, queue, tmp_path, request
):
    """With the right parents; logs, exemplars and metrics say the same."""
    with contextlib.ExitStack() as stack:
        if queue == "memory":
            found = traced()
        elif queue == "redis":
            port, _ = stack.enter_context(caches.redis_server(tmp_path))
            found = traced(f"redis://127.0.0.1:{port}/0")
        else:
            broker = request.getfixturevalue("rabbitmq")
            found = traced(f"amqp://guest:guest@127.0.0.1:{broker.port}//")
        lines, traces = transcribed(found)
        assert len(traces) == 1
        [trace] = traces

        def whole():
            """The spans of the trace, once there is none whose parent is still to come."""
            spans = found.received.traces().get(trace, [])
            ids = {told.span.span_id for told in spans}
            ended = {told.span.span_id.hex() for told in spans} >= {span for _, span, _ in lines}
            complete = all(told.span.parent_span_id in {b"", *ids} for told in spans)
            return spans if ended and complete and served(spans) else None

        spans = servers.until(whole)
        [first] = [told for told in spans if not told.span.parent_span_id]
        assert (first.service, first.span.name) == ("desk", f"POST {ROUTE}")
        assert first.span.kind == Span.SPAN_KIND_SERVER

        # What the exchange answered leads back over worker and queue to the request.
        services = [told.service for told in way(served(spans)[-1], spans)]
        assert services[0] == "exchange"
        assert services[-1] == "desk"
        assert found.worker in services[1:-1]
        kinds = [told.span.kind for told in way(served(spans)[-1], spans)]
        assert kinds[:2] == [Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT]
        assert Span.SPAN_KIND_CONSUMER in kinds[2:]

        # What a worker wrote into the database is below its own span, as its log line is.
        own = {span for _, span, _ in lines}
        written = [
            [other.span.span_id.hex() for other in way(told, spans)]
            for told in spans
            if told.service == found.worker and statement(told).startswith("INSERT INTO moments")
        ]
        assert len(written) == 2
        assert {span for ids in written for span in ids if span in own} == own

        agree(found, queue, trace)


def served(spans):
    """Return what the exchange answered."""
    return [told for told in spans if told.service == "exchange"]


def statement(told):
    """Return what a span asked a database for; empty where it did not ask one."""
    return otlp.attributes(told.span).get("db.query.text", "")


def agree(found, queue, trace):
    """Check that exemplars name the trace, and that metrics count what traces show."""
    here, there = samples(f"{found.desk.url}/metrics"), found.page()
    assert trace in exemplars(here, "http_server_request_duration_seconds")
    if queue == "memory":
        assert trace in exemplars(there, "gnomon_queue_wait_seconds")
    else:
        assert trace in exemplars(there, "gnomon_job_duration_seconds")

    def counted():
        told = [told for spans in found.received.traces().values() for told in spans]
        requests = sum(t.service == "desk" and t.span.name == f"POST {ROUTE}" for t in told)
        if queue == "memory":
            works = sum(t.span.name == "process transcriptions" for t in told)
            ran = total(found.page(), "gnomon_queue_completed_total", queue="transcriptions")
        else:
            works = sum(t.span.name == "job transcribe" for t in told)
            ran = total(found.page(), "gnomon_job_runs_total", job_name="transcribe")
        page = samples(f"{found.desk.url}/metrics")
        name = "http_server_request_duration_seconds_count"
        asked = total(page, name, http_route=ROUTE, http_request_method="POST")
        return (requests, works) == (asked, ran) and works >= 2

    servers.until(counted)
