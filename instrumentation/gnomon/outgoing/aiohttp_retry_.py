"""aiohttp-retry: what its client sends until it succeeds is one request."""

from typing import Any

from aiohttp_retry import client

from gnomon.outgoing.attempts import attempts

_do: Any = None


def install() -> None:
    """Take what the client sends as attempts."""
    global _do  # noqa: PLW0603  # what there was, to put back
    if _do is None:
        _do = client._RequestContext._do_request  # noqa: SLF001  # there is no public place
        client._RequestContext._do_request = _sent  # type: ignore[method-assign]  # noqa: SLF001


def uninstall() -> None:
    """Put back what there was, unless something else has been put around since."""
    global _do  # noqa: PLW0603
    if _do is not None and client._RequestContext._do_request is _sent:  # noqa: SLF001
        client._RequestContext._do_request = _do  # type: ignore[method-assign]  # noqa: SLF001
        _do = None


async def _sent(self: Any) -> Any:
    with attempts():
        return await _do(self)
