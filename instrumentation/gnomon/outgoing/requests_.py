"""requests: its adapter, where urllib3's own retries are known."""

import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from gnomon.outgoing import is_telemetry, record
from gnomon.outgoing.replaced import Replaced

_thread = threading.local()


def _counting(original: Callable[..., Retry]) -> Callable[..., Retry]:
    def increment(self: Retry, *args: Any, **options: Any) -> Retry:
        # Asked after each attempt that failed: it raises, or there is another one.
        left = original(self, *args, **options)
        _thread.retries = getattr(_thread, "retries", 0) + 1
        return left

    return increment


def _measuring(original: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
    def send(
        self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        if is_telemetry():
            return original(self, request, *args, **options)
        _thread.retries = 0
        began = perf_counter()
        try:
            response = original(self, request, *args, **options)
        except BaseException as error:
            _note(request, began, error=error)
            raise
        _note(request, began, status=response.status_code)
        return response

    return send


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


_methods = Replaced((HTTPAdapter, "send", _measuring), (Retry, "increment", _counting))
install, uninstall = _methods.install, _methods.uninstall
