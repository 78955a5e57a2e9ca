"""Several tries of one request: how many were made again, and how it ended in the end."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from gnomon import guard
from gnomon.families import AnyFamily, Counters

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most peers that are told apart, with two outcomes each.
CAP = 1000

_retries = Counters(
    "gnomon_http_client_retries",
    "Attempts made again after one that had failed, by the outcome of the last of them.",
    ("server_address", "server_port", "outcome"),
    CAP,
)
_retried = Counters(
    "gnomon_http_client_retried_requests",
    "Requests that took more than one attempt, by how the last one ended.",
    ("server_address", "server_port", "outcome"),
    CAP,
)


class Request:
    """What several attempts are for."""

    def __init__(self) -> None:
        self._peer = "", ""
        self._failed = False
        self._retries = 0

    def note(self, peer: tuple[str, str], *, failed: bool, retries: int) -> None:
        """Note an attempt. retries: those that the client library has made itself within it."""
        if self._failed:  # what follows a redirect, or an answer, is no retry
            retries += 1
        self._retries += retries
        self._failed = failed
        self._peer = peer

    def end(self) -> None:
        """Count the retries, if there were any."""
        if self._retries:
            count(self._peer, failed=self._failed, retries=self._retries)


current: ContextVar[Request | None] = ContextVar("gnomon outgoing request", default=None)


@contextmanager
def attempts() -> Iterator[None]:
    """Put this around a loop that sends one request again until it succeeds.

    Each request in it that follows a failed one (no answer, or a status from 400 on) counts as a
    retry in ``gnomon_http_client_retries_total``, and the whole as one in
    ``gnomon_http_client_retried_requests_total``, by the outcome of the last attempt. It holds for
    the thread or task that enters it, and for what those call. An outer one takes in an inner one.

    What requests (urllib3) and httpx do again by themselves needs none of this, nor do
    aiohttp-retry and functions that tenacity decorates.
    """
    if current.get() is not None:
        yield
        return
    request = Request()
    token = current.set(request)
    try:
        yield
    finally:
        current.reset(token)
        try:
            request.end()
        except Exception:
            guard.failed("attempts")


def note(peer: tuple[str, str], *, failed: bool, retries: int) -> None:
    """Note an attempt, as one of several or by itself."""
    request = current.get()
    if request is not None:
        request.note(peer, failed=failed, retries=retries)
    elif retries:
        count(peer, failed=failed, retries=retries)


def count(peer: tuple[str, str], *, failed: bool, retries: int) -> None:
    """Count a request that took several attempts."""
    outcome = "failure" if failed else "success"
    _retries.child(*peer, outcome).inc(retries)
    _retried.child(*peer, outcome).inc()


def families() -> tuple[AnyFamily, ...]:
    """Return all families."""
    return (_retries, _retried)
