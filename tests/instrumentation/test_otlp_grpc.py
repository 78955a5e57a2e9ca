"""Spans by gRPC, to a real receiver, to broken ones, and across a fork."""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time

import grpc
import httpx
import pytest

import servers
from otlp import grpc_receiver

APP = """
    from fastapi import FastAPI
    import gnomon

    app = FastAPI()

    @app.get("/items/{n}")
    async def item(n: int):
        return n

    gnomon.instrument(app, service="traced")
"""


@pytest.fixture
def receiver():
    """A receiver that the test may break."""
    with grpc_receiver() as received:
        yield received


@pytest.fixture
def serve(tmp_path):
    """Return a function that serves an application whose spans go to an address."""
    (tmp_path / "program.py").write_text(textwrap.dedent(APP))
    running = []

    def start(endpoint, **environment):
        port = servers.free_port()
        address = f"http://127.0.0.1:{port}"
        server = servers.Server(
            [sys.executable, "-m", "uvicorn", "program:app", "--port", str(port)],
            ready=f"{address}/metrics",
            log=tmp_path / "log",
            cwd=tmp_path,
            env=settings(endpoint) | environment,
        )
        running.append(server)
        server.__enter__()
        server.address = address
        return server

    yield start
    for server in running:
        server.stop()


def settings(endpoint):
    """Give the environment of a program whose spans go out by gRPC."""
    return {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


def told(address, name):
    """Give what a counter of spans says, summed over its labels."""
    page = httpx.get(f"{address}/metrics", timeout=30).text
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)", page, re.MULTILINE)))


def test_spans_arrive(serve, receiver, until):
    """Each sampled request is a span at the receiver, and counted as exported."""
    server = serve(receiver.address)
    for _ in range(20):
        httpx.get(f"{server.address}/items/7", timeout=30)
    until(lambda: len(receiver.spans) == 20, 30)
    assert {(t.service, t.span.name) for t in receiver.spans} == {("traced", "GET /items/{n}")}
    until(lambda: told(server.address, "gnomon_spans_exported_total") == 20, 30)
    assert told(server.address, "gnomon_spans_dropped_total") == 0


def test_spans_that_wait_go_out_at_the_end(serve, receiver):
    """SIGTERM exports what is queued."""
    server = serve(receiver.address, OTEL_BSP_SCHEDULE_DELAY="60000")
    httpx.get(f"{server.address}/items/7", timeout=30)
    assert receiver.spans == []
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(30)
    assert len(receiver.spans) == 1


@pytest.mark.parametrize("fault", ["refused", "black hole", "slow", "unavailable", "denied"])
def test_a_broken_backend_harms_nobody(fault, serve, receiver, until):
    """Requests are answered, lost spans counted, and SIGTERM ends within five seconds."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        address = receiver.address
        if fault == "refused":
            address = f"http://127.0.0.1:{servers.free_port()}"
        elif fault == "black hole":
            address = f"http://127.0.0.1:{hole.getsockname()[1]}"
        elif fault == "slow":
            receiver.wait.clear()
        elif fault == "unavailable":
            receiver.broken = grpc.StatusCode.UNAVAILABLE
        else:
            receiver.broken = grpc.StatusCode.PERMISSION_DENIED
        server = serve(address, OTEL_BSP_MAX_QUEUE_SIZE="64", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16")
        with httpx.Client(timeout=30) as http:
            for _ in range(200):
                assert http.get(f"{server.address}/items/7").status_code == 200
        until(lambda: told(server.address, "gnomon_spans_dropped_total") > 0, 60)
        stopping = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(25)
        assert time.monotonic() - stopping < 5
        assert receiver.spans == []


FORKS = """
import os, sys
import gnomon
from opentelemetry import trace

gnomon.expose(service="forks")

def work(name):
    with trace.get_tracer("app").start_as_current_span(name):
        pass
    assert trace.get_tracer_provider().force_flush(20000)

work("before")
child = os.fork()
work("parent" if child else "child")
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(status != 0)
os._exit(0)
"""


def test_a_forked_process_exports_as_well(receiver):
    """A channel that was open at the fork is the parent's; the child opens one of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        env=os.environ | settings(receiver.address),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(t.span.name for t in receiver.spans) == ["before", "child", "parent"]
