"""tenacity: a function that it calls again is one request, if it sends any."""

from collections.abc import Awaitable, Callable
from typing import Any

import tenacity

from gnomon.outgoing.attempts import attempts
from gnomon.outgoing.replaced import Replaced


def _calling(original: Callable[..., Any]) -> Callable[..., Any]:
    def called(self: tenacity.Retrying, *args: Any, **options: Any) -> Any:
        with attempts():
            return original(self, *args, **options)

    return called


def _awaiting(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def awaited(self: tenacity.AsyncRetrying, *args: Any, **options: Any) -> Any:
        with attempts():
            return await original(self, *args, **options)

    return awaited


_methods = Replaced(
    (tenacity.Retrying, "__call__", _calling), (tenacity.AsyncRetrying, "__call__", _awaiting)
)
install, uninstall = _methods.install, _methods.uninstall
