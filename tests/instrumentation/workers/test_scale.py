"""1,500 WebSockets and 250 clients at once over two workers, counted to the last message."""

import asyncio
import resource
import textwrap

import aiohttp
import pytest
import websockets

SOCKETS, CLIENTS, MESSAGES, REQUESTS = 1500, 250, 8, 20
APP = """
    import asyncio, os
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect
    import gnomon

    app = FastAPI()

    @app.websocket("/prices")
    async def prices(websocket: WebSocket):
        await websocket.accept()
        gnomon.subscribed(websocket, "prices")
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect:
            pass

    @app.get("/hold")
    async def hold():
        while not os.path.exists("go"):
            await asyncio.sleep(0.1)

    @app.get("/a")
    async def a():
        return os.getpid()

    gnomon.instrument(app, service="scale")
"""
UVICORN = ("uvicorn", "program:app", "--port", "PORT", "--workers", "2", "--log-level", "critical")
# A machine that is busy elsewhere must not make the server give up on its clients.
PATIENT = ("--ws-ping-interval", "600", "--ws-ping-timeout", "600", "--backlog", "4096")


@pytest.fixture
def descriptors():
    """Let this process, and those that it starts, have a descriptor for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS + CLIENTS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} descriptors are needed, {hard} allowed")
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        yield
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("descriptors")
def test_1500_websockets_and_250_clients(start, tmp_path):
    """While all are there the gauges say so; afterwards every message and request has counted."""
    (tmp_path / "program.py").write_text(textwrap.dedent(APP))
    served = start(*UVICORN, *PATIENT)
    asyncio.run(_all(served, tmp_path))


async def _all(served, folder):
    where = '{http_route="/prices"}'
    opening = asyncio.Semaphore(100)

    async def connect():
        async with opening:
            return await websockets.connect(
                f"ws://127.0.0.1:{served.port}/prices", open_timeout=120, ping_interval=None
            )

    async def scraped(condition):
        for _ in range(600):
            page = await asyncio.to_thread(served.page)
            if condition(page):
                return page
            await asyncio.sleep(0.1)
        raise AssertionError(page.text)

    connections = await asyncio.gather(*(connect() for _ in range(SOCKETS)))
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{served.port}",
        connector=aiohttp.TCPConnector(limit=CLIENTS),
        timeout=timeout,
    ) as session:

        async def ask(path):
            async with session.get(path) as answer:
                assert answer.status == 200
                return await answer.json()

        held = [asyncio.create_task(ask("/hold")) for _ in range(CLIENTS)]
        active = 'http_server_active_requests{http_request_method="GET",url_scheme="http"}'
        page = await scraped(lambda page: page.get(active) == CLIENTS)
        assert page[f"gnomon_websocket_connections{where}"] == SOCKETS
        assert page['gnomon_websocket_subscriptions{http_route="/prices",type="prices"}'] == SOCKETS
        assert page["gnomon_workers"] == 2
        (folder / "go").touch()
        await asyncio.gather(*held)

        async def talk(number, connection):
            for n in range(MESSAGES):
                text = f"{number:04} {n}"
                await connection.send(text)
                assert await connection.recv() == text

        async def client():
            return {await ask("/a") for _ in range(REQUESTS)}

        answered = await asyncio.gather(
            *(client() for _ in range(CLIENTS)),
            *(talk(number, connection) for number, connection in enumerate(connections)),
        )
        assert len(set().union(*filter(None, answered))) == 2  # both workers have had some

    await asyncio.gather(*(connection.close() for connection in connections))
    page = await scraped(lambda page: page[f"gnomon_websocket_connections{where}"] == 0)
    for direction in ("received", "sent"):
        labels = f'{{direction="{direction}",http_route="/prices"}}'
        assert page[f"gnomon_websocket_messages_total{labels}"] == SOCKETS * MESSAGES
        assert page[f"gnomon_websocket_message_bytes_total{labels}"] == SOCKETS * MESSAGES * 6
    closed = '{closed_by="client",code="1000",http_route="/prices"}'
    assert page[f"gnomon_websocket_closed_total{closed}"] == SOCKETS
    assert page[f"gnomon_websocket_connection_duration_seconds_count{where}"] == SOCKETS
    assert page['gnomon_websocket_subscriptions{http_route="/prices",type="prices"}'] == 0
    counted = {
        route: sum(
            value
            for name, value in page.items()
            if name.startswith("http_server_request_duration_seconds_count{") and route in name
        )
        for route in ('http_route="/a"', 'http_route="/hold"')
    }
    assert counted == {'http_route="/a"': CLIENTS * REQUESTS, 'http_route="/hold"': CLIENTS}
    assert page[active] == 0
