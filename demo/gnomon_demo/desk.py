"""The desk: a FastAPI application, instrumented in one line. The place to start reading."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import TimeoutError as NoConnection

import gnomon
from gnomon_demo import effects, logs, queueing, schedule, uploads
from gnomon_demo.catalogue import Catalogue
from gnomon_demo.database import Database
from gnomon_demo.faults import Faults
from gnomon_demo.market import Market
from gnomon_demo.prices import Prices
from gnomon_demo.queueing import Transcriptions
from gnomon_demo.quotes import Exchange
from gnomon_demo.routes import api, faults, live, pages, transcribe
from gnomon_demo.settings import Settings, settings
from gnomon_demo.state import Desk


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what a worker needs, run what it does besides answering, and close all of it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    app.state.desk = desk = await _opened(settings())
    tasks = [
        asyncio.create_task(desk.faults.follow()),
        asyncio.create_task(schedule.follow(desk)),
        *(
            asyncio.create_task(desk.transcriptions.work(str(n + 1)))
            for n in range(queueing.WORKERS)
        ),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        desk.exchange.close()
        await desk.database.close()


async def _opened(chosen: Settings) -> Desk:
    chosen.prepare()
    database = Database(chosen.database)
    await database.prepare(chosen.data / "database.lock")
    exchange = Exchange(chosen.exchange)
    catalogue = Catalogue(database)
    market = Market(exchange, database, _redis(chosen.redis))
    running = Faults(chosen.faults)
    transcriptions = Transcriptions(
        database,
        chosen.transcripts,
        chosen.uploads,
        running,
        exchange,
        elsewhere=_celery(chosen.celery),
    )
    running.effects = effects.effects(
        database, catalogue, market, transcriptions, pool_s=chosen.pool_s
    )
    return Desk(
        settings=chosen,
        database=database,
        exchange=exchange,
        catalogue=catalogue,
        market=market,
        prices=Prices(exchange),
        transcriptions=transcriptions,
        faults=running,
    )


def _redis(url: str | None) -> Any:
    """Return a client for the caches' second tier, None where no address is given."""
    if url is None:
        return None
    from redis.asyncio import Redis  # noqa: PLC0415  # needed by those who have one

    return Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


def _celery(url: str | None) -> Callable[[str, int], Awaitable[None]] | None:
    """Return what submits to Celery, None where no broker is given."""
    if url is None:
        return None
    from gnomon_demo.tasks import submit  # noqa: PLC0415  # needed by those who have one

    return submit


def _end_with_parent() -> None:
    """End this worker once the process that started it is gone, however that ended."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


logs.begin("desk")
app = FastAPI(title="desk", lifespan=_lifespan, docs_url=None, redoc_url=None)
gnomon.instrument(app, service="desk", service_version="1.0")
gnomon.web_vitals(app)

app.add_middleware(uploads.Limited)
app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")), name="static")
for subject in (api, live, transcribe, faults, pages):
    app.include_router(subject.router)


@app.exception_handler(NoConnection)
async def _busy(_request: Request, _error: Exception) -> JSONResponse:
    """Say that the database has no connection left, which is no mistake of the program."""
    return JSONResponse({"detail": "no connection to the database is free"}, 503)


@app.get("/-/ready")
async def ready() -> dict[str, str]:
    """Say that requests are answered."""
    return {"status": "ready"}
