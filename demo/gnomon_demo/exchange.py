"""The exchange: an outside API as they are. Slow at times, limited, and sometimes down.

One in fifty requests is refused with 429, one in three hundred takes longer than its clients wait:
retries make up for both. Prices are a function of time alone, so nothing is stored.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, HTTPException

import gnomon
from gnomon_demo.faults import Faults
from gnomon_demo.settings import settings
from gnomon_demo.symbols import SYMBOLS, price

REFUSED = 0.02
HANGING = 0.003
HANGING_S = 1.5

_NEWS = (
    "{} opens a second workshop",
    "Analysts expect a quiet quarter for {}",
    "{} and its suppliers agree on new terms",
    "{} names a new head of research",
    "Orders at {} are above last year's",
    "{} recalls a batch, and says that few are affected",
)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    chosen = settings()
    chosen.prepare()
    app.state.faults = Faults(chosen.faults)
    following = asyncio.create_task(app.state.faults.follow())
    yield
    following.cancel()


async def _as_usual() -> None:
    """Take as long as an outside API takes, and fail as often."""
    if "outage" in app.state.faults:
        raise HTTPException(503, "the exchange is closed")
    chance = random.random()
    if chance < HANGING:
        await asyncio.sleep(HANGING_S)
    elif chance < HANGING + REFUSED:
        raise HTTPException(429, "too many requests", headers={"Retry-After": "1"})
    await asyncio.sleep(min(0.15, random.lognormvariate(math.log(0.02), 0.5)))


app = FastAPI(title="exchange", lifespan=_lifespan, docs_url=None, redoc_url=None)
gnomon.instrument(app, service="exchange")


@app.get("/-/ready")
async def ready() -> dict[str, str]:
    """Say that requests are answered."""
    return {"status": "ready"}


@app.get("/quotes", dependencies=[Depends(_as_usual)])
async def quotes() -> dict[str, float]:
    """Return the price of every symbol now."""
    now = time.time()
    return {symbol: price(symbol, now) for symbol in SYMBOLS}


@app.get("/quotes/{symbol}", dependencies=[Depends(_as_usual)])
async def quote(symbol: str) -> dict[str, float | str]:
    """Return one price, and when it was true."""
    now = time.time()
    return {"symbol": _known(symbol), "price": price(symbol, now), "at": now}


@app.get("/quotes/{symbol}/history", dependencies=[Depends(_as_usual)])
async def history(symbol: str) -> list[float]:
    """Return the prices of the last two hours, one a minute, the newest last."""
    minute = int(time.time() // 60)
    return [price(_known(symbol), 60.0 * (minute - age)) for age in range(119, -1, -1)]


@app.get("/news/{symbol}", dependencies=[Depends(_as_usual)])
async def news(symbol: str) -> list[str]:
    """Return the headlines of this hour."""
    chosen = random.Random(f"{_known(symbol)} {time.time() // 3600}")
    return [headline.format(symbol) for headline in chosen.sample(_NEWS, 3)]


def _known(symbol: str) -> str:
    if symbol not in SYMBOLS:
        raise HTTPException(404, f"no symbol {symbol}")
    return symbol
