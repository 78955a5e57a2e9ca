"""A program: a service that does with the library what the demo does not, again and again.

Its one word is the port to answer on. It watches its memory, lets items wait in a queue that is
bounded and gives some of them up, says how far a job is, refuses who asks too often, closes
WebSockets before they begin, breaks streams off, holds memory of a GPU, asks its database slowly
and without an index, waits for a connection in vain, and cancels what takes too long.
"""

import asyncio
import contextlib
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import uvicorn
import websockets
from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import Engine, QueuePool, create_engine, exc, text

import gnomon
from gnomon.databases import asking
from gnomon.usage import gpu
from gnomon.usage import sampler as sampling
from scripted_nvml import ScriptedNvml

_PAUSE_S = 3.0

app = FastAPI()


_limiter = gnomon.watch_limiter(FixedWindowRateLimiter(MemoryStorage()), "orders")


@app.get("/orders")
async def orders(request: Request) -> dict[str, int]:
    """Refuse who comes too often."""
    if not _limiter.hit(RateLimitItemPerSecond(2)):
        gnomon.refused("shop", "too often", request=request)
        raise HTTPException(429)
    return {"orders": 5}


@app.get("/broken")
async def broken() -> None:
    """Fail."""
    raise RuntimeError("as ordered")


@app.get("/stream")
async def stream() -> StreamingResponse:
    """Begin a stream, and break it off."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0.05)
        raise RuntimeError("as ordered")

    return StreamingResponse(pieces())


@app.websocket("/ws")
async def ws(socket: WebSocket) -> None:
    """Do not let them in, or fail once they are."""
    if "fail" in socket.query_params:
        await socket.accept()
        raise RuntimeError("as ordered")
    await socket.close(1008)


async def _visits(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        for path in (*["/orders"] * 4, "/broken", "/stream"):
            with contextlib.suppress(httpx.HTTPError):
                await client.get(path)
    for query in ("", "?fail"):
        with contextlib.suppress(OSError, websockets.WebSocketException):
            async with websockets.connect(f"ws://127.0.0.1:{port}/ws{query}") as socket:
                await socket.recv()


async def _batch() -> None:
    """Let one item succeed, one fail, one take too long by itself, and one never begin."""

    async def nap(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def fail() -> None:
        raise ValueError("as ordered")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    items = [partial(nap, 0), fail, partial(nap, 5), cancelled, *[partial(nap, 0.4)] * 3]
    await gnomon.gather(items, limit=2, timeout=0.6, item_timeout=0.3, name="offers")


async def _queue(queue: "asyncio.Queue[int]", turn: int) -> None:
    """Let a few wait; do some, try one again, give one up."""
    while not queue.full():
        queue.put_nowait(turn)
    for number in range(4):
        async with gnomon.take(queue, worker="packer") as taken:
            if number == 1:
                taken.retried()
            if number == 2:
                taken.gave_up()


@gnomon.timed("pack", memory_warn_mb=200, slow_seconds=0.01)
def _pack(turn: int) -> bytes:
    if turn % 4 == 1:
        raise ValueError("as ordered")
    time.sleep(0.02)
    return bytes(2_000_000)


def _database(folder: str) -> tuple[Engine, Engine]:
    """Return an engine whose queries lack an index, and one whose pool is small."""
    path = f"{folder}/shop.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE sales (id INTEGER PRIMARY KEY, customer TEXT, amount INTEGER)")
        raw.executemany(
            "INSERT INTO sales (customer, amount) VALUES (?, ?)",
            [(f"c{n}", n) for n in range(5000)],
        )
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.1,
        pool_recycle=10,  # connections are opened again and again, and not only before a scrape
    )
    gnomon.watch_engine(engine, name="shop", slow_seconds=0.000001, explain=True)
    lost = create_engine("sqlite:////nowhere/at/all.db", poolclass=QueuePool)
    gnomon.watch_engine(lost, name="lost")
    return engine, lost


def _ask(engine: Engine, lost: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(
            text("SELECT id FROM sales WHERE customer = :who AND amount > :much"),
            {"who": "c7", "much": 3},
        ).all()
        with contextlib.suppress(exc.TimeoutError):  # the one connection is ours
            engine.connect()
    with contextlib.suppress(exc.OperationalError):
        lost.connect()


async def _work(port: int) -> None:
    queue: asyncio.Queue[int] = gnomon.watch_queue(asyncio.Queue(maxsize=12), "parcels")
    with tempfile.TemporaryDirectory() as folder, gnomon.job("stocktaking") as run:
        engine, lost = _database(folder)
        turn = 0
        while True:
            turn += 1
            run.progress(turn % 100 / 100)
            await _queue(queue, turn)
            await _batch()
            with contextlib.suppress(ValueError):
                _pack(turn)
            with gnomon.measure("invoice"):
                await asyncio.sleep(0.02)
            with contextlib.suppress(ValueError), gnomon.measure("refund"):
                raise ValueError("as ordered")
            with contextlib.suppress(ValueError), gnomon.job("refund"):
                if turn % 3 == 1:
                    raise ValueError("as ordered")
            _ask(engine, lost)
            await _visits(port)
            await asyncio.sleep(_PAUSE_S)


def _gpus(folder: str) -> None:
    """Let this process hold memory of a scripted GPU."""
    nvml = ScriptedNvml("two-gpus.yml")
    nvml.gpus[0]["nvmlDeviceGetComputeRunningProcesses"][0]["pid"] = os.getpid()
    nvml.gpus[1]["nvmlDeviceGetComputeRunningProcesses"] = []
    namespace = Path(folder, "pid")
    namespace.symlink_to("pid:[4026531836]")  # the host's, which processes are counted in
    own = partial(gpu.Gpus, load=lambda: nvml, installed=lambda: True, namespace=str(namespace))
    sampling._sampler = sampling.Sampler(own)


def _main(port: int) -> None:
    asking.PAUSE = 0.5
    gnomon.instrument(app, service="shop")
    with tempfile.TemporaryDirectory() as folder:
        _gpus(folder)
        # More than that of the memory is always in use, so it acts.
        with gnomon.memory_guard(0.01, margin=0.005, interval=2.0, again=6.0):
            threading.Thread(target=asyncio.run, args=(_work(port),), daemon=True).start()
            uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


if __name__ == "__main__":
    _main(int(sys.argv[1]))
