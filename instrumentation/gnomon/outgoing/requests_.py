"""requests: its adapter, where urllib3's own retries are known."""

from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from gnomon.outgoing import is_telemetry, record

_send: Any = None


def install() -> None:
    """Put the measurement around the adapter."""
    global _send  # noqa: PLW0603  # what there was, to put back
    if _send is None:
        _send = HTTPAdapter.send
        HTTPAdapter.send = _measured  # type: ignore[method-assign]


def uninstall() -> None:
    """Put back what there was, unless something else has been put around since."""
    global _send  # noqa: PLW0603
    if _send is not None and HTTPAdapter.send is _measured:
        HTTPAdapter.send = _send  # type: ignore[method-assign]
        _send = None


def _measured(
    self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **options: Any
) -> requests.Response:
    if is_telemetry():
        return _send(self, request, *args, **options)  # type: ignore[no-any-return]
    began = perf_counter()
    try:
        response: requests.Response = _send(self, request, *args, **options)
    except BaseException as error:
        _note(request, began, error=error)
        raise
    tried = getattr(getattr(response.raw, "retries", None), "history", ())
    _note(request, began, status=response.status_code, retries=len(tried))
    return response


def _note(
    request: requests.PreparedRequest,
    began: float,
    status: int = 0,
    error: BaseException | None = None,
    retries: int = 0,
) -> None:
    seconds = perf_counter() - began
    try:
        url = urlsplit(str(request.url))
        host, port = url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        host = port = None
    method = str(request.method or "")
    record(method, host, port, seconds, status=status, error=error, retries=retries)
