"""Where every request comes through, WebSockets too: who asks, and how often."""

import asyncio
import math
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from gnomon_console.access import who
from gnomon_console.access.check import Check, TooMany
from gnomon_console.access.limits import Limits
from gnomon_console.access.listening import loopback
from gnomon_console.access.sessions import Session, Sessions
from gnomon_console.access.who import Visitor
from gnomon_console.settings import Settings
from gnomon_exporter.ratelimit import Rate
from gnomon_exporter.webfile import WebFile

LOGIN = "/login"

#: What says nothing but that the console runs, and what asks for a password itself.
_PUBLIC = frozenset({"/healthz", LOGIN, f"{LOGIN}/known"})

#: What programs of this machine use that know no password: Prometheus reads, applications send.
_PROGRAMS = frozenset({("GET", "/metrics"), ("POST", "/v1/traces"), ("POST", "/v1/logs")})
_METRICS = frozenset({"/metrics", "/metrics/queries"})
_FORWARDED = frozenset(
    {"forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip", "client-ip"}
)

#: Of one address: questions that make Prometheus or the console work, at once and from then on.
QUESTIONS = Rate(interval=0.05, burst=200)

_CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


class Door:
    """What is known of whoever asks.

    web: the web config file, or what stands for none. open_changes: whether those may acknowledge
    who are not asked for a name. port: tells the cookie from that of another console at the same
    name. gone: is called with each session that has ended.
    """

    def __init__(
        self,
        web: WebFile,
        *,
        open_changes: bool,
        port: int,
        gone: Callable[[Session], None] = lambda _: None,
    ) -> None:
        self.web = web
        self.check = Check(web)
        self.sessions = Sessions(lambda: web.config().users, gone)
        self._open = Visitor("", open_changes)
        self._port = port
        self._questions = Limits(QUESTIONS)

    @property
    def asks(self) -> bool:
        """Whether anybody is asked for a password."""
        return bool(self.web.passwords)

    def cookie(self, scope: Scope) -> str:
        """Return the name of the cookie. With TLS, browsers take it from this very host alone."""
        prefix = "__Host-" if secure(scope) else ""
        return f"{prefix}gnomon-{self._port}"

    def session(self, scope: Scope) -> Session | None:
        """Return the session that a request brings."""
        token = cookies(scope).get(self.cookie(scope), "")
        return self.sessions.find(token) if token else None

    async def visitor(self, scope: Scope) -> Visitor | None:
        """Return who asks, None for somebody unknown. Raises TooMany."""
        if not self.asks:
            return self._open
        if session := self.session(scope):
            return Visitor(session.user, may_change=True, session=session)
        header = Headers(scope=scope).get("authorization", "")
        if header and (found := await self.check.basic(header, address(scope))):
            return Visitor(found[0], may_change=True)
        return None

    def question(self, scope: Scope) -> float:
        """Take a place for a question: 0.0, or the seconds until there is one."""
        return self._questions.wait(address(scope)) if self.asks else 0.0

    async def watch(self) -> None:
        """End sessions as soon as they are over, so that no page of theirs stays open."""
        while True:
            await asyncio.sleep(5)
            self.sessions.look()

    def close(self) -> None:
        """Let go of what it has."""
        self.check.close()


class Doorkeeper:
    """Lets those in who may, and shows browsers to the login page."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one in, or refuse."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        door = self._door
        door.web.config()
        refusal: Response | None = None
        found: Visitor | None = None
        try:
            if wait := door.web.limiter.wait():
                refusal = _later("more requests than permitted", math.ceil(wait))
            elif not _let_in(scope):
                found = await door.visitor(scope)
                refusal = self._refusal(scope, found)
        except TooMany as error:
            refusal = _later(str(error), error.after_s)
        if refusal is not None:
            answer = WebSocketClose(1008) if scope["type"] == "websocket" else refusal
            await answer(scope, receive, send)
            return
        if found is not None:
            who.bring(scope, found)
            if scope["type"] == "websocket" and found.session:
                await _until_over(self._app, scope, receive, send, found.session)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, found: Visitor | None) -> Response | None:
        if found is None:
            return _unknown(scope)
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            return None
        if found.session and scope["method"] in _CHANGES and not _from_own_page(headers):
            return PlainTextResponse("not from a page of the console", 403)
        if _is_question(scope, headers) and (wait := self._door.question(scope)):
            return _later("more questions than one address may ask", math.ceil(wait))
        return None


class MetricsDoor:
    """Stands before the page of metrics, which is answered before everything else.

    That page's own rule knows addresses alone; with users, it is theirs.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self._keeper = Doorkeeper(self._admitted, door)
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one in, or refuse."""
        is_page = scope["type"] == "http" and scope["path"] in _METRICS
        await (self._keeper if is_page and self._door.asks else self.app)(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = {b"accept", b"accept-encoding", b"host"}
        headers = [each for each in scope["headers"] if each[0] in kept]
        await self.app({**scope, "client": ("127.0.0.1", 0), "headers": headers}, receive, send)


def open_changes(settings: Settings) -> bool:
    """Whether those may acknowledge who are not asked for a name.

    They may where Alertmanager's own page is open to them just the same.
    """
    host = urlsplit(settings.alertmanager).hostname or ""
    return host == "localhost" or loopback(host)


def address(scope: Scope) -> str:
    """Return the address that a request comes from, as far as proxies that are trusted tell."""
    client: Any = scope.get("client")
    return str(client[0]) if client else ""


def secure(scope: Scope) -> bool:
    """Whether nobody on the way can read a request."""
    return scope.get("scheme") in {"https", "wss"}


def cookies(scope: Scope) -> dict[str, str]:
    """Return a request's cookies; none where one of them is no cookie."""
    try:
        found = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in found.items()}


def _let_in(scope: Scope) -> bool:
    path = scope["path"]
    if path in _PUBLIC and scope["type"] == "http":
        return True
    headers = Headers(scope=scope)
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    return (
        scope["type"] == "http"
        and (scope["method"], path) in _PROGRAMS
        and loopback(address(scope))
        # A page from elsewhere, whose name leads here, has a name of its own.
        and (host == "localhost" or loopback(host.strip("[]")))
        and not any(name in _FORWARDED or name.startswith("x-forwarded-") for name in headers)
    )


def _unknown(scope: Scope) -> Response:
    """Answer somebody unknown: people by the login page, programs by what they lack."""
    headers = Headers(scope=scope)
    is_page = "text/html" in headers.get("accept", "")
    if scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} and is_page:
        asked = scope["path"]
        if query := scope["query_string"].decode("latin-1"):
            asked += f"?{query}"
        return RedirectResponse(f"{LOGIN}?next={quote(asked, safe='')}", 303)
    # A browser would ask for the password in a window of its own, amid a page.
    is_browser = headers.get("user-agent", "").startswith("Mozilla/")
    scheme = "Form" if is_browser else "Basic"
    challenge = {"WWW-Authenticate": f'{scheme} realm="gnomon-console", charset="UTF-8"'}
    return PlainTextResponse("a user and password are needed", 401, challenge)


def _later(why: str, after_s: int) -> Response:
    return PlainTextResponse(why, 429, {"Retry-After": str(after_s)})


def _from_own_page(headers: Headers) -> bool:
    """Whether a browser says so: all do with what changes anything, and the guard compares it."""
    return "origin" in headers or headers.get("sec-fetch-site") == "same-origin"


def _is_question(scope: Scope, headers: Headers) -> bool:
    return scope["path"].startswith("/api/") or "text/html" in headers.get("accept", "")


async def _until_over(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, session: Session
) -> None:
    """Serve a WebSocket for as long as its session lasts."""
    over = asyncio.ensure_future(session.ended.wait())
    closed = False

    async def received() -> Message:
        nonlocal closed
        message = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({message, over}, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                return message.result()
        finally:
            if not message.done():
                message.cancel()
        if not closed:
            closed = True
            await send({"type": "websocket.close", "code": 1008, "reason": "logged out"})
        return {"type": "websocket.disconnect", "code": 1008, "reason": "logged out"}

    async def sent(message: Message) -> None:
        if not closed:
            await send(message)

    try:
        await app(scope, received, sent)
    finally:
        over.cancel()
