"""One worker of a run: it saves, answers its peers, and gathers theirs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from prometheus_client import Metric

from gnomon import guard
from gnomon.workers import codec, ledger, run
from gnomon.workers.merging import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Seconds between two snapshots.
INTERVAL = 1.0

#: Seconds that all peers together are waited for, before their snapshots are taken instead.
PATIENCE = 1.0

#: Seconds for which a process looks for a socket that it shares, from its start on.
LOOKING = 60.0


class Worker:
    """This process among those that serve the same socket.

    name: what tells this page from others of the same process. collect: returns this worker's
    own families. A process that turns out to be alone does nothing further.
    """

    def __init__(self, name: str, collect: Callable[[], Iterable[Metric]]) -> None:
        self._name = hashlib.sha256(name.encode()).hexdigest()[:8]
        self._collect = collect
        self._pid = 0
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._wanted = threading.Event()
        self._seat: ledger.Seat | None = None
        self._alone = False

    def start(self) -> None:
        """Take part in the run, once in each process; called on its first request or event."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._seat, self._alone = None, False
        threading.Thread(target=self._work, name="gnomon worker", daemon=True).start()

    def wake(self) -> None:
        """Join the run now: there is something to tell."""
        self.start()
        self._wanted.set()

    def gather(self) -> list[Metric]:
        """Return the families of the whole run, or of this process if it is alone."""
        self.start()
        seat = self._joined()
        if seat is None:
            return list(self._collect())
        # Saved before it is told: what was told once must not be lost with this process.
        own, _ = self._page(seat)
        try:
            return self._whole(seat, own)
        except OSError:
            guard.failed("workers")
            return own

    def _page(self, seat: ledger.Seat) -> tuple[list[Metric], bytes]:
        """Collect and save this worker's own families."""
        with self._saving:  # or an older page could be saved after a newer one
            families = list(self._collect())
            page = codec.dump(families)
            try:
                seat.save(page)
            except OSError:
                guard.failed("worker's snapshot")
        return families, page

    def save(self) -> None:
        """Save what there is now, at the end of the process for example."""
        seat = self._seat
        if seat is not None and self._pid == os.getpid():
            try:
                self._page(seat)
            except Exception:
                guard.failed("worker's snapshot")

    def _whole(self, seat: ledger.Seat, own: list[Metric]) -> list[Metric]:
        # While it is held nobody moves a snapshot into the ledger: each counts in one of them.
        with ledger.locked(seat.folder, 2 * PATIENCE) as held:
            alive, dead = ledger.living(seat.folder, seat.name)
            if held:
                buried = ledger.bury(seat.folder, dead)
            else:
                buried = ledger.ledger(seat.folder)
                alive += dead
            pages = [own, buried, *self._pages(seat.folder, alive)]
        count = Metric("gnomon_workers", "Processes that serve this socket and live.", "gauge")
        count.add_sample("gnomon_workers", {}, 1 + len(alive))
        return [*merge(pages), count]

    def _pages(self, folder: str, names: list[str]) -> list[list[Metric]]:
        """Return the peers' pages: as they say, or as they saved last."""
        until = time.monotonic() + PATIENCE
        asked = [(name, _asked(folder, name)) for name in names]  # all, before any is waited for
        pages = []
        for name, connection in asked:
            data = _answer(connection, until) if connection is not None else None
            try:
                page = codec.load(data) if data else None
            except ValueError:
                page = None
            if page is None and (saved := ledger.snapshot(folder, name)):
                with contextlib.suppress(ValueError):
                    page = codec.load(saved)
            if page is not None:
                pages.append(page)
        return pages

    def _joined(self) -> ledger.Seat | None:
        """Return this process's place in its run, taken now if that is possible."""
        with self._lock:
            if self._alone:
                return None
            if self._seat is not None and self._seat.holds():
                return self._seat
            self._seat = None
            try:
                folder = run.directory(self._name)
                if folder is None:
                    return None
                seat = ledger.Seat(folder)
                self._listen(seat)
                self._seat = seat
                if not os.environ.get("GNOMON_RUN_DIR"):
                    ledger.forget_old_runs(folder)
            except run.Alone:
                self._alone = True
            except OSError:
                guard.failed("workers")
            return self._seat

    def _work(self) -> None:
        """Look for the run, then save every second."""
        until = time.monotonic() + LOOKING
        pause = 0.1
        while True:
            # Once a request is here, the socket that it came through must be there as well.
            last = self._wanted.is_set() or time.monotonic() > until
            if self._joined() is not None:
                break
            if self._alone or last:
                self._alone = True
                return
            self._wanted.wait(pause)
            pause = min(2 * pause, 1.0)
        while True:
            time.sleep(INTERVAL)
            if self._joined() is not None:
                self.save()

    def _listen(self, seat: ledger.Seat) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with ledger.socket_path(seat.folder, seat.name) as path:
                server.bind(path)
        except OSError:
            # A file system without sockets, for example: the peers read the snapshots.
            server.close()
            guard.failed("worker's socket")
            return
        server.listen(16)
        threading.Thread(
            target=self._serve, args=(server, seat), name="gnomon peers", daemon=True
        ).start()

    def _serve(self, server: socket.socket, seat: ledger.Seat) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    _, page = self._page(seat)
                    connection.settimeout(PATIENCE)
                    connection.sendall(page)
                except OSError:
                    continue  # the peer did not wait
                except Exception:
                    guard.failed("worker's answer")


def _asked(folder: str, name: str) -> socket.socket | None:
    """Connect to a peer, which is all it takes to ask."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(0.2)
    try:
        with ledger.socket_path(folder, name) as path:
            connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection


def _answer(connection: socket.socket, until: float) -> bytes | None:
    """Return what a peer says, None if it does not say it all in time."""
    parts: list[bytes] = []
    with connection:
        try:
            while True:
                connection.settimeout(max(0.001, until - time.monotonic()))
                part = connection.recv(1 << 20)
                if not part:
                    return b"".join(parts)
                parts.append(part)
        except OSError:
            return None
