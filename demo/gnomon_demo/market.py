"""The market: prices, analysis and news of a symbol, each in a cache of its own."""

import asyncio
import time
from typing import Any

import numpy as np
from sqlalchemy import select

import gnomon
from gnomon_demo.database import Database, Tick
from gnomon_demo.quotes import Exchange, ExchangeDown
from gnomon_demo.symbols import SYMBOLS

#: Seconds of prices that a page begins with.
RECENT_S = 900.0


class NotTraded(Exception):  # noqa: N818  # it says what is the matter with a symbol
    """Nobody knows a price of the symbol, and none was ever seen."""


class Market:
    """What is known of symbols.

    redis: a second tier of the price cache, which all workers share; None for none.
    """

    def __init__(self, exchange: Exchange, database: Database, redis: Any = None) -> None:
        self._exchange = exchange
        self._database = database
        self.price = gnomon.cached("price_data", maxsize=64, ttl=15, l2=redis, l2_ttl=30)(
            exchange.quote
        )
        self.news = gnomon.cached("news", maxsize=64, ttl=300)(exchange.news)
        self.analysis = gnomon.cached("technical_analysis", maxsize=64, ttl=60)(self._analysis)

    async def show(self, symbol: str) -> dict[str, Any]:
        """Return price, analysis and headlines.

        While the exchange is down the last price that was seen stands in, and says that it is
        stale. Raises NotTraded.
        """
        try:
            price, analysis, news = await asyncio.gather(
                self.price(symbol), self.analysis(symbol), self.news(symbol)
            )
        except ExchangeDown as error:
            if error.status == 404:
                raise NotTraded(symbol) from None
            return {**await self._last(symbol), "analysis": None, "news": [], "stale": True}
        return {**price, "analysis": analysis, "news": news, "stale": False}

    async def refresh(self) -> None:
        """Write down the price of every symbol. Raises quotes.ExchangeDown."""
        prices = await self._exchange.quotes()
        async with self._database.session() as session:
            session.add_all(Tick(symbol=symbol, price=price) for symbol, price in prices.items())
            await session.commit()

    async def recent(self) -> dict[str, list[float]]:
        """Return the prices of every symbol that were written down lately, the newest last."""
        wanted = select(Tick.symbol, Tick.price).where(Tick.at > time.time() - RECENT_S)
        found: dict[str, list[float]] = {symbol: [] for symbol in SYMBOLS}
        async with self._database.session() as session:
            for symbol, price in await session.execute(wanted.order_by(Tick.at)):
                found.setdefault(symbol, []).append(price)
        return found

    def forget(self) -> None:
        """Empty all caches."""
        for cache in (self.price, self.news, self.analysis):
            cache.cache_clear()

    async def _analysis(self, symbol: str) -> dict[str, float]:
        return analyse(await self._exchange.history(symbol))

    async def _last(self, symbol: str) -> dict[str, Any]:
        newest = select(Tick).where(Tick.symbol == symbol).order_by(Tick.at.desc()).limit(1)
        async with self._database.session() as session:
            tick = await session.scalar(newest)
        if tick is None:
            raise NotTraded(symbol)
        return {"symbol": symbol, "price": tick.price, "at": tick.at}


def analyse(prices: list[float]) -> dict[str, float]:
    """Return averages, volatility and relative strength of prices, one a minute, newest last."""
    series = np.asarray(prices)
    steps = np.diff(series)
    gains, losses = steps.clip(min=0)[-14:].mean(), -steps.clip(max=0)[-14:].mean()
    return {
        "average_20": round(float(series[-20:].mean()), 4),
        "average_60": round(float(series[-60:].mean()), 4),
        "change": round(float(series[-1] / series[0] - 1), 6),
        "volatility": round(float(np.std(np.diff(np.log(series)))), 6),
        "strength": round(float(100 * gains / (gains + losses)) if gains + losses else 50.0, 2),
    }
