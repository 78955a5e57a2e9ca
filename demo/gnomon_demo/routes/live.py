"""What goes on by itself: prices by WebSocket, a batch's progress by server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

import gnomon
from gnomon_demo.state import Desk, Here
from gnomon_demo.symbols import SYMBOLS

router = APIRouter(tags=["live"])

#: Seconds between two heartbeats, and after which a client that says nothing is given up.
HEARTBEAT_S, PATIENCE_S = 20.0, 60.0

#: Seconds between two looks at a batch, and for how long one is followed.
LOOK_S, LONGEST_S = 0.5, 600.0


class _Client:
    """One WebSocket: what it wants to hear of, and when it was heard of last."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.wanted: set[str] = set()
        self.heard_s = time.monotonic()

    async def read(self) -> None:
        """Take what the client says, until it goes."""
        with suppress(WebSocketDisconnect):
            while True:
                said = await self.socket.receive_text()
                self.heard_s = time.monotonic()
                self._take(said)

    def _take(self, said: str) -> None:
        """Follow ``{"subscribe": [SYMBOL, …]}`` and ``{"unsubscribe": […]}``; else it is a pong."""
        try:
            message = json.loads(said)
            on = SYMBOLS.keys() & message.get("subscribe", ())
            off = SYMBOLS.keys() & message.get("unsubscribe", ())
        except (ValueError, AttributeError, TypeError):
            return
        gnomon.subscribed(self.socket, "prices", len(on - self.wanted))
        gnomon.unsubscribed(self.socket, "prices", len(off & self.wanted))
        self.wanted = (self.wanted | on) - off

    async def tell(self, queue: "asyncio.Queue[tuple[float, dict[str, float]]]") -> None:
        """Send prices as they come, and heartbeats where none come; return when it is given up."""
        while time.monotonic() - self.heard_s < PATIENCE_S:
            try:
                at, prices = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
            except TimeoutError:
                await self.socket.send_json({"ping": time.time()})
                continue
            wanted = {symbol: prices[symbol] for symbol in self.wanted & prices.keys()}
            if wanted:
                await self.socket.send_json({"at": at, "prices": wanted})
        gnomon.heartbeat_expired(self.socket)
        await self.socket.close(4000, "no answer to the heartbeat")


@router.websocket("/ws/prices")
async def prices(socket: WebSocket, desk: Here) -> None:
    """Send the prices of the symbols that the client subscribes to."""
    await socket.accept()
    client = _Client(socket)
    async with desk.prices.listen() as queue:
        tasks = {asyncio.create_task(client.read()), asyncio.create_task(client.tell(queue))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@router.get("/transcribe/batches/{batch}/events")
async def batch_events(desk: Here, batch: str) -> StreamingResponse:
    """Tell how far a batch is, whenever that changes, until all of it is done."""
    return StreamingResponse(_progress(desk, batch), media_type="text/event-stream")


async def _progress(desk: Desk, batch: str) -> AsyncIterator[str]:
    told: dict[str, Any] = {}
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        states = await desk.transcriptions.states(batch)
        if states != told:
            told = states
            yield f"event: progress\ndata: {json.dumps(states)}\n\n"
        if not states.keys() & {"queued", "running"}:
            break
        await asyncio.sleep(LOOK_S)
    yield "event: done\ndata: {}\n\n"
