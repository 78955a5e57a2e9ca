"""How much a client may send: what is beyond is refused before it takes memory or disk."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Most bytes of one request's body, and most recordings in it.
LARGEST, MOST = 32 << 20, 20


class _TooMuch(Exception):  # noqa: N818  # it says what the client sends
    """The body is larger than it may be."""


class Limited:
    """An ASGI layer that answers 413 to bodies above a size, declared or not."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._largest:
            await self._refuse(scope, receive, send)
            return
        had, began = 0, False

        async def counted() -> Message:
            nonlocal had
            message = await receive()
            had += len(message.get("body", b""))
            if had > self._largest:
                raise _TooMuch
            return message

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooMuch:
            if began:
                raise
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"larger than {self._largest >> 20} MiB"
        # What is still on its way is not waited for.
        answer = JSONResponse({"detail": detail}, 413, headers={"Connection": "close"})
        await answer(scope, receive, send)
