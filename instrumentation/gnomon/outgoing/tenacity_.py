"""tenacity: a function that it calls again is one request, if it sends any."""

from typing import Any

import tenacity

from gnomon.outgoing.attempts import attempts

_sync: Any = None
_async: Any = None


def install() -> None:
    """Take the calls of decorated functions as attempts."""
    global _sync, _async  # noqa: PLW0603  # what there was, to put back
    if _sync is not None:
        return
    _sync = tenacity.Retrying.__call__
    _async = tenacity.AsyncRetrying.__call__
    tenacity.Retrying.__call__ = _called  # type: ignore[method-assign]
    tenacity.AsyncRetrying.__call__ = _awaited  # type: ignore[method-assign]


def uninstall() -> None:
    """Put back what there was, unless something else has been put around since."""
    global _sync, _async  # noqa: PLW0603
    if _sync is not None and tenacity.Retrying.__call__ is _called:
        tenacity.Retrying.__call__ = _sync  # type: ignore[method-assign]
        tenacity.AsyncRetrying.__call__ = _async  # type: ignore[method-assign]
        _sync = _async = None


def _called(self: tenacity.Retrying, *args: Any, **options: Any) -> Any:
    with attempts():
        return _sync(self, *args, **options)


async def _awaited(self: tenacity.AsyncRetrying, *args: Any, **options: Any) -> Any:
    with attempts():
        return await _async(self, *args, **options)
