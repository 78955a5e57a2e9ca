"""WebSockets, over real connections."""

import asyncio

import pytest
import websockets
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

import gnomon

OPEN = "gnomon_websocket_connections"
CLOSED = "gnomon_websocket_closed_total"
MESSAGES = "gnomon_websocket_messages_total"
BYTES = "gnomon_websocket_message_bytes_total"
SUBSCRIPTIONS = "gnomon_websocket_subscriptions"


@pytest.fixture
def app(registry):
    """Talk over WebSockets in every way that counts."""
    app = FastAPI()

    @app.websocket("/echo/{room}")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        gnomon.subscribed(websocket, "prices", 2)
        gnomon.subscribed(websocket, "news")
        gnomon.unsubscribed(websocket, "news", 5)
        try:
            while True:
                await websocket.send_text((await websocket.receive_text()) * 2)
        except WebSocketDisconnect:
            return

    @app.websocket("/pushes")
    async def pushes(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_bytes(b"12345")
        gnomon.heartbeat_expired(websocket)
        await websocket.close(4000)

    @app.websocket("/refuses")
    async def refuses(websocket: WebSocket):
        await websocket.close()

    @app.websocket("/fails")
    async def fails(websocket: WebSocket):
        await websocket.accept()
        raise ValueError

    gnomon.instrument(app, registry=registry)
    return app


def test_messages_and_bytes_count_each_way(app, serve, counted, until):
    """Every message counts with its bytes in UTF-8 under the route's template, until the end."""

    async def talk(url):
        async with websockets.connect(url) as socket:
            for text in ("a", "bé", "c"):
                await socket.send(text)
                await socket.recv()
            assert counted(OPEN) == 1
            assert counted(SUBSCRIPTIONS, type="prices") == 2
            assert counted(SUBSCRIPTIONS, type="news") == 0

    asyncio.run(talk(f"ws://{serve(app)}/echo/7"))
    until(lambda: counted(OPEN) == 0)
    where = {"http_route": "/echo/{room}"}
    assert counted(MESSAGES, direction="received", **where) == 3
    assert counted(MESSAGES, direction="sent", **where) == 3
    assert counted(BYTES, direction="received", **where) == 5
    assert counted(BYTES, direction="sent", **where) == 10
    assert counted(CLOSED, code="1000", closed_by="client") == counted(CLOSED) == 1
    assert counted("gnomon_websocket_connection_duration_seconds_count") == 1
    assert counted(SUBSCRIPTIONS) == 0
    assert counted("http_server_active_requests") == 0


def test_the_server_closes(app, serve, counted, until):
    """The application's close code counts as the server's, a private one by its range."""

    async def talk(url):
        async with websockets.connect(url) as socket:
            assert await socket.recv() == b"12345"

    asyncio.run(talk(f"ws://{serve(app)}/pushes"))
    until(lambda: counted(CLOSED) == 1)
    assert counted(CLOSED, code="4xxx", closed_by="server") == 1
    assert counted(BYTES, direction="sent") == 5
    assert counted("gnomon_websocket_heartbeat_expired_total", http_route="/pushes") == 1


def test_a_client_that_vanishes_is_an_abnormal_closure(app, serve, counted, until):
    """A connection that breaks without a close frame has the server's word for it, and ended."""

    async def talk(url):
        socket = await websockets.connect(url)
        await socket.send("a")
        await socket.recv()
        socket.transport.abort()

    asyncio.run(talk(f"ws://{serve(app)}/echo/1"))
    until(lambda: counted(CLOSED) == 1)
    # ASGI says 1005 where the server was told no code; some servers say 1006 themselves.
    codes = [counted(CLOSED, code=code, closed_by="client") for code in ("1005", "1006")]
    assert sum(codes) == 1
    assert counted(OPEN) == 0


@pytest.mark.parametrize(("path", "route"), [("/refuses", "/refuses"), ("/none", "_UNMATCHED")])
def test_a_refused_handshake_is_no_connection(app, serve, counted, until, path, route):
    """What is not accepted counts as refused, with the status."""

    async def talk(url):
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(url)

    asyncio.run(talk(f"ws://{serve(app)}{path}"))
    until(lambda: counted("gnomon_websocket_refused_total") == 1)
    assert (
        counted("gnomon_websocket_refused_total", http_route=route, http_response_status_code="403")
        == 1
    )
    assert counted(CLOSED) == 0


def test_an_exception_closes_with_an_error(app, serve, counted, until):
    """An unhandled exception is the reason of the end."""

    async def talk(url):
        async with websockets.connect(url) as socket:
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()

    asyncio.run(talk(f"ws://{serve(app)}/fails"))
    until(lambda: counted(CLOSED) == 1)
    assert counted(CLOSED, code="1011", closed_by="error") == 1
    assert counted(OPEN) == 0


def test_many_at_once_are_right_to_the_last_message(app, serve, counted, until):
    """200 WebSockets with 20 messages each are 4,000 messages each way."""

    async def one(url):
        async with websockets.connect(url) as socket:
            for _ in range(20):
                await socket.send("x")
                await socket.recv()

    async def all_of_them(url):
        await asyncio.gather(*(one(url) for _ in range(200)))

    asyncio.run(all_of_them(f"ws://{serve(app)}/echo/1"))
    until(lambda: counted(OPEN) == 0 and counted(CLOSED) == 200)
    assert counted(MESSAGES, direction="received") == 4000
    assert counted(MESSAGES, direction="sent") == 4000


def test_subscribing_without_instrumentation_is_nothing(registry):
    """The functions do nothing on a connection that nobody measures."""

    class Bare:
        scope = {}  # noqa: RUF012

    gnomon.subscribed(Bare(), "prices")
    gnomon.heartbeat_expired(Bare())
    assert list(registry.collect()) == []
