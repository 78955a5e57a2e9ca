"""requests: its adapter, where urllib3's own retries are known."""

import threading
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from gnomon.outgoing import is_telemetry, record

_send: Any = None
_increment: Any = None
_thread = threading.local()


def install() -> None:
    """Put the measurement around the adapter."""
    global _send, _increment  # noqa: PLW0603  # what there was, to put back
    if _send is None:
        _send = HTTPAdapter.send
        _increment = Retry.increment
        HTTPAdapter.send = _measured  # type: ignore[method-assign]
        Retry.increment = _again  # type: ignore[method-assign, assignment]


def uninstall() -> None:
    """Put back what there was, unless something else has been put around since."""
    global _send, _increment  # noqa: PLW0603
    if _send is not None and HTTPAdapter.send is _measured and Retry.increment is _again:
        HTTPAdapter.send = _send  # type: ignore[method-assign]
        Retry.increment = _increment  # type: ignore[method-assign]
        _send = _increment = None


def _again(self: Retry, *args: Any, **options: Any) -> Retry:
    # Asked after each attempt that failed: it raises, or there is another one.
    left: Retry = _increment(self, *args, **options)
    _thread.retries = getattr(_thread, "retries", 0) + 1
    return left


def _measured(
    self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **options: Any
) -> requests.Response:
    if is_telemetry():
        return _send(self, request, *args, **options)  # type: ignore[no-any-return]
    _thread.retries = 0
    began = perf_counter()
    try:
        response: requests.Response = _send(self, request, *args, **options)
    except BaseException as error:
        _note(request, began, error=error)
        raise
    _note(request, began, status=response.status_code)
    return response


def _note(
    request: requests.PreparedRequest,
    began: float,
    status: int = 0,
    error: BaseException | None = None,
) -> None:
    seconds = perf_counter() - began
    try:
        url = urlsplit(str(request.url))
        host, port = url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        host = port = None
    method = str(request.method or "")
    record(method, host, port, seconds, status=status, error=error, retries=_thread.retries)
