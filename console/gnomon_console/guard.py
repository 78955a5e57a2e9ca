"""What keeps other pages, in the same browser, from using the console.

Where nobody is asked for a password, whoever uses this machine may read it. A page from elsewhere
may not: not by a name of its own that leads to 127.0.0.1, nor by showing the console in a frame.
"""

import re
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from gnomon_console.settings import Settings

#: NiceGUI compiles its templates in the browser, which takes unsafe-eval and inline scripts.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval';"
        " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
        " connect-src 'self' ws://{host} wss://{host}; worker-src 'self' blob:;"
        " frame-ancestors 'none';"
        " base-uri 'self'; form-action 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

#: What a policy can say of a host, as browsers that do not take 'self' for WebSockets need it.
_HOST = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII)

#: Names of this machine for itself.
_OWN = ("localhost", "127.0.0.1", "[::1]")


def add(
    app: FastAPI,
    settings: Settings,
    *,
    any_name: bool = False,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Put the checks before an application.

    any_name: whether it answers at every name, for a password is asked for, and no page from
    elsewhere has one. headers: of the web config file, in place of the console's own.
    """
    if not any_name:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[host, *_OWN], www_redirect=False)
    app.add_middleware(_SameOrigin)
    app.add_middleware(_Headers, headers=headers or {})


class _Headers:
    """Says to browsers what no page of the console needs."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = {**_HEADERS, **headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        host = host if _HOST.fullmatch(host) else "localhost"

        async def said(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value.replace("{host}", host))
            await send(message)

        await self._app(scope, receive, said)


class _SameOrigin:
    """Refuses all but links where the page that asks is another's.

    A request without an Origin comes from a program, which could ask Alertmanager itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and not _same(headers := Headers(scope=scope)):
            if scope["type"] == "websocket":
                await WebSocketClose(1008, "another origin")(scope, receive, send)
                return
            if not _is_link(scope, headers):
                await PlainTextResponse("another origin", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _same(headers: Headers) -> bool:
    # Another port of this machine is the same site to a browser, and another's page.
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin", "")
    return not origin or origin.partition("://")[2] == headers.get("host", "")


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Whether a request only opens a page. Browsers let nobody read the answer to another one.

    But socket.io does: it answers pages of everywhere, over HTTP as well.
    """
    return (
        scope["method"] in {"GET", "HEAD", "OPTIONS"}
        and headers.get("sec-fetch-mode", "navigate") == "navigate"
        and not scope["path"].startswith("/_nicegui_ws")
    )
