"""How much a client may send: what is beyond is refused before it takes memory or disk."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Most bytes of one request's body, and most recordings in it.
LARGEST, MOST = 32 << 20, 20


class Limited:
    """An ASGI layer that answers 413 to bodies above a size, declared or not."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST) -> None:
        self._app = app
        self._largest = largest
        self._detail = f"larger than {largest >> 20} MiB"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._largest:
            # What is still on its way is not waited for.
            close = {"Connection": "close"}
            await JSONResponse({"detail": self._detail}, 413, close)(scope, receive, send)
            return
        had = 0

        async def counted() -> Message:
            nonlocal had
            message = await receive()
            had += len(message.get("body", b""))
            if had > self._largest:
                # Whoever reads the body raises it further, and the framework makes it an answer.
                raise HTTPException(413, self._detail, {"Connection": "close"})
            return message

        await self._app(scope, counted, send)
