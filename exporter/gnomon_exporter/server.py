"""The web server: it accepts connections and gives each a thread.

It is the standard library's threaded one, made safe for a port that anybody can reach. See
``connection`` for clients that stall, ``handler`` for the routes, ``webfile`` for TLS and users.
"""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http.server import ThreadingHTTPServer
from typing import Any, cast

from gnomon_exporter import address as addresses
from gnomon_exporter.connection import Connection, Connections, Refused, Timeouts, refuse
from gnomon_exporter.handler import Handler
from gnomon_exporter.page import Page
from gnomon_exporter.strict_yaml import ConfigError
from gnomon_exporter.webfile import WebFile

log = logging.getLogger(__name__)

_BACKLOG = 128
# Seconds between two messages about clients that were turned away.
_QUIET = 60.0


class Server(ThreadingHTTPServer):
    """Serves a page on one address until ``close``.

    page: what is shown. address: see ``address``. web_config: the web config file, None for
    plain HTTP to everyone. max_scrapes: pages rendered at once, 503 beyond; 0 for any number.
    max_connections: open at once. notes: sentences about what is wrong, for the landing page.

    Raises ConfigError when the address or the web config file cannot be used.
    """

    def __init__(
        self,
        page: Page,
        *,
        address: str = "127.0.0.1:9840",
        web_config: str | None = None,
        max_scrapes: int = 40,
        max_connections: int = 128,
        timeouts: Timeouts | None = None,
        notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.page = page
        self.notes = notes
        self.web = WebFile(web_config)
        self.max_scrapes = max_scrapes
        self.scrapes = threading.BoundedSemaphore(max_scrapes) if max_scrapes else None
        self._timeouts = timeouts or Timeouts()
        self._connections = Connections(max_connections)
        self._refusals = _Sparse()
        self._failures = _Sparse()
        self._closed = threading.Event()
        self._where = addresses.parse(address)
        super().__init__((self._where.host, self._where.port), Handler, bind_and_activate=False)
        self.socket.close()
        try:
            self.socket = addresses.listen(self._where, _BACKLOG)
        except OSError as error:
            reason = (error.strerror or str(error)).partition(" (while")[0].lower()
            raise ConfigError(
                "command line",
                f"{self._where}: {reason}",
                key="--web.listen-address",
                expected="an address of this host that no other program uses",
            ) from error
        # A client may have gone between select and accept, which must not block then.
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self._wakes, self._wake = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.socket, selectors.EVENT_READ)
        self._selector.register(self._wakes, selectors.EVENT_READ)

    @property
    def url(self) -> str:
        """Where a person finds the landing page."""
        scheme = "https" if self.web.config().tls else "http"
        host = self._where.host or socket.gethostname()
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def closing(self) -> bool:
        """Whether ``close`` has been called."""
        return self._closed.is_set()

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="accept", daemon=True).start()

    def serve_forever(self, poll_interval: float = 0.0) -> None:  # noqa: ARG002
        """Accept connections until ``close``.

        The standard library's loop wakes up twice a second to see whether it is to end, and
        spins when there is no file descriptor left for the next client.
        """
        with self._selector, self._wakes:
            while not self.closing:
                self._selector.select()
                if not self.closing:
                    self._accept()

    def close(self) -> None:
        """Stop accepting at once and let go of idle clients; nobody is waited for.

        Whoever is being served gets the answer, as long as the process lives.
        """
        self._closed.set()
        # Closed, it wakes up the one who accepts.
        self._wake.close()
        self.socket.close()
        self._connections.evict_waiting()

    def _accept(self) -> None:
        try:
            accepted, address = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            self._pause(f"no connection can be accepted: {error.strerror}")
            return
        connection = Connection(accepted, self._timeouts)
        if not self._connections.admit(connection):
            self._failures.log(logging.WARNING, "too many open connections: one was turned away")
            refuse(accepted, plain=self.web.config().tls is None)
            return
        thread = threading.Thread(
            target=self._serve, args=(connection, address), name=f"client {address[0]}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            self._connections.remove(connection)
            refuse(accepted, plain=self.web.config().tls is None)
            self._pause(f"no client can be served: {error}")

    def _pause(self, reason: str) -> None:
        # Whatever has run out will not be there at the next moment either.
        if not self.closing:
            self._failures.log(logging.ERROR, reason)
            self._closed.wait(0.1)

    def _serve(self, connection: Connection, address: Any) -> None:
        try:
            if tls := self.web.config().tls:
                connection.secure(tls)
            # The library's handler expects a socket; ours reads from the connection around it.
            Handler(cast("Any", connection), address, self)
        except Refused as reason:
            self._refusals.log(logging.INFO, f"client {address[0]} turned away: {reason}")
        except OSError as error:
            log.debug("client %s gone: %s", address[0], error)
        finally:
            connection.close()
            self._connections.remove(connection)


class _Sparse:
    """Logs the first message, and after that one in a minute, with the number of those between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._silent = 0

    def log(self, level: int, message: str) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                self._silent += 1
                return
            silent, self._silent, self._next = self._silent, 0, now + _QUIET
        log.log(
            level, "%s%s", message, f" ({silent} more since the last message)" if silent else ""
        )
