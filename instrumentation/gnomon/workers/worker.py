"""One worker of a run: it saves, answers its peers, and gathers theirs."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import threading
import time
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet, WeakValueDictionary

from prometheus_client import Metric

from gnomon import guard
from gnomon.workers import codec, ledger, run
from gnomon.workers.codec import Page
from gnomon.workers.merging import exact, merge, subtract, values
from gnomon.workers.removals import Removals, keys, remembered, without
from gnomon.workers.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from gnomon.workers.merging import Key

#: Seconds between two snapshots.
INTERVAL = 1.0

#: Most of a processor that snapshots may take: pages of tens of thousands of samples are rarer.
SHARE = 0.05

#: Seconds that all peers together are waited for, before their snapshots are taken instead.
PATIENCE = 1.0

#: Seconds for which a process looks for a socket that it shares, from its start on.
LOOKING = 60.0

#: How often a page is put together anew because the ledger has changed meanwhile.
TRIES = 5


class _Inherited(NamedTuple):
    """What a process had counted when it was about to fork.

    name: its own, in the runs of its children. worker: whether it tells of itself.
    """

    name: str
    pid: int
    page: list[Metric]
    worker: bool


class Worker:
    """This process among those that serve the same socket.

    name: what tells this page from others of the same process. registry: this worker's own
    families. directory: returns the run's directory, as ``run.directory`` does. A process that
    turns out to be alone does nothing further.
    """

    def __init__(
        self,
        name: str,
        registry: CollectorRegistry,
        directory: Callable[[str], str | None] = run.directory,
    ) -> None:
        self._directory = directory
        self._name = hashlib.sha256(name.encode()).hexdigest()[:8]
        self._source = Source(registry)
        self._pid = 0
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._forking = threading.local()  # several threads may fork at a time
        self._wanted = threading.Event()
        self._seat: ledger.Seat | None = None
        self._alone = False
        self._removals = Removals()
        self._removed: list[Metric] = []
        # Where this process forks: what it leaves. Where it was forked: what it was left.
        self._legacy: _Inherited | None = None
        self._inherited: _Inherited | None = None
        self._counted: dict[Key, float] = {}
        _workers.add(self)

    def start(self) -> None:
        """Take part in the run, once in each process; called on its first request or event."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._alone = False
        threading.Thread(target=self._work, name="gnomon worker", daemon=True).start()

    def wake(self) -> None:
        """Join the run now: there is something to tell."""
        self.start()
        self._wanted.set()

    def join(self) -> None:
        """Take the place in the run at once, also where this process was alone so far."""
        with self._lock:
            self._alone = False
        self._joined()

    def tell(self) -> None:
        """Join the run and save what there is now: this process may end without a word."""
        if self._joined() is not None:
            self.save()

    def before_fork(self) -> None:
        """Note what a child finds counted already: it is not the child's. Never raises."""
        # A family's lock that is held at the fork, to save a page, would stay locked in the child.
        self._forking.held = self._saving.acquire(timeout=PATIENCE)
        try:
            last = self._legacy
            name = last.name if last is not None else f"{os.getpid()}-{secrets.token_hex(4)}"
            page = self._source.counted()
            self._legacy = _Inherited(name, os.getpid(), page, self._seat is not None)
        except Exception:
            guard.failed("fork")

    def after_fork_in_parent(self) -> None:
        """Go on saving."""
        if self._forking.__dict__.pop("held", False):
            self._saving.release()

    def after_fork(self) -> None:
        """Be a process of its own: what was locked at the fork is locked by nobody here."""
        self._lock, self._saving, self._wanted = Lock(), Lock(), threading.Event()
        self._source.after_fork()
        self._seat = None
        self._removals, self._removed = Removals(), []
        self._inherited, self._legacy = self._legacy, None
        if self._inherited is not None:
            self._counted = values(self._inherited.page)

    def gather(self) -> list[Metric]:
        """Return the families of the whole run, or of this process if it is alone.

        Raises what a collector of the application raises.
        """
        self.start()
        self._source.ask()
        seat = self._joined()
        if seat is None:
            return self._source.families()
        try:
            return self._whole(seat)
        except OSError:
            guard.failed("workers")
            return self._page(seat)[0].families

    def save(self) -> None:
        """Save what there is now, at the end of the process for example."""
        seat = self._seat
        if seat is not None and self._pid == os.getpid():
            try:
                self._page(seat)
            except Exception:
                guard.failed("worker's snapshot")

    def _page(self, seat: ledger.Seat) -> tuple[Page, bytes]:
        """Return this worker's own page, saved: what is told must not be lost with the process."""
        with self._saving:  # or an older page could be saved after a newer one
            families = exact(self._source.families())
            if self._counted:
                families = subtract(families, self._counted)
            if removed := self._removals.note(families):
                self._removed = remembered([self._removed, removed])
            page = Page(families, self._removed)
            data = codec.dump(*page)
            try:
                seat.save(data)
            except OSError:
                guard.failed("worker's snapshot")
        return page, data

    def _whole(self, seat: ledger.Seat) -> list[Metric]:
        # While it is held nobody moves anything into the ledger: each counts in one place.
        with ledger.locked(seat.folder, 2 * PATIENCE) as held:
            if held:
                self._settle(seat)
                return self._merged(seat, bury=True)
        for _ in range(TRIES):
            before = ledger.state(seat.folder)
            merged = self._merged(seat, bury=False)
            if ledger.state(seat.folder) == before:
                break
        return merged

    def _merged(self, seat: ledger.Seat, *, bury: bool) -> list[Metric]:
        """Return everybody's page. bury: whether the run's lock is held."""
        own, _ = self._page(seat)
        who = ledger.members(seat.folder, seat.name)
        living = [own, *self._pages(seat.folder, who.alive)]
        dead = (ledger.bury if bury else ledger.unburied)(seat.folder, who.dead)
        parents = [ledger.parent(seat.folder, name) for name in who.parents]
        past = [dead.families, *parents, *(page.removed for page in (*living, dead))]
        if removed := keys(page.removed for page in (*living, dead)):
            gone = removed - keys(page.families for page in living)
            past = [without(page, gone) for page in past]
            if bury and gone:
                ledger.forget(seat.folder, who.parents, gone)
        count = Metric("gnomon_workers", "Processes that serve this socket and live.", "gauge")
        count.add_sample("gnomon_workers", {}, 1 + len(who.alive))
        return [*merge([*(page.families for page in living), *past], self._source.modes()), count]

    def _settle(self, seat: ledger.Seat) -> None:
        """Move into the run what is not this worker's any more. The run's lock must be held."""
        left = self._inherited
        if left is not None:
            self._inherited = None
            if left.page and not left.worker and os.getppid() == left.pid:
                ledger.inherit(seat.folder, left.name, left.page)
        with self._saving:
            removed, self._removed = self._removed, []
        if removed:
            try:
                ledger.remember(seat.folder, removed)
            except OSError:
                with self._saving:
                    self._removed = remembered([removed, self._removed])
                raise
            self._page(seat)

    def _pages(self, folder: str, names: list[str]) -> list[Page]:
        """Return the peers' pages: as they say, or as they saved last."""
        until = time.monotonic() + PATIENCE
        asked = [(name, _asked(folder, name)) for name in names]  # all, before any is waited for
        pages = []
        for name, connection in asked:
            page = _answer(connection, until) if connection is not None else None
            if page is None:
                page = ledger.snapshot(folder, name)
            if page is not None:
                pages.append(page)
        return pages

    def _joined(self) -> ledger.Seat | None:
        """Return this process's place in its run, taken now if that is possible."""
        with self._lock:
            if self._alone:
                return None
            if self._seat is not None:
                if self._seat.holds():
                    return self._seat
                self._seat.leave()
                self._seat = None
            try:
                folder = self._directory(self._name)
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
        self._tidy(bury=True)
        cost = 0.0
        while True:
            time.sleep(max(INTERVAL, cost / SHARE))
            if self._joined() is not None:
                began = time.thread_time()
                self.save()
                cost = time.thread_time() - began
                if self._inherited is not None or self._removed:
                    self._tidy(bury=False)

    def _tidy(self, *, bury: bool) -> None:
        """Keep the run's files few, whether or not anyone asks for a page.

        bury: the dead too. Each worker does it when it comes: often one has just gone.
        """
        seat = self._seat
        if seat is None:
            return
        try:
            with ledger.locked(seat.folder, 0) as held:
                if held:
                    self._settle(seat)
                    if bury:
                        ledger.bury(seat.folder, ledger.members(seat.folder, seat.name).dead)
        except Exception:
            guard.failed("workers")

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
        seat.server = server
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
                    try:
                        self._source.ask()
                    except Exception:
                        guard.failed("collector")  # whose families stay as they were
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


def _answer(connection: socket.socket, until: float) -> Page | None:
    """Return what a peer says, None if it does not say it all in time."""
    parts: list[bytes] = []
    with connection:
        try:
            while True:
                connection.settimeout(max(0.001, until - time.monotonic()))
                part = connection.recv(1 << 20)
                if not part:
                    return codec.load(b"".join(parts))
                parts.append(part)
        except (OSError, ValueError):
            return None


def shared(registry: CollectorRegistry, name: str) -> Worker:
    """Return the worker of a registry's page; see ``Worker``. Two of one page would count twice."""
    found = _known.get((id(registry), name))  # it keeps its registry, so that no other has the id
    if found is None:
        found = _known[id(registry), name] = Worker(name, registry)
    return found


_known: WeakValueDictionary[tuple[int, str], Worker] = WeakValueDictionary()
_workers: WeakSet[Worker] = WeakSet()


def _before_fork() -> None:
    for worker in list(_workers):
        worker.before_fork()


def _after_fork_in_parent() -> None:
    for worker in list(_workers):
        worker.after_fork_in_parent()


def _after_fork() -> None:
    for worker in list(_workers):
        worker.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
    )
