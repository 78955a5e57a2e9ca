"""One load for all who want the same value at the same time: threads, or tasks of a loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

#: Seconds for which a caller waits for another one's load, before it calls the function itself.
PATIENCE = 30.0


class Flight:
    """A load that is under way in a thread.

    Others wait for the lock, which its thread holds until it has landed. outcome: True when there
    is a value, False when there is an error, None when the load was given up, by an interrupt for
    example, and somebody else has to try.
    """

    __slots__ = ("error", "lock", "outcome", "owner", "value")

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.lock = threading.Lock()
        self.lock.acquire()
        self.outcome: bool | None = None
        self.value: Any = None
        self.error: BaseException | None = None

    def land(self) -> None:
        """Let the others go on."""
        self.lock.release()

    def wait(self) -> bool:
        """Wait until it has landed; return whether it has."""
        if not self.lock.acquire(timeout=PATIENCE):
            return False
        self.lock.release()
        return True


class AsyncFlight:
    """A load that is under way in a task; see ``Flight``."""

    __slots__ = ("error", "future", "loop", "outcome", "owner", "value")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.owner = asyncio.current_task(loop)
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.outcome: bool | None = None
        self.value: Any = None
        self.error: BaseException | None = None

    def land(self) -> None:
        """Let the others go on."""
        if not self.future.done() and not self.loop.is_closed():
            self.future.set_result(None)

    async def wait(self) -> bool:
        """Wait until it has landed; return whether it has."""
        done, _ = await asyncio.wait({self.future}, timeout=PATIENCE)
        return bool(done)
