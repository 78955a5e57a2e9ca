"""The desk: a FastAPI application, instrumented in one line."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

import gnomon
from gnomon_demo import faults, market
from gnomon_demo.quotes import Exchange
from gnomon_demo.settings import settings


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the worker needs, and close it again."""
    chosen = settings()
    chosen.prepare()
    app.state.exchange = Exchange(chosen.exchange)
    app.state.faults = faults.Faults(chosen.faults)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    background = [asyncio.create_task(app.state.faults.follow())]
    try:
        yield
    finally:
        for task in background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        app.state.exchange.close()


def _end_with_parent() -> None:
    """End this worker once the process that started it is gone, however that ended."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


app = FastAPI(title="desk", lifespan=_lifespan, docs_url=None, redoc_url=None)
gnomon.instrument(app, service="desk", service_version="1.0")
app.include_router(market.router)


@app.get("/-/ready")
async def ready() -> dict[str, str]:
    """Say that requests are answered."""
    return {"status": "ready"}
