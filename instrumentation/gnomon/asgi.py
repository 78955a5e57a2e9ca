"""The one pass through which every request and WebSocket of an application goes."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, MutableMapping
from sys import exception
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gnomon import guard, outgoing, runtime
from gnomon.errors import DISCONNECTED, INCOMPLETE, error_type
from gnomon.requests import METHODS, OTHER
from gnomon.routes import REMEMBERED
from gnomon.streams import is_stream
from gnomon.websockets import CONNECTION, Connection

if TYPE_CHECKING:
    import re

    from gnomon.endpoint import Endpoint
    from gnomon.families import Level
    from gnomon.instruments import Instruments
    from gnomon.requests import Observed
    from gnomon.routes import Routes
    from gnomon.tracing import ServerSpan, Tracing
    from gnomon.workers.worker import Worker

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The scope's key that says that an outer pass measures this request already.
SEEN = "gnomon"

_SCHEMES = {"http": "http", "https": "https"}


class Pass:
    """Measures what an application does with requests, and changes nothing about it.

    app: what is measured. exclude: paths that are not. anchored: those patterns are of a path's
    beginning. streams: templates of routes that are streams whatever their media type. endpoint:
    answers the page of metrics. tracing: starts server spans, None for none. worker: this process
    among its peers.
    """

    def __init__(
        self,
        app: App,
        *,
        instruments: Instruments,
        routes: Routes,
        endpoint: Endpoint | None,
        exclude: re.Pattern[str] | None,
        streams: frozenset[str],
        anchored: bool = False,
        tracing: Tracing | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.app = app
        self.enabled = True
        #: Whether what answers 500 for an exception stands around this pass, not inside it.
        self.inside = False
        self.instruments = instruments
        self.requests = instruments.requests
        self.streams = instruments.streams
        self.routes = routes
        self.stream_routes = streams
        self.tracing = tracing
        self._endpoint = endpoint
        self._excluded: Callable[[str], Any] | None = None
        if exclude is not None:
            # A search tries an anchored pattern at every character of each path.
            self._excluded = exclude.match if anchored else exclude.search
        self.at_end: list[Callable[[], Awaitable[None]]] = []
        if tracing is not None:
            self.at_end.append(tracing.flush)
        self._worker = worker
        self._sleeping = worker is not None
        self.active: dict[tuple[str, str], Level] = {}
        self._observed: dict[tuple[Any, ...], tuple[Observed, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        if scope["type"] != "http" or not self.enabled or SEEN in scope:
            if self.enabled and SEEN not in scope:
                if scope["type"] == "websocket":
                    await self._websocket(scope, receive, send)
                    return
                if scope["type"] == "lifespan":
                    await self._lifespan(scope, receive, send)
                    return
            await self.app(scope, receive, send)
            return
        if self._sleeping:
            self._wake()
        path = scope["path"]
        if self._endpoint is not None and self._endpoint.is_at(scope, path):
            await self._endpoint(scope, receive, send)
            return
        if self._excluded is not None and self._excluded(path):
            scope[SEEN] = None
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self, scope, receive, send)
        span = exchange.span
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.finish(error)
            raise
        finally:
            if span is not None:
                span.leave()
        if not exchange.finished:
            exchange.finish()

    def _at_start(self) -> None:
        """Begin what runs beside the requests, in the process and the loop that serve them."""
        try:
            if self._worker is not None:
                self._worker.start()
            runtime.watch_loop()
            outgoing.install()
            if self.tracing is not None:
                self.tracing.install()
        except Exception:
            guard.failed("start")

    def _wake(self) -> None:
        """Do at the first request what a server without lifespan events has not asked for."""
        self._sleeping = False
        self._at_start()
        if self._worker is not None:
            self._worker.wake()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._at_start()

        async def last(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                # uvicorn lets the signal that ended it end the process, without its exit handlers.
                await self._at_end()
            await send(message)

        await self.app(scope, receive, last)

    async def _at_end(self) -> None:
        try:
            for finish in self.at_end:
                await finish()
            await runtime.unwatch_loop()
            if self._worker is not None:
                self._worker.save()
        except Exception:
            guard.failed("shutdown")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[SEEN] = True
        if self._excluded is not None and self._excluded(scope["path"]):
            await self.app(scope, receive, send)
            return
        span = self.tracing.begin(scope) if self.tracing is not None else None
        connection = Connection(
            self.instruments.websockets, self.routes, scope, receive, send, span
        )
        scope[CONNECTION] = connection
        try:
            await self.app(scope, connection.receive, connection.send)
        except BaseException as error:
            connection.finish(error)
            raise
        finally:
            connection.finish()
            del scope[CONNECTION]
            if span is not None:
                span.leave()

    def level(self, method: str, scheme: str) -> Level:
        """Return the gauge of requests under way with these labels.

        It is raised and lowered without a lock, which the interpreter's own lock makes safe: no
        other thread runs between the instructions of one ``+=`` on an attribute.
        """
        known = _SCHEMES.get(scheme, OTHER)
        level = self.requests.active.child(method, known)
        if OTHER not in (method, known):
            self.active[method, scheme] = level
        return level

    def observed(
        self, scope: Scope, root_path: str, method: str, status: int, error: str
    ) -> Observed:
        """Return the histograms that a request counts in, after it was routed."""
        route, endpoint = scope.get("route"), scope.get("endpoint")
        # Where FastAPI tells apart the several prefixes of one included router.
        own = scope.get("fastapi")
        context = own.get("effective_route_context") if own else None
        below = scope.get("root_path")
        key = (id(route), id(endpoint), id(context), below, root_path, method, status, error)
        known = self._observed.get(key)
        if known is not None:
            return known[0]
        template, lasting = self.routes.resolve(scope, root_path)
        found, kept = self.requests.observed(method, template, status, error)
        if lasting and kept:
            if len(self._observed) >= REMEMBERED:
                self._observed.clear()
            # An id in a key means its object as long as that is kept alive here.
            self._observed[key] = found, (route, endpoint, context)
        return found


class Exchange:
    """One HTTP request under way, and what was seen of its response.

    Every instruction here is paid for by every request: no call that can be spared is made.
    """

    __slots__ = (
        "_headers",
        "_level",
        "_pass",
        "_receive",
        "_root",
        "_scope",
        "_send",
        "began",
        "disconnected",
        "ended",
        "exemplar",
        "finished",
        "first",
        "foreign",
        "method",
        "received",
        "sent",
        "span",
        "status",
        "stream",
    )

    def __init__(self, through: Pass, scope: Scope, receive: Receive, send: Send) -> None:
        self._pass = through
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers: Any = ()
        self._root: str = scope.get("root_path", "")
        self.status = self.sent = self.received = 0
        self.first = self.ended = 0.0
        self.finished = self.disconnected = False
        self.stream: str | None = None
        self.exemplar: dict[str, str] | None = None
        scope[SEEN] = True  # not self: a cycle would leave each request to the garbage collector
        self.method: str = scope["method"]
        level = through.active.get((self.method, scope.get("scheme", "http")))
        if level is None:
            if self.method not in METHODS:
                self.method = OTHER
            level = through.level(self.method, scope.get("scheme", "http"))
        self._level = level
        level.value += 1
        self.foreign = False
        self.span: ServerSpan | None = None
        self.began = perf_counter()
        if through.tracing is not None:
            self._trace(through.tracing)

    def _trace(self, tracing: Tracing) -> None:
        try:
            self.span = span = tracing.begin(self._scope)
            if span is None:
                self.foreign = True
            else:
                self.exemplar = span.exemplar
        except Exception:
            guard.failed("server span")

    async def receive(self) -> Message:
        """Hand the application what the client sends."""
        message = await self._receive()
        kind = message["type"]
        if kind == "http.request":
            self.received += len(message.get("body", b""))
        elif kind == "http.disconnect":
            self.disconnected = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Hand the server what the application answers."""
        try:
            kind = message["type"]
            if kind == "http.response.body":
                body = message.get("body")
                if body:
                    self.sent += len(body)
                    if not self.first:
                        self.first = perf_counter()
                if message.get("more_body"):
                    return self._more(message)
                self._last()
            elif kind == "http.response.start":
                self.status = message["status"]
                self._headers = headers = message.get("headers", ())
                through = self._pass
                if self.foreign and through.tracing is not None:
                    self.exemplar = through.tracing.current()
                if is_stream(headers) or through.stream_routes:
                    self._opened(through, headers)
            elif kind == "http.response.pathsend":
                # The server itself sends a file; its size stands in the headers.
                self.sent = _content_length(self._headers) or 0
                self._last()
        except Exception:
            guard.failed("response")
        return self._send(message)

    async def _more(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            # How ASGI 2.4 tells that the client is gone.
            self.disconnected = True
            raise

    def _opened(self, through: Pass, headers: Any) -> None:
        route = through.routes.template(self._scope, self._root)
        if route in through.stream_routes or is_stream(headers):
            self.stream = route
            through.streams.opened(route)

    def _last(self) -> None:
        self.ended = perf_counter()
        # A response that is sent while an exception is handled may be followed by that
        # exception: Starlette answers 500 first and raises then. The pass knows when.
        if not self.finished and exception() is None:
            self.finish()

    def finish(self, error: BaseException | None = None) -> None:
        """Count the request, the first time that this is called; then only what fails after it."""
        try:
            if self.finished:
                if error is not None and not isinstance(error, CancelledError):
                    self._failed_after(error)
                return
            self.finished = True
            self._level.value -= 1
            self._record(error)
        except Exception:
            guard.failed("request")

    def _record(self, error: BaseException | None) -> None:
        through = self._pass
        status = self.status
        ended = self.ended
        # The end of an empty body is all there is of it.
        first = self.first or ended
        kind = ""
        if error is not None or not ended or status >= 500:
            if error is not None and not status and through.inside:
                status = 500
            kind = self._error_type(error)
            ended = ended or perf_counter()
        observed = through.observed(self._scope, self._root, self.method, status, kind)
        duration = ended - self.began
        start = first - self.began if first else None
        through.requests.record(
            observed,
            # What a stream takes is not latency: its first byte is what was waited for.
            duration if self.stream is None or start is None else start,
            start,
            self.sent if status and self.method != "HEAD" else 0 if status else None,
            # Where the application did not read the body, the header tells what was announced.
            self.received or _content_length(self._scope["headers"]),
            self.exemplar,
        )
        if self.stream is not None:
            through.streams.ended(self.stream, duration, self._outcome(error, kind), self.exemplar)
        if self.exemplar is not None and self.span is not None:
            if error is not None and kind != DISCONNECTED:
                self.span.raised(error)
            self.span.finish(
                self._scope, through.routes.template(self._scope, self._root), status, kind
            )

    def _error_type(self, error: BaseException | None) -> str:
        if error is not None:
            return DISCONNECTED if self._left(error) else error_type(error)
        if not self.ended:
            return DISCONNECTED if self.disconnected else INCOMPLETE
        return str(self.status) if self.status >= 500 else ""

    def _left(self, error: BaseException) -> bool:
        """Whether an exception only says that the client left."""
        return self.disconnected and (
            isinstance(error, OSError | CancelledError)
            or type(error).__name__ == "ClientDisconnect"
        )

    def _outcome(self, error: BaseException | None, kind: str) -> str:
        if kind == DISCONNECTED:
            return "disconnected"
        if isinstance(error, CancelledError):
            return "cancelled"
        return "error" if kind else "completed"

    def _failed_after(self, error: BaseException) -> None:
        through = self._pass
        route = through.routes.template(self._scope, self._root)
        through.requests.background_errors.child(route, error_type(error)).inc()


def _content_length(headers: Any) -> int | None:
    for name, value in headers:
        if len(name) == 14 and name.lower() == b"content-length":
            return int(value) if value.isdigit() else None
    return None
