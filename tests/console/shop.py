"""A program: a small service that asks itself, traced. Its one word is the port to answer on."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException

import gnomon

_PORT = int(sys.argv[1])


async def _ask() -> None:
    chance = random.Random(1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{_PORT}", timeout=30) as client:
        while True:
            path = chance.choice(["/orders/1", "/orders/2", "/things", "/broken"])
            try:
                await client.get(path)
            except httpx.HTTPError:
                continue
            finally:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    asking = asyncio.create_task(_ask())
    yield
    asking.cancel()


app = FastAPI(lifespan=_lifespan)


@app.get("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    """Take a while."""
    await asyncio.sleep(0.02 * number)
    return {"order": number}


@app.get("/things")
async def things() -> list[str]:
    """Answer at once."""
    return ["one"]


@app.get("/broken")
async def broken() -> None:
    """Fail."""
    raise HTTPException(503)


gnomon.instrument(app, service="shop")
uvicorn.run(app, port=_PORT, log_level="warning")
