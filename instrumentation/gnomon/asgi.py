"""The one pass through which every request and WebSocket of an application goes."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, MutableMapping
from sys import exception
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from gnomon import guard, outgoing, runtime
from gnomon.errors import DISCONNECTED, INCOMPLETE, error_type
from gnomon.requests import METHODS, OTHER, TOGETHER
from gnomon.routes import REMEMBERED
from gnomon.streams import is_stream
from gnomon.tracebacks import shorten
from gnomon.websockets import CONNECTION, Connection

if TYPE_CHECKING:
    import re

    from gnomon.endpoint import Endpoint
    from gnomon.families import Ids, Level
    from gnomon.instruments import Instruments
    from gnomon.requests import Observed
    from gnomon.routes import Routes
    from gnomon.tracing import ServerSpan, Tracing, Unrecorded
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

    app: what is measured. aside: paths that are not; exclude: those in which it is found neither.
    streams: templates of routes that are streams whatever their media type. endpoint: answers the
    page of metrics. tracing: starts server spans, None for none. worker: this process among its
    peers.
    """

    def __init__(
        self,
        app: App,
        *,
        instruments: Instruments,
        routes: Routes,
        endpoint: Endpoint | None,
        aside: frozenset[str],
        exclude: re.Pattern[str] | None,
        streams: frozenset[str],
        tracing: Tracing | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.app = app
        self._enabled = True
        #: Whether what answers 500 for an exception stands around this pass, not inside it.
        self.inside = False
        self.instruments = instruments
        self.requests = instruments.requests
        self.streams = instruments.streams
        self.routes = routes
        self.stream_routes = streams
        self.tracing = tracing
        self._endpoint = endpoint
        self._aside = aside
        self._exclude = exclude
        # One look into a set tells most requests from those that are not measured.
        self._unmeasured = aside if endpoint is None else aside | endpoint.paths
        self.at_end: list[Callable[[], Awaitable[None]]] = []
        if tracing is not None:
            self.at_end.append(tracing.flush)
        self._worker = worker
        #: Whether there is something to do before a request can be measured.
        self._resting = worker is not None
        self.active: dict[tuple[str, str], Level] = {}
        self.observed: dict[tuple[Any, ...], Observed] = {}
        self._alive: list[tuple[Any, ...]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        if self._resting or scope["type"] != "http" or SEEN in scope:
            other = self._other(scope)
            if other is not None:
                await other(scope, receive, send)
                return
        path, root = scope["path"], scope.get("root_path", "")
        if path in self._unmeasured or root or self._exclude is not None:
            if self._endpoint is not None and self._endpoint.is_at(path, root):
                await self._endpoint(scope, receive, send)
                return
            if self._is_excluded(path):
                scope[SEEN] = None
                await self.app(scope, receive, send)
                return
        exchange = Exchange(self, scope, root, receive, send)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.finish(error)
            shorten(error)
            raise
        finally:
            if exchange.span is not None:
                exchange.span.leave()
        if not exchange.finished:
            exchange.finish()

    def _other(self, scope: Scope) -> App | None:
        """Return where to pass on what is no request to be measured; None if it is one."""
        if SEEN in scope or not self._enabled:
            return self.app
        if scope["type"] == "websocket":
            return self._websocket
        if scope["type"] == "lifespan":
            return self._lifespan
        if scope["type"] != "http":
            return self.app
        self._wake()
        return None

    def disable(self) -> None:
        """Let everything through from now on; requests under way are measured to their end."""
        self._enabled = False
        self._resting = True

    def _is_excluded(self, path: str) -> bool:
        return path in self._aside or (
            self._exclude is not None and self._exclude.search(path) is not None
        )

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
        self._resting = False
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
        if self._is_excluded(scope["path"]):
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
            shorten(error)
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

    def resolve(self, key: tuple[Any, ...], scope: Scope, root_path: str, *labels: Any) -> Observed:
        """Return where a request is counted, after it was routed.

        key: what that depends on; ``observed`` has it under this key from then on. labels: method,
        status and type of the error.
        """
        template, lasting = self.routes.resolve(scope, root_path)
        method, status, error = labels
        found, kept = self.requests.observed(method, template, status, error)
        if lasting and kept:
            if len(self.observed) >= REMEMBERED:
                self.observed.clear()
                self._alive.clear()
            # An id in a key means its object as long as that is kept alive here.
            self._alive.append((scope.get("route"), scope.get("endpoint"), _context(scope)))
            self.observed[key] = found
        return found


def _context(scope: Scope) -> Any:
    """Return where FastAPI tells apart the several prefixes of one included router."""
    own = scope.get("fastapi")
    return own.get("effective_route_context") if own else None


class Exchange:
    """One HTTP request under way, and what was seen of its response.

    Every instruction here is paid for by every request: no call that can be spared is made.
    """

    __slots__ = (
        "_level",
        "_pass",
        "_receive",
        "_root",
        "_scope",
        "_send",
        "answered",
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

    def __init__(
        self, through: Pass, scope: Scope, root: str, receive: Receive, send: Send
    ) -> None:
        self._pass = through
        self._scope = scope
        self._root = root
        self._receive = receive
        self._send = send
        self.status = self.sent = self.received = 0
        self.first = self.ended = 0.0
        self.finished = self.disconnected = self.foreign = False
        self.stream: str | None = None
        self.exemplar: Ids | None = None
        self.span: ServerSpan | Unrecorded | None = None
        scope[SEEN] = True  # not self: a cycle would leave each request to the garbage collector
        self.method = method = scope["method"]
        level = through.active.get((method, scope.get("scheme", "http")))
        if level is None:
            if method not in METHODS:
                self.method = OTHER
            level = through.level(self.method, scope.get("scheme", "http"))
        self._level = level
        level.value += 1
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
            if kind == "http.response.start":
                self.status = message["status"]
                self.answered = headers = message.get("headers", ())
                if is_stream(dict(headers).get(b"content-type", b"")) or self._pass.stream_routes:
                    self._opened(headers)
                if self.foreign:
                    self._follow()
            elif kind == "http.response.body":
                body = message.get("body")
                if body:
                    self.sent += len(body)
                if message.get("more_body"):
                    if body and not self.first:
                        self.first = perf_counter()
                    return self._more(message)
                self.ended = perf_counter()
                # A response that is sent while an exception is handled may be followed by that
                # exception: Starlette answers 500 first and raises then. The pass knows when.
                if exception() is None:
                    self.finish()
            elif kind == "http.response.pathsend":
                # The server itself sends a file; its size stands in the headers.
                self.sent = _content_length(self.answered)
                self.ended = perf_counter()
                if exception() is None:
                    self.finish()
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

    def _opened(self, headers: Any) -> None:
        through = self._pass
        route = through.routes.template(self._scope, self._root)
        if route in through.stream_routes or is_stream(dict(headers).get(b"content-type", b"")):
            self.stream = route
            through.streams.opened(route)

    def _follow(self) -> None:
        """Take the exemplar from the span of whoever traces this request."""
        tracing = self._pass.tracing
        if tracing is not None:
            self.exemplar = tracing.current()

    def finish(self, error: BaseException | None = None) -> None:
        """Count the request, the first time that this is called; then only what fails after it."""
        try:
            if self.finished:
                if error is not None and not isinstance(error, CancelledError):
                    self._failed_after(error)
                return
            self.finished = True
            self._level.value -= 1
            through, scope, status, ended = self._pass, self._scope, self.status, self.ended
            kind = ""
            if error is not None or status >= 500 or not ended:
                if error is not None and not status and through.inside:
                    status = 500
                kind = self._error_type(error)
            key = (
                id(scope.get("route")),
                id(scope.get("endpoint")),
                id(_context(scope)) if "fastapi" in scope else 0,
                scope.get("root_path"),
                self._root,
                self.method,
                status,
                kind,
            )
            observed = through.observed.get(key)
            if observed is None:
                observed = through.resolve(key, scope, self._root, self.method, status, kind)
            sent = self.sent if self.method != "HEAD" else 0
            received = self.received
            if not received and self.method != "GET":
                # Where the application did not read the body, this tells what was announced.
                received = _content_length(scope["headers"])
            if kind or self.stream is not None:
                self._tell(observed, error, status, kind, (sent, received))
            else:
                # The end of a body that had not begun is all there is of it.
                began, waiting, ids = self.began, observed.waiting, self.exemplar
                waiting.append(
                    (
                        ended - began,
                        (self.first or ended) - began,
                        sent,
                        received,
                        None if ids is None else (ids, time()),
                    )
                )
                if len(waiting) >= TOGETHER:
                    observed.settle()
            if self.exemplar is not None and self.span is not None:
                if error is not None and kind != DISCONNECTED:
                    self.span.raised(error)
                self.span.finish(scope, observed.route, status, kind)
        except Exception:
            guard.failed("request")

    def _tell(
        self,
        observed: Observed,
        error: BaseException | None,
        status: int,
        kind: str,
        sizes: tuple[int, int],
    ) -> None:
        """Count what is no plain answer: an error or a stream."""
        ended = self.ended or perf_counter()
        duration = ended - self.began
        first = self.first or self.ended
        start = first - self.began if first else None
        sent, received = sizes
        observed.put(
            # What a stream takes is not latency: its first byte is what was waited for.
            duration if self.stream is None or start is None else start,
            start,
            sent if status else None,
            received,
            self.exemplar,
        )
        if self.stream is not None:
            self._pass.streams.ended(
                self.stream, duration, self._outcome(error, kind), self.exemplar
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


def _content_length(headers: Any) -> int:
    length: bytes = dict(headers).get(b"content-length", b"")
    return int(length) if length.isdigit() else 0
