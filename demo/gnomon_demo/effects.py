"""What the faults do that do not merely change how a request is answered."""

import asyncio
import mmap
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

from sqlalchemy.exc import TimeoutError as NoConnection

from gnomon_demo.catalogue import Catalogue
from gnomon_demo.database import OVERFLOW, POOL_SIZE, Database
from gnomon_demo.market import Market
from gnomon_demo.queueing import Transcriptions
from gnomon_demo.tones import tone

MIB = 1 << 20

#: The fault `leak`: MiB a second, and how many at most, in each worker.
LEAK_MIB, LEAK_MOST_MIB = 2, 256

#: The fault `pool`: connections that each worker takes early, and in which share of the time.
POOL_EARLY, POOL_EARLY_SHARE = (POOL_SIZE + OVERFLOW) * 8 // 10, 0.25

#: The fault `cache-storm`: seconds between two times that the caches are emptied.
STORM_S = 0.1

#: The fault `backlog`: seconds between two recordings, in each worker.
BACKLOG_S = 0.4


def effects(
    database: Database,
    catalogue: Catalogue,
    market: Market,
    transcriptions: Transcriptions,
    *,
    pool_s: float,
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return what each fault runs in a worker; cancelled, it leaves nothing behind.

    pool_s: seconds until the fault `pool` has all connections.
    """

    async def leak() -> None:
        kept = []
        for _ in range(LEAK_MOST_MIB // LEAK_MIB):
            # Mapped by themselves, so that the end gives all of it back to the system.
            piece = mmap.mmap(-1, LEAK_MIB * MIB)
            piece.write(b"x" * len(piece))
            kept.append(piece)
            await asyncio.sleep(1)
        await asyncio.Event().wait()

    async def pool() -> None:
        async with AsyncExitStack() as held:

            async def take() -> None:
                with suppress(NoConnection):  # all are taken: ours, or in use for a moment
                    await held.enter_async_context(database.engine.connect())

            # Nobody goes without while some are left, and the pool is seen to be nearly used up.
            for _ in range(POOL_EARLY):
                await take()
                await asyncio.sleep(pool_s * POOL_EARLY_SHARE / POOL_EARLY)
            await asyncio.sleep(pool_s * (1 - POOL_EARLY_SHARE))
            while True:
                await take()

    async def storm() -> None:
        while True:
            market.forget()
            catalogue.forget()
            await asyncio.sleep(STORM_S)

    async def backlog() -> None:
        recording = tone(1.0)
        while True:
            await transcriptions.submit([("backlog.wav", recording)], "low")
            await asyncio.sleep(BACKLOG_S)

    return {"leak": leak, "pool": pool, "cache-storm": storm, "backlog": backlog}
