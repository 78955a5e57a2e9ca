"""Prices as they move: asked for once, told to everybody who listens."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gnomon_demo.quotes import Exchange, ExchangeDown

#: Seconds between two prices.
PAUSE_S = 2.0

Quotes = dict[str, float]


class Prices:
    """Asks the exchange while anybody listens, and no longer."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._listeners: set[asyncio.Queue[tuple[float, Quotes]]] = set()
        self._asking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(self) -> AsyncIterator["asyncio.Queue[tuple[float, Quotes]]"]:
        """Yield a queue that gets a time, in Unix seconds, and the prices of all symbols then.

        A listener that falls behind gets the newest only.
        """
        queue: asyncio.Queue[tuple[float, Quotes]] = asyncio.Queue(1)
        self._listeners.add(queue)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
            if not self._listeners and self._asking is not None:
                self._asking.cancel()
                self._asking = None

    async def _ask(self) -> None:
        while True:
            with suppress(ExchangeDown):  # then nobody is told anything
                prices = await self._exchange.quotes()
                for queue in self._listeners:
                    if queue.full():
                        queue.get_nowait()
                    queue.put_nowait((time.time(), prices))
            await asyncio.sleep(PAUSE_S)
