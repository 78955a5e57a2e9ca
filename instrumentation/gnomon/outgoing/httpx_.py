"""httpx: its transports, so that each redirect and attempt counts, and mocks do not."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import httpx

from gnomon.outgoing import record
from gnomon.outgoing.replaced import Replaced


def _measuring(original: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    def handle_request(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        retries: list[None] = []
        if _may_retry(self):
            _tell_retries(request, retries)
        began = perf_counter()
        try:
            response = original(self, request)
        except BaseException as error:
            _note(request, began, len(retries), error=error)
            raise
        _note(request, began, len(retries), status=response.status_code)
        return response

    return handle_request


def _measuring_async(
    original: Callable[..., Awaitable[httpx.Response]],
) -> Callable[..., Awaitable[httpx.Response]]:
    async def handle_async_request(
        self: httpx.AsyncHTTPTransport, request: httpx.Request
    ) -> httpx.Response:
        retries: list[None] = []
        if _may_retry(self):
            _tell_retries_async(request, retries)
        began = perf_counter()
        try:
            response = await original(self, request)
        except BaseException as error:
            _note(request, began, len(retries), error=error)
            raise
        _note(request, began, len(retries), status=response.status_code)
        return response

    return handle_async_request


def _may_retry(transport: Any) -> bool:
    """Whether a transport tries again to connect, as with HTTPTransport(retries=3)."""
    return bool(getattr(getattr(transport, "_pool", None), "_retries", 0))


#: What httpcore's trace calls the pause before another attempt.
_RETRY = "connection.retry.started"


def _tell_retries(request: httpx.Request, retries: list[None]) -> None:
    """Have httpcore tell of its retries, besides whatever it was asked to tell of."""
    theirs = request.extensions.get("trace")

    def trace(name: str, info: Any) -> Any:
        if name == _RETRY:
            retries.append(None)
        return theirs(name, info) if theirs is not None else None

    request.extensions = {**request.extensions, "trace": trace}


def _tell_retries_async(request: httpx.Request, retries: list[None]) -> None:
    theirs = request.extensions.get("trace")

    async def trace(name: str, info: Any) -> None:
        if name == _RETRY:
            retries.append(None)
        if theirs is not None:
            await theirs(name, info)

    request.extensions = {**request.extensions, "trace": trace}


def _note(
    request: httpx.Request,
    began: float,
    retries: int,
    status: int = 0,
    error: BaseException | None = None,
) -> None:
    url = request.url
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    seconds = perf_counter() - began
    record(request.method, url.host, port, seconds, status=status, error=error, retries=retries)


_methods = Replaced(
    (httpx.HTTPTransport, "handle_request", _measuring),
    (httpx.AsyncHTTPTransport, "handle_async_request", _measuring_async),
)
install, uninstall = _methods.install, _methods.uninstall
