"""Who runs: the tasks of an event loop take turns in one thread, and blocks of theirs overlap."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any


def taken() -> bool:
    """Whether other work may run in this thread before a block in it ends."""
    if asyncio._get_running_loop() is not None or _trio() is not None:  # noqa: SLF001  # public since 3.5.3, and the only one that does not raise
        return True
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def _trio() -> Any:
    """Return the running task of trio, None without one."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:
        return None


def who() -> tuple[int, int]:
    """Return what tells the running task and thread from all others that are alive."""
    task: Any = None
    if asyncio._get_running_loop() is not None:  # noqa: SLF001
        task = asyncio.current_task()
    return threading.get_ident(), id(task or _trio())


async def nap() -> None:
    """Let others run for two milliseconds."""
    if _trio() is not None:
        await sys.modules["trio"].sleep(0.002)
    else:
        await asyncio.sleep(0.002)
