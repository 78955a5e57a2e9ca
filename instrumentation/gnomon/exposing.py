"""The page of a process without an application: a worker, a scheduler, a script."""

from __future__ import annotations

import atexit
import errno
import os
import secrets
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import REGISTRY, CollectorRegistry

from gnomon import guard, instruments, jobs, outgoing
from gnomon.access import Verdict, verdict
from gnomon.endpoint import LIMIT, QUERIES, REFUSALS, queries, rendered
from gnomon.extras import require
from gnomon.settings import Settings, Tracing, has_endpoint, settings
from gnomon.workers import run
from gnomon.workers.worker import Worker

if TYPE_CHECKING:
    from types import TracebackType

    from prometheus_client import Metric

#: Most connections at a time; Prometheus keeps one.
CONNECTIONS = 32

#: Seconds that a client may take to ask, and to read the answer.
PATIENCE = 10.0

#: Seconds that a fork waits for a scrape to end.
SCRAPE = 1.0

#: Seconds within which a forked process that has ended several jobs saves what it counted once.
PAUSE = 0.1


class Exposed:
    """A page that is being served: ``address``, ``port`` and ``url`` say where.

    ``close()`` ends it, as does leaving a ``with`` block. In a forked child it does nothing.
    """

    def __init__(
        self, chosen: Settings, address: str, port: int, registry: CollectorRegistry
    ) -> None:
        self._server = _Server(address, port, self, chosen)
        self.address = address
        self.port: int = self._server.server_address[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self.port}{chosen.metrics_path}"
        self._registry = registry
        self._folder: str | None = None
        self._owner = os.getpid()
        instruments.acquire(registry, chosen.service, chosen.service_version, chosen.max_series)
        self._worker = Worker(f"{chosen.service} {chosen.metrics_path}", registry, self._directory)
        self._closed = False
        # Held over a fork: locks of families that a scrape holds then would be locked for ever
        # in the child.
        self._gathering = threading.Lock()
        self._forking = threading.local()  # several threads may fork at a time
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.register_after_fork(self, _in_process)
        threading.Thread(
            target=self._server.serve_forever, args=(0.5,), name="gnomon page", daemon=True
        ).start()

    def gather(self) -> list[Metric]:
        """Return the families of this process and of those that it has forked."""
        outgoing.install()
        with self._gathering:
            return self._worker.gather()

    def close(self) -> None:
        """Serve no longer, and take the families off the registry."""
        if self._closed or os.getpid() != self._owner:
            return
        self._closed = True
        _exposed.discard(self)
        self._server.shutdown()
        self._server.server_close()
        self._forget()
        instruments.release(self._registry)

    def _forget(self) -> None:
        if self._folder is not None and os.getpid() == self._owner:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _directory(self, name: str) -> str | None:
        """Return where this process and its children meet; None as long as there are none."""
        if os.environ.get("GNOMON_RUN_DIR"):
            return run.directory(name)
        if self._folder is not None and not os.path.isdir(self._folder):
            raise run.Alone  # the page is closed: nobody will ever ask again
        return self._folder

    def before_fork(self) -> None:
        """Meet with the child that will be: there must be a place before it comes."""
        if self._folder is None and os.getpid() == self._owner:
            name = f"exposed-{os.getpid()}-{secrets.token_hex(4)}"
            self._folder = run.own(name)
            atexit.register(self._forget)
            self._worker.join()
            self._worker.start()
        self._forking.held = self._gathering.acquire(timeout=SCRAPE)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._forking.__dict__.pop("held", False):
            self._gathering.release()

    def after_fork_in_child(self) -> None:
        """Be a worker among others: the parent answers for all."""
        self._gathering = threading.Lock()
        self._server.socket.close()  # or the port would be taken for as long as the child lives
        self._worker.start()

    def tell(self) -> None:
        """Save what this child has counted: it may end without a word. Never raises."""
        if os.getpid() != self._owner:
            try:
                self._worker.tell()
            except Exception:
                guard.failed("worker's snapshot")

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, address: str, port: int, page: Exposed, chosen: Settings) -> None:
        self.address_family = AF_INET6 if ":" in address else AF_INET
        self.page = page
        self.chosen = chosen
        self.scrapes = threading.BoundedSemaphore(LIMIT)
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        try:
            super().__init__((address, port), _Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(
                    error.errno, f"gnomon.expose: cannot listen on {address}: {error.strerror}"
                ) from None
            raise OSError(
                error.errno,
                f"gnomon.expose: port {port} of {address} is taken. Another program listens there,"
                " or this one has called expose twice; choose another port, or 0 for any free one",
            ) from None

    def server_bind(self) -> None:
        """Bind, without asking the name service what this host is called."""
        self.socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # socketserver's
        """Say nothing of clients that leave; all else is telemetry's own fault."""
        if not isinstance(sys.exception(), OSError):
            guard.failed("page of metrics")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server_version = "gnomon"
    sys_version = ""

    def do_GET(self) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in self.headers.items()
        ]
        chosen = self.server.chosen
        if "content-length" in self.headers or "transfer-encoding" in self.headers:
            self.close_connection = True  # nobody reads its body
        path = self.path.partition("?")[0]
        if path not in (chosen.metrics_path, f"{chosen.metrics_path}{QUERIES}"):
            self._answer(404, f"The page is at {chosen.metrics_path}.\n".encode())
            return
        decision = verdict(self.client_address, headers, chosen.metrics_token)
        if decision is not Verdict.GRANTED:
            status, why = REFUSALS[decision]
            extra = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            self._answer(status, why, **extra)
            return
        if not self.server.scrapes.acquire(blocking=False):
            self._answer(503, b"Too many scrapes at a time.\n", **{"Retry-After": "1"})
            return
        try:
            if path == chosen.metrics_path:
                body, kind, encoding = rendered(self.server.page.gather, headers)
            else:
                body, kind, encoding = queries()
        except Exception:
            guard.failed("page of metrics")
            self._answer(500, b"A collector failed; the program's log has more.\n")
            return
        finally:
            self.server.scrapes.release()
        extra = {"Content-Encoding": encoding.decode()} if encoding else {}
        self._answer(200, body, kind.decode(), **extra)

    do_HEAD = do_GET  # noqa: N815  # http.server calls it so

    def _answer(
        self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8", **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Say nothing: the process's output is the program's."""


def expose(
    *,
    service: str | None = None,
    service_version: str | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
    metrics_path: str = "/metrics",
    metrics_token: str | None = None,
    registry: CollectorRegistry = REGISTRY,
    max_series: int = 2000,
    tracing: Tracing | None = None,
    sample_ratio: float | None = None,
) -> Exposed:
    """Serve the page of metrics of a process that has no application to instrument.

    For workers of Celery and RQ, schedulers and scripts; an application of Starlette or FastAPI
    has ``gnomon.instrument``. Served are the registry and what gnomon measures, by the standard
    library's server in a daemon thread, to whom ``instrument`` would serve it: loopback and
    private networks without forwarding headers, anyone else who has the token. Client libraries
    are measured, and traced as ``instrument`` does it.

    Processes that are forked from this one later (Celery's pool, RQ's work horses,
    multiprocessing's) are on the same page, the dead among them with what they counted; so call
    it before they are: from Celery's signal ``worker_init``, before RQ's ``work()``. A child's
    counts are saved every second and at the end of each ``gnomon.job``. Programs that were not
    forked from this one join it where GNOMON_RUN_DIR names the same directory for all.

    address, port: where to listen; port 0 takes a free one, which ``port`` of what is returned
    tells. The rest is as for ``gnomon.instrument``. Returns a handle whose ``close()`` ends it;
    otherwise it ends with the process.

    Raises OSError if the port is taken, ValueError for a setting that cannot be right,
    RuntimeError if spans have somewhere to go and the extra for them is missing.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"port: {port} is no port")
    chosen = settings(
        service=service,
        service_version=service_version,
        metrics_path=metrics_path,
        metrics_token=metrics_token,
        exclude=(),
        streams=(),
        max_series=max_series,
        tracing=tracing,
        sample_ratio=sample_ratio,
        usage=False,
    )
    traced = chosen.tracing != "off" and has_endpoint(os.environ)
    if traced:
        require("opentelemetry.sdk.trace", "fastapi")
    exposed = Exposed(chosen, address, port, registry)
    _exposed.add(exposed)
    _watch_children()
    try:
        outgoing.install()
        if traced:
            _trace(chosen)
    except Exception:
        guard.failed("start")
    return exposed


def _trace(chosen: Settings) -> None:
    from gnomon import libraries, providers  # noqa: PLC0415  # they import OpenTelemetry's SDK

    own = providers.provider(chosen)
    if own is not None:
        libraries.install(own.provider)
        atexit.register(providers.flush, PAUSE * 20)


_exposed: set[Exposed] = set()
_told = 0.0
_watching = False


def _watch_children() -> None:
    global _watching  # noqa: PLW0603  # hooks cannot be taken off again
    if _watching:
        return
    _watching = True
    jobs.at_end.append(_job_ended)
    if hasattr(os, "register_at_fork"):
        # The last one that is registered is called first: there must be a place in the run before
        # the worker notes what it has counted until the fork.
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )
    signals: Any = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(_child_ends, weak=False)


def _before_fork() -> None:
    for exposed in list(_exposed):
        try:
            exposed.before_fork()
        except Exception:
            guard.failed("fork")


def _after_fork_in_parent() -> None:
    for exposed in list(_exposed):
        exposed.after_fork_in_parent()


def _after_fork_in_child() -> None:
    global _told  # noqa: PLW0603
    _told = 0.0
    for exposed in list(_exposed):
        try:
            exposed.after_fork_in_child()
        except Exception:
            guard.failed("fork")


def _in_process(exposed: Exposed) -> None:
    """Prepare a child of multiprocessing, which ends without Python's own exit handlers."""
    from multiprocessing.util import Finalize  # noqa: PLC0415  # it is here: it has called

    Finalize(None, exposed.tell, exitpriority=100)


def _child_ends(**_: Any) -> None:
    """Save what a child of Celery's pool has counted."""
    for exposed in list(_exposed):
        exposed.tell()


def _job_ended() -> None:
    """Save in a child, which may be one of RQ's that lives for one job."""
    global _told  # noqa: PLW0603
    if not _exposed or monotonic() - _told < PAUSE:
        return
    for exposed in list(_exposed):
        exposed.tell()
    _told = monotonic()
    rq = sys.modules.get("rq.job")
    providers = sys.modules.get("gnomon.providers")
    if rq is not None and providers is not None and rq.get_current_job() is not None:
        providers.flush(2.0)
