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
    began = perf_counter()
    try:
        response: httpx.Response = _sync(self, request)
    except BaseException as error:
        _note(request, began, error=error)
        raise
    _note(request, began, status=response.status_code)
    return response


async def _handle_async_request(
    self: httpx.AsyncHTTPTransport, request: httpx.Request
) -> httpx.Response:
    began = perf_counter()
    try:
        response: httpx.Response = await _async(self, request)
    except BaseException as error:
        _note(request, began, error=error)
        raise
    _note(request, began, status=response.status_code)
    return response


def _note(
    request: httpx.Request, began: float, status: int = 0, error: BaseException | None = None
) -> None:
    url = request.url
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    seconds = perf_counter() - began
    record(request.method, url.host, port, seconds, status=status, error=error)
