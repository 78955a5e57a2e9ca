"""One stack for each checkout: a locked file that says which process runs it, and where."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """The stack that runs: its process, and its parts' ports by name."""

    pid: int
    ports: dict[str, int]


def running(path: Path) -> Running | None:
    """Return the stack that holds the lock at ``path``, or None.

    The kernel drops the lock when its process ends, however it ends: a stale file means nothing.
    """
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        # Whoever has just taken the lock may not have written yet.
        for _ in range(50):
            try:
                said = json.loads(path.read_text())
                return Running(said["pid"], said["ports"])
            except ValueError:
                time.sleep(0.02)
        raise
    return None


@contextmanager
def held(path: Path, ports: dict[str, int]) -> Iterator[None]:
    """Hold the lock for as long as the block runs; raise BlockingIOError where another does."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "ports": ports}))
        file.flush()
        yield


def stop(path: Path, patience_s: float) -> bool:
    """End the stack that holds the lock; return whether it has let go within ``patience_s``."""
    found = running(path)
    if found is None:
        return True
    os.kill(found.pid, signal.SIGTERM)
    end = time.monotonic() + patience_s
    while running(path) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
