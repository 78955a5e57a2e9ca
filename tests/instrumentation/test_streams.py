"""Streams: first byte, lifetime, and how they closed."""

import asyncio
import socket

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

import gnomon

DURATION = "http_server_request_duration_seconds_sum"
START = "gnomon_http_response_start_seconds_sum"
LIFETIME = "gnomon_http_stream_duration_seconds_sum"
CLOSED = "gnomon_http_stream_closed_total"


@pytest.fixture
def app(registry):
    """Stream in every way that counts."""
    app = FastAPI()

    def route(path, media_type, first, rest, error=None):
        @app.get(path)
        async def stream():
            async def body():
                await asyncio.sleep(first)
                yield b"data: 1\n\n"
                await asyncio.sleep(rest)
                if error is not None:
                    raise error
                yield b"data: 2\n\n"

            return StreamingResponse(body(), media_type=media_type)

    route("/events", "text/event-stream; charset=utf-8", 0.1, 1.9)
    route("/lines", "application/x-ndjson", 0.01, 0.2)
    route("/chunks", "text/csv", 0.01, 0.5)
    route("/marked", "text/csv", 0.01, 0.5)
    route("/broken", "text/event-stream", 0.01, 0.1, ValueError("broken"))
    route("/endless", "text/event-stream", 0.01, 3600)
    gnomon.instrument(app, registry=registry, streams=["/marked"])
    return app


def test_a_stream_shows_its_first_byte_and_its_lifetime(app, serve, counted):
    """A stream of 2 s with its first byte at 100 ms shows both, and is not 2 s of latency."""
    httpx.get(f"http://{serve(app)}/events")
    assert 0.1 <= counted(START, http_route="/events") < 0.5
    assert counted(DURATION, http_route="/events") == counted(START, http_route="/events")
    assert 2.0 <= counted(LIFETIME, http_route="/events") < 2.6
    assert counted(CLOSED, http_route="/events", outcome="completed") == counted(CLOSED) == 1
    assert counted("gnomon_http_stream_active") == 0


@pytest.mark.parametrize(("path", "is_stream"), [("/lines", 1), ("/marked", 1), ("/chunks", 0)])
def test_what_is_a_stream(app, serve, counted, path, is_stream):
    """JSON lines and marked routes are streams; a response in chunks is one long request."""
    httpx.get(f"http://{serve(app)}{path}")
    assert counted(CLOSED) == is_stream
    assert counted("http_server_request_duration_seconds_count", http_route=path) == 1
    assert (counted(DURATION, http_route=path) >= 0.2) is not bool(is_stream)


def test_a_stream_that_breaks_is_an_error(app, serve, counted):
    """An exception in the middle is the stream's outcome and the request's error type."""
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://{serve(app)}/broken")
    assert counted(CLOSED, outcome="error") == counted(CLOSED) == 1
    assert counted("http_server_request_duration_seconds_count", error_type="ValueError") == 1


def test_a_client_that_leaves_closes_the_stream(app, serve, counted, until):
    """A disconnect is counted when ASGI reports it, and nothing stays active."""
    host, port = serve(app).split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: counted("gnomon_http_stream_active") == 1)
        assert counted("http_server_active_requests") == 1
    until(lambda: counted(CLOSED) == 1)
    assert counted(CLOSED, outcome="disconnected") == 1
    assert counted("gnomon_http_stream_active") == 0
    assert counted("http_server_active_requests") == 0
