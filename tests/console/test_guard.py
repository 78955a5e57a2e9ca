"""What keeps other pages from using the console."""

from pathlib import Path

import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from gnomon_console import guard
from gnomon_console.settings import settings


@pytest.fixture
def client():
    """An application behind the guard."""
    app = FastAPI()
    app.get("/")(lambda: "read")
    app.post("/")(lambda: "changed")

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("live")

    guard.add(app, settings({"GNOMON_ROOT": str(Path.cwd())}))
    return TestClient(app, base_url="http://127.0.0.1:8090")


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost:8090", "localhost", "[::1]:8090"])
def test_it_answers_at_its_own_names(client, host):
    """With what browsers shall not do."""
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 200
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_a_name_of_somebody_elses_is_refused(client, host):
    """One that leads to 127.0.0.1 as well: what a page from elsewhere would ask by."""
    assert client.get("/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_a_page_from_elsewhere_changes_nothing(client, origin):
    """It may not connect either."""
    assert client.post("/", headers={"origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/live", headers={"origin": origin, "host": "127.0.0.1:8090"}),
    ):
        pass


def test_its_own_page_and_programs_may(client):
    """A program sends no origin, and could ask Alertmanager itself."""
    own = {"origin": "http://127.0.0.1:8090", "host": "127.0.0.1:8090"}
    assert client.post("/", headers=own).status_code == 200
    assert client.post("/").status_code == 200
    with client.websocket_connect("/live", headers=own) as socket:
        assert socket.receive_text() == "live"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_from_elsewhere_may_link_to_it_and_no_more(client, site):
    """Another port of this machine is somebody else's, too."""
    link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    assert client.post("/", headers=link).status_code == 403
    for mode in ("cors", "no-cors", "websocket"):
        assert client.get("/", headers={**link, "sec-fetch-mode": mode}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_what_answers_every_page_is_no_link(client):
    """By HTTP, too, and to browsers that do not say what they ask for."""
    evil = {"origin": "http://evil.example"}
    assert client.get("/_nicegui_ws/socket.io/", headers=evil).status_code == 403
    assert client.options("/_nicegui_ws/socket.io/", headers=evil).status_code == 403
    assert client.get("/_nicegui_ws/socket.io/").status_code == 404


def test_scripts_connect_to_the_page_s_own_host_alone(client):
    """Named, for not every browser takes 'self' for WebSockets; what is no host is not repeated."""
    policy = client.get("/").headers["content-security-policy"]
    assert "connect-src 'self' ws://127.0.0.1:8090 wss://127.0.0.1:8090;" in policy
    app = FastAPI()
    guard.add(app, settings({}), any_name=True, headers={"X-Frame-Options": "sameorigin"})
    answer = TestClient(app).get("/", headers={"host": "a; script-src *"})
    assert "ws://localhost wss://localhost;" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "sameorigin"
