"""aiohttp-retry: what its client sends until it succeeds is one request."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp_retry import client

from gnomon.outgoing.attempts import attempts
from gnomon.outgoing.replaced import Replaced


def _sending(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def sent(self: Any) -> Any:
        with attempts():
            return await original(self)

    return sent


# There is no public place.
_methods = Replaced((client._RequestContext, "_do_request", _sending))  # noqa: SLF001
install, uninstall = _methods.install, _methods.uninstall
