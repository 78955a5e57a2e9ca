"""Public use of the library, for mypy --strict; nothing here is run."""

from fastapi import FastAPI, WebSocket
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

import gnomon

app = FastAPI()
gnomon.instrument(app, service="transcriber")
gnomon.instrument(
    Starlette(),
    service="transcriber",
    service_version="1.0",
    registry=CollectorRegistry(),
    metrics_path=None,
    metrics_token="secret",
    exclude=["^/internal/"],
    streams=("/events",),
    max_series=100,
    tracing="off",
    sample_ratio=0.1,
)
gnomon.uninstrument(app)


@app.websocket("/prices")
async def prices(websocket: WebSocket) -> None:
    """Use what there is for WebSockets."""
    gnomon.subscribed(websocket, "prices")
    gnomon.unsubscribed(websocket, "prices", amount=1)
    gnomon.heartbeat_expired(websocket)


def asks_again() -> None:
    """Use what there is for requests that are sent again."""
    with gnomon.attempts():
        pass
