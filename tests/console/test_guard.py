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


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost:8090", "localhost"])
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
