"""aiohttp: its own tracing hooks, in every session that is made from now on."""

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from gnomon import guard
from gnomon.outgoing import record
from gnomon.outgoing.replaced import Replaced

_NOT_FOLLOWED = (
    aiohttp.TooManyRedirects,
    getattr(aiohttp, "RedirectClientError", aiohttp.TooManyRedirects),  # since aiohttp 3.10
)


def _making(original: Callable[..., None]) -> Callable[..., None]:
    def made(self: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        configs = list(options.pop("trace_configs", None) or ())
        original(self, *args, trace_configs=[*configs, _hooks()], **options)

    return made


def _hooks() -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()
    config.on_request_start.append(_started)
    config.on_request_redirect.append(_redirected)
    config.on_request_end.append(_ended)
    config.on_request_exception.append(_failed)
    return config


async def _started(_session: Any, context: SimpleNamespace, params: Any) -> None:
    context.began, context.url = perf_counter(), params.url


async def _redirected(_session: Any, context: SimpleNamespace, params: Any) -> None:
    _note(context, params.method, status=params.response.status)
    location = params.response.headers.get("Location", "")
    context.began = perf_counter()
    with suppress(ValueError, AttributeError):  # what cannot be followed aiohttp tells itself
        context.url = context.url.join(URL(location))


async def _ended(_session: Any, context: SimpleNamespace, params: Any) -> None:
    _note(context, params.method, status=params.response.status)


async def _failed(_session: Any, context: SimpleNamespace, params: Any) -> None:
    # After a redirect that is not followed there was no request more.
    if not isinstance(params.exception, _NOT_FOLLOWED):
        _note(context, params.method, error=params.exception)


def _note(
    context: SimpleNamespace, method: str, status: int = 0, error: BaseException | None = None
) -> None:
    try:
        seconds, url = perf_counter() - context.began, context.url
    except AttributeError:  # a session's hooks may be called by hand
        guard.failed("outgoing aiohttp")
        return
    record(method, url.host, url.port, seconds, status=status, error=error)


# Sessions that were made with the hooks keep them.
_methods = Replaced((aiohttp.ClientSession, "__init__", _making))
install, uninstall = _methods.install, _methods.uninstall
