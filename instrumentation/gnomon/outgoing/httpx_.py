"""httpx: its transports, so that each redirect and attempt counts, and mocks do not."""

from time import perf_counter
from typing import Any

import httpx

from gnomon.outgoing import record

_sync: Any = None
_async: Any = None


def install() -> None:
    """Put the measurement around both transports."""
    global _sync, _async  # noqa: PLW0603  # what there was, to put back
    if _sync is not None:
        return
    _sync = httpx.HTTPTransport.handle_request
    _async = httpx.AsyncHTTPTransport.handle_async_request
    httpx.HTTPTransport.handle_request = _handle_request  # type: ignore[method-assign]
    httpx.AsyncHTTPTransport.handle_async_request = _handle_async_request  # type: ignore[method-assign]


def uninstall() -> None:
    """Put back what there was, unless something else has been put around since."""
    global _sync, _async  # noqa: PLW0603
    if _sync is not None and httpx.HTTPTransport.handle_request is _handle_request:
        httpx.HTTPTransport.handle_request = _sync  # type: ignore[method-assign]
        httpx.AsyncHTTPTransport.handle_async_request = _async  # type: ignore[method-assign]
        _sync = _async = None


def _handle_request(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    retries: list[None] = []
    if _may_retry(self):
        _tell_retries(request, retries)
    began = perf_counter()
    try:
        response: httpx.Response = _sync(self, request)
    except BaseException as error:
        _note(request, began, len(retries), error=error)
        raise
    _note(request, began, len(retries), status=response.status_code)
    return response


async def _handle_async_request(
    self: httpx.AsyncHTTPTransport, request: httpx.Request
) -> httpx.Response:
    retries: list[None] = []
    if _may_retry(self):
        _tell_retries_async(request, retries)
    began = perf_counter()
    try:
        response: httpx.Response = await _async(self, request)
    except BaseException as error:
        _note(request, began, len(retries), error=error)
        raise
    _note(request, began, len(retries), status=response.status_code)
    return response


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
