"""Clients' connections: none waits for ever, and there is a bound on how many are open."""

import http.client
import io
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gnomon_exporter.tls import Tls

log = logging.getLogger(__name__)

#: Longest request head in bytes: request line and headers.
HEAD_LIMIT = 65536

# The first byte of a TLS handshake.
_HANDSHAKE = b"\x16"
_PLAIN_TO_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\nContent-Length: 53\r\n\r\n"
    b"This port speaks HTTPS: begin the address with https\n"
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Retry-After: 1\r\nConnection: close\r\nContent-Length: 27\r\n\r\n"
    b"too many open connections.\n"
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds a client may take for each phase as a whole.

    idle is longer than the 5 minutes for which Prometheus keeps an unused connection, so that it
    is the client who closes, never both at once.
    """

    handshake: float = 10.0
    head: float = 10.0
    idle: float = 330.0
    send: float = 30.0
    linger: float = 1.0


class Refused(Exception):  # noqa: N818  # the client's fault
    """The client may not go on: no handshake, or no allowed certificate."""


class Connection:
    """One client's socket.

    A socket's own timeout starts again with every byte, so that a client who sends one each
    second would stay for ever. Here the deadline is that of a whole phase.

    waiting_since: when the client's turn began; None while the exporter works for it.
    """

    def __init__(self, accepted: socket.socket, timeouts: Timeouts) -> None:
        self._socket = accepted
        self._timeouts = timeouts
        self._deadline = 0.0
        self._room = HEAD_LIMIT
        self._evicted = False
        self.waiting_since: float | None = time.monotonic()
        #: Whether a part of a request has come and the rest has not.
        self.amid_head = False
        #: Whether the client may still be sending when the last answer has been written.
        self.unread = False
        self.reader = io.BufferedReader(_Raw(self))

    def secure(self, tls: Tls) -> None:
        """Make the TLS handshake. Raises Refused, or OSError when the client goes away."""
        self._wait(self._timeouts.handshake)
        first = self._limited().recv(1, socket.MSG_PEEK)
        if not first:
            raise ConnectionAbortedError  # a port that is probed, by a load balancer perhaps
        if first != _HANDSHAKE:
            self.unread = True
            self.send(_PLAIN_TO_TLS)
            raise Refused("plain HTTP where TLS is spoken")
        # Wrapping detaches the socket: an eviction in between would miss both.
        secured = tls.context.wrap_socket(
            self._limited(), server_side=True, do_handshake_on_connect=False
        )
        self._socket = secured
        if self._evicted:
            raise ConnectionAbortedError
        self._limited()
        try:
            secured.do_handshake()
        except ssl.SSLEOFError:
            raise ConnectionAbortedError from None
        except ssl.SSLError as error:
            raise Refused(_reason(error)) from None
        if not tls.allows(secured):
            raise Refused("no allowed name in the client's certificate")

    def expect(self, *, first: bool) -> None:
        """Let ``reader`` give a request's head; it raises TimeoutError when that is late."""
        self._wait(self._timeouts.head if first else self._timeouts.idle)
        self._room = HEAD_LIMIT
        self.amid_head = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do something for the client, who is not to be blamed for the time that it takes."""
        self.waiting_since = None
        try:
            yield
        finally:
            self.waiting_since = time.monotonic()

    def send(self, data: bytes) -> None:
        """Write all of it. Raises TimeoutError when the client does not read, or OSError."""
        self._wait(self._timeouts.send)
        view = memoryview(data)
        while view:
            view = view[self._limited().send(view) :]

    def receive(self, buffer: Any) -> int:
        """Read a part of a request's head."""
        count = self._limited().recv_into(buffer)
        if not self.amid_head:
            self.amid_head = True
            self._wait(self._timeouts.head)
        self._room -= count
        if self._room < 0:
            raise http.client.LineTooLong("request head")
        return count

    def evict(self) -> None:
        """Cut the connection off from another thread: whoever waits on it wakes up."""
        self._evicted = True
        with suppress(OSError):
            # SSLSocket.shutdown would take the TLS layer from under the thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    @property
    def evicted(self) -> bool:
        """Whether it has been cut off."""
        return self._evicted

    def close(self) -> None:
        """Say goodbye and close, so that the client gets what was written last."""
        self.waiting_since = time.monotonic()
        with suppress(OSError, ValueError):
            self._say_goodbye()
        self._socket.close()

    def _say_goodbye(self) -> None:
        unwrap = getattr(self._socket, "unwrap", None)
        if unwrap is not None:
            # Not blocking: it sends TLS' goodbye and does not wait for the client's.
            self._socket.settimeout(0)
            with suppress(OSError, ValueError):
                unwrap()
        socket.socket.shutdown(self._socket, socket.SHUT_WR)
        if not self.unread:
            return
        # Closing a socket with unread bytes resets the connection, and the answer is lost.
        self._wait(self._timeouts.linger)
        for _ in range(64):
            if not socket.socket.recv(self._limited(), 65536):
                break

    def _wait(self, seconds: float) -> None:
        self.waiting_since = time.monotonic()
        self._deadline = self.waiting_since + seconds

    def _limited(self) -> socket.socket:
        """Return the socket, with what is left of this phase as its timeout."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._socket


class _Raw(io.RawIOBase):
    """A connection as a file, for the parser of request heads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._connection.receive(buffer)


class Connections:
    """The open connections, at most ``limit`` of them.

    When one more comes, the one whose client has kept us waiting longest has to go: a client
    that holds connections open without a request costs others nothing, and Prometheus opens a
    closed one again without a word.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: set[Connection] = set()

    def admit(self, connection: Connection) -> bool:
        """Take one more; False when all the others are at work, or not gone yet."""
        with self._lock:
            if len(self._open) >= self._limit:
                waiting = [
                    (since, id(other), other)
                    for other in self._open
                    if not other.evicted and (since := other.waiting_since) is not None
                ]
                # Evicted ones take a moment to end; their number is bounded too.
                if not waiting or len(self._open) >= 2 * self._limit:
                    return False
                min(waiting)[2].evict()
            self._open.add(connection)
            return True

    def remove(self, connection: Connection) -> None:
        """Forget one that has ended."""
        with self._lock:
            self._open.discard(connection)

    def evict_waiting(self) -> None:
        """Cut off everyone for whom nothing is being done."""
        with self._lock:
            for connection in self._open:
                if connection.waiting_since is not None:
                    connection.evict()


def refuse(accepted: socket.socket, *, plain: bool) -> None:
    """Turn a client away without waiting for it."""
    with suppress(OSError):
        accepted.settimeout(0)
        if plain:
            accepted.send(_FULL)
        accepted.shutdown(socket.SHUT_WR)
    accepted.close()


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or str(error)
    return str(reason).lower().replace("_", " ")
