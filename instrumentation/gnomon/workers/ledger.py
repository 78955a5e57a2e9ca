"""The files of one run: who lives, what each saved last, and what the dead have left."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from gnomon.workers import codec
from gnomon.workers.merging import cumulative, merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

_ALIVE, _SNAPSHOT = ".alive", ".snapshot"

#: Seconds after which the directory of a run without living workers is removed.
FORGOTTEN = 3600.0


class Seat:
    """This process's place in a run, held until it dies.

    The lock is a POSIX one: a child that this process forks does not hold it on.
    """

    def __init__(self, folder: str) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.folder = folder
        self._alive = os.path.join(folder, self.name + _ALIVE)
        self._saved = b""
        # Locked before it has its name, or a peer might take it for a dead one's.
        new = os.path.join(folder, self.name + ".new")
        self._file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(new, self._alive)

    def holds(self) -> bool:
        """Whether the place is still there: somebody may have emptied the directory."""
        return os.path.exists(self._alive)

    def save(self, page: bytes) -> None:
        """Save a snapshot, whole or not at all. Raises OSError."""
        if page == self._saved:
            return
        path = os.path.join(self.folder, self.name + _SNAPSHOT)
        _replace(path, page)
        self._saved = page


@contextlib.contextmanager
def socket_path(folder: str, name: str) -> Iterator[str]:
    """Yield where a worker listens, as short as addresses of Unix sockets have to be."""
    path = os.path.join(folder, f"{name}.sock")
    if len(os.fsencode(path)) < 104:  # 108 on Linux, 104 elsewhere, with the final zero
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}.sock"
    finally:
        os.close(descriptor)


def snapshot(folder: str, name: str) -> bytes | None:
    """Return what a worker saved last, None if nothing."""
    try:
        with open(os.path.join(folder, name + _SNAPSHOT), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def locked(folder: str, patience: float) -> Iterator[bool]:
    """Hold the run's lock; yield whether it was had within so many seconds."""
    file = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + patience
        had = False
        while not had:
            try:
                # flock's lock is the open file's, so that threads exclude each other as well.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                had = True
            except BlockingIOError:
                if time.monotonic() > until:
                    break
                time.sleep(0.005)
        yield had
    finally:
        os.close(file)


def living(folder: str, own: str) -> tuple[list[str], list[str]]:
    """Return the names of the other workers that live, and of those that have died."""
    alive: list[str] = []
    dead: list[str] = []
    for entry in os.listdir(folder):
        if entry.endswith(_ALIVE) and (name := entry.removesuffix(_ALIVE)) != own:
            (dead if _is_dead(os.path.join(folder, entry)) else alive).append(name)
    return sorted(alive), sorted(dead)


def _is_dead(path: str) -> bool:
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(file)


def bury(folder: str, dead: list[str]) -> list[Metric]:
    """Add the dead's last snapshots to the ledger, remove their files, return the ledger's page.

    The run's lock must be held. Raises OSError.
    """
    path = os.path.join(folder, "ledger")
    counted, page = _ledger(path)
    new = [name for name in dead if name not in counted]
    pages = [page]
    for name in new:
        data = snapshot(folder, name)
        if data is not None:
            with contextlib.suppress(ValueError):
                pages.append(cumulative(codec.load(data)))
    if len(pages) > 1:
        page = merge(pages)
    if dead:
        # The names stay until the files are gone: whoever dies in between counts nobody twice.
        _replace(path, _written(dead, page))
        for name in dead:
            for ending in (_SNAPSHOT, ".sock", _ALIVE):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, name + ending))
    return page


def ledger(folder: str) -> list[Metric]:
    """Return the page of the dead."""
    return _ledger(os.path.join(folder, "ledger"))[1]


def _ledger(path: str) -> tuple[list[str], list[Metric]]:
    try:
        with open(path, "rb") as file:
            first, _, rest = file.read().partition(b"\n")
        return json.loads(first), codec.load(rest)
    except (FileNotFoundError, ValueError):
        return [], []


def _written(names: list[str], page: list[Metric]) -> bytes:
    return json.dumps(names).encode() + b"\n" + codec.dump(page)


def _replace(path: str, data: bytes) -> None:
    new = f"{path}.{os.getpid()}.tmp"
    try:
        with open(new, "wb") as file:
            file.write(data)
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def forget_old_runs(folder: str) -> None:
    """Remove the directories beside this one in which nobody has lived for an hour."""
    base = os.path.dirname(folder)
    for entry in os.listdir(base):
        other = os.path.join(base, entry)
        if other == folder:
            continue
        with contextlib.suppress(OSError):
            if time.time() - os.stat(other).st_mtime > FORGOTTEN and not living(other, "")[0]:
                shutil.rmtree(other)
