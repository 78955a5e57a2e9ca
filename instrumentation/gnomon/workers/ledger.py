"""The files of one run: who lives, what each saved last, and what the dead have left."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from gnomon.workers import codec
from gnomon.workers.codec import Page
from gnomon.workers.merging import cumulative, merge
from gnomon.workers.removals import remembered, without

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from prometheus_client import Metric

    from gnomon.workers.merging import Key

_NEW, _ALIVE, _SNAPSHOT, _PARENT, _LEDGER = ".new", ".alive", ".snapshot", ".parent", "ledger"

#: Seconds after which the directory of a run without living workers is removed.
FORGOTTEN = 3600.0


#: The seats of this process: its own locks keep it from nothing, so it must not try them.
_own: set[str] = set()
os.register_at_fork(after_in_child=_own.clear)


class Seat:
    """This process's place in a run, held until it dies.

    The lock is a POSIX one: a child that this process forks does not hold it on.
    """

    def __init__(self, folder: str) -> None:
        self.server: socket.socket | None = None
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.folder = folder
        self._alive = os.path.join(folder, self.name + _ALIVE)
        self._saved = b""
        # Locked before it has its name, or a peer might take it for a dead one's.
        new = os.path.join(folder, self.name + _NEW)
        self._file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _own.add(self.name)
        os.rename(new, self._alive)
        # systemd-tmpfiles, which removes what is old from /tmp, keeps off locked directories.
        self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):
            fcntl.flock(self._directory, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def leave(self) -> None:
        """Give up a place that is gone; one that is there becomes a dead worker's."""
        _own.discard(self.name)
        for descriptor in (self._file, self._directory):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        if self.server is not None:
            with contextlib.suppress(OSError):
                self.server.shutdown(socket.SHUT_RDWR)  # which wakes whoever waits for a peer
            self.server.close()

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


def snapshot(folder: str, name: str) -> Page | None:
    """Return what a worker saved last, None if there is nothing that can be read."""
    try:
        with open(os.path.join(folder, name + _SNAPSHOT), "rb") as file:
            return codec.load(file.read())
    except (FileNotFoundError, ValueError):
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
        # Not merely closed: a process that was forked meanwhile has it open, too, and for good.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


class Members(NamedTuple):
    """Who has files in a run, besides oneself: names of workers, and of processes forked from."""

    alive: list[str]
    dead: list[str]
    parents: list[str]


def members(folder: str, own: str = "") -> Members:
    """Return whose files there are. own: the name of the worker that asks."""
    found = Members([], [], [])
    for entry in sorted(os.listdir(folder)):
        name, ending = os.path.splitext(entry)
        if ending == _PARENT:
            found.parents.append(name)
        elif ending == _ALIVE and name != own:
            is_dead = name not in _own and _is_dead(os.path.join(folder, entry))
            (found.dead if is_dead else found.alive).append(name)
        elif ending == _NEW and _is_old(os.path.join(folder, entry)):
            found.dead.append(name)
    return found


def _is_old(path: str) -> bool:
    """Whether a file is from a worker that was killed before it was one."""
    try:
        return time.time() - os.stat(path).st_mtime > 60
    except OSError:
        return False


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


def bury(folder: str, dead: list[str]) -> Page:
    """Add the dead's last snapshots to the ledger, remove their files, return the ledger's page.

    The run's lock must be held. Raises OSError.
    """
    counted, page = _ledger(folder)
    if not dead:
        return page
    page = _with(page, [snapshot(folder, name) for name in dead if name not in counted])
    # The names stay until the files are gone: whoever dies in between counts nobody twice.
    _write(folder, dead, page)
    names = set(dead)
    last = []
    for entry in os.listdir(folder):
        name, _, rest = entry.partition(".")
        # Whoever is killed while writing leaves what it wrote; the shared files have one writer.
        shared = name == _LEDGER or rest.startswith(_PARENT[1:])
        if name in names and entry.endswith((_ALIVE, _NEW)):
            last.append(entry)  # by which the others are found, should this be cut short
        elif name in names or (shared and rest.endswith(".tmp")):
            _unlink(folder, entry)
    for entry in last:
        _unlink(folder, entry)
    return page


def _unlink(folder: str, entry: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, entry))


def unburied(folder: str, dead: list[str]) -> Page:
    """Return what ``bury`` would, and change nothing."""
    counted, page = _ledger(folder)
    return _with(page, [snapshot(folder, name) for name in dead if name not in counted])


def state(folder: str) -> tuple[int, int] | None:
    """Return what changes whenever the ledger does."""
    try:
        found = os.stat(os.path.join(folder, _LEDGER))
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _with(page: Page, others: list[Page | None]) -> Page:
    pages = [page, *(other for other in others if other is not None)]
    if len(pages) == 1:
        return page
    return Page(
        merge(cumulative(each.families) for each in pages),
        remembered(each.removed for each in pages),
    )


def remember(folder: str, removed: list[Metric]) -> None:
    """Note series that a worker has removed. The run's lock must be held. Raises OSError."""
    counted, page = _ledger(folder)
    _write(folder, counted, Page(page.families, remembered([page.removed, removed])))


def forget(folder: str, parents: list[str], gone: AbstractSet[Key]) -> None:
    """Take removed series out of what the dead, and those forked from, have counted.

    The run's lock must be held. Raises OSError.
    """
    counted, page = _ledger(folder)
    rest = Page(without(page.families, gone), without(page.removed, gone))
    if rest != page:
        _write(folder, counted, rest)
    for name in parents:
        before = parent(folder, name)
        if (left := without(before, gone)) is not before:
            _replace(os.path.join(folder, name + _PARENT), codec.dump(left))


def parent(folder: str, name: str) -> list[Metric]:
    """Return what a process had counted when it forked workers."""
    try:
        with open(os.path.join(folder, name + _PARENT), "rb") as file:
            return codec.load(file.read()).families
    except (FileNotFoundError, ValueError):
        return []


def inherit(folder: str, name: str, page: list[Metric]) -> None:
    """Save what a process had counted when it forked this one: it counts once, not in each child.

    The run's lock must be held. Raises OSError.
    """
    # It may have counted on between two forks; it can only have become more.
    latest = merge([parent(folder, name), page], larger=True)
    _replace(os.path.join(folder, name + _PARENT), codec.dump(latest))


def _ledger(folder: str) -> tuple[list[str], Page]:
    try:
        with open(os.path.join(folder, _LEDGER), "rb") as file:
            first, _, rest = file.read().partition(b"\n")
        return json.loads(first), codec.load(rest)
    except (FileNotFoundError, ValueError):
        return [], Page([], [])


def _write(folder: str, names: list[str], page: Page) -> None:
    data = json.dumps(names).encode() + b"\n" + codec.dump(page.families, page.removed)
    _replace(os.path.join(folder, _LEDGER), data)


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
            if time.time() - os.stat(other).st_mtime > FORGOTTEN and not members(other).alive:
                shutil.rmtree(other)
