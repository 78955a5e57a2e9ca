"""What is measured of WebSockets: connections, messages each way, subscriptions, close codes."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from gnomon import guard
from gnomon.errors import error_type
from gnomon.families import AnyFamily, Count, Counters, Gauges, Histograms, Level
from gnomon.streams import LIFETIMES

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from gnomon.asgi import Message, Receive, Scope, Send
    from gnomon.routes import Routes
    from gnomon.tracing import ServerSpan, Unrecorded

#: The scope's key under which a connection's own object is found.
CONNECTION = "gnomon.websocket"


class WebSocketFamilies:
    """The families of WebSockets, for all applications on one registry."""

    def __init__(self, cap: int) -> None:
        route = "http_route"
        self.connections = Gauges(
            "gnomon_websocket_connections", "WebSockets that are open.", (route,), cap
        )
        self.duration = Histograms(
            "gnomon_websocket_connection_duration_seconds",
            "Time from a WebSocket's acceptance to its end.",
            (route,),
            cap,
            LIFETIMES,
        )
        self.messages = Counters(
            "gnomon_websocket_messages",
            "Messages, by direction as the server sees it: received or sent.",
            (route, "direction"),
            cap,
        )
        self.bytes = Counters(
            "gnomon_websocket_message_bytes",
            "Bytes of messages, text as UTF-8, by direction as the server sees it.",
            (route, "direction"),
            cap,
        )
        self.closed = Counters(
            "gnomon_websocket_closed",
            "WebSockets that ended, by close code and by who ended it: client, server or error.",
            (route, "code", "closed_by"),
            cap,
        )
        self.refused = Counters(
            "gnomon_websocket_refused",
            "Handshakes that the application did not accept, by the status that it answered.",
            (route, "http_response_status_code"),
            cap,
        )
        self.subscriptions = Gauges(
            "gnomon_websocket_subscriptions",
            "Subscriptions that open WebSockets hold, by the type that the application names.",
            (route, "type"),
            cap,
        )
        self.heartbeats = Counters(
            "gnomon_websocket_heartbeat_expired",
            "WebSockets whose peer did not answer a heartbeat in time.",
            (route,),
            cap,
        )

    def families(self) -> tuple[AnyFamily, ...]:
        """Return all families."""
        return (
            self.connections,
            self.duration,
            self.messages,
            self.bytes,
            self.closed,
            self.refused,
            self.subscriptions,
            self.heartbeats,
        )


class Connection:
    """One WebSocket under way."""

    def __init__(  # noqa: PLR0917
        self,
        families: WebSocketFamilies,
        routes: Routes,
        scope: Scope,
        receive: Receive,
        send: Send,
        span: ServerSpan | Unrecorded | None = None,
    ) -> None:
        self._span = span
        self._families = families
        self._routes = routes
        self._scope: Scope | None = scope
        self._root: str = scope.get("root_path", "")
        self._receive = receive
        self._send = send
        self.route: str | None = None
        self._accepted = 0.0
        self._ended = False
        self._closed: tuple[str, str] | None = None
        self._refusal = 0
        self._subscriptions: dict[str, tuple[Level, float]] = {}
        self._messages_in: Count
        self._messages_out: Count
        self._bytes_in: Count
        self._bytes_out: Count

    async def receive(self) -> Message:
        """Hand the application what the client sends."""
        message = await self._receive()
        try:
            kind = message["type"]
            if kind == "websocket.receive" and self._accepted:
                self._messages_in.inc()
                self._bytes_in.inc(_size(message))
            elif kind == "websocket.disconnect":
                if "ping timeout" in (message.get("reason") or ""):
                    self.heartbeat_expired()
                if self._closed is None:
                    self._closed = _code(message.get("code", 1005)), "client"
        except Exception:
            guard.failed("websocket")
        return message

    async def send(self, message: Message) -> None:
        """Hand the server what the application sends."""
        try:
            kind = message["type"]
            if kind == "websocket.accept":
                self._accept()
            elif kind == "websocket.close":
                if not self._accepted:
                    self._refusal = 403
                elif self._closed is None:
                    self._closed = _code(message.get("code", 1000)), "server"
            elif kind == "websocket.http.response.start":
                self._refusal = message["status"]
        except Exception:
            guard.failed("websocket")
        await self._send(message)
        if message["type"] == "websocket.send" and self._accepted:
            # Counted when the server has taken it: a message to a client that is gone is none.
            self._messages_out.inc()
            self._bytes_out.inc(_size(message))

    def _resolved(self) -> str:
        if self.route is None:
            scope, self._scope = self._scope, None  # a cycle would wait for the garbage collector
            self.route = self._routes.template(scope, self._root)
        return self.route

    def _accept(self) -> None:
        route = self._resolved()
        families = self._families
        self._messages_in = families.messages.child(route, "received")
        self._messages_out = families.messages.child(route, "sent")
        self._bytes_in = families.bytes.child(route, "received")
        self._bytes_out = families.bytes.child(route, "sent")
        families.connections.child(route).add(1)
        self._accepted = perf_counter()

    def finish(self, error: BaseException | None = None) -> None:
        """Count the end, once."""
        if self._ended:
            return
        self._ended = True
        try:
            route = self._resolved()
            families = self._families
            if self._span is not None:
                kind = error_type(error) if error is not None else ""
                self._span.finish({"type": "websocket"}, route, self._refusal, kind)
            exemplar = self._span.exemplar if self._span is not None else None
            if not self._accepted:
                status = 500 if error is not None and not self._refusal else self._refusal
                families.refused.child(route, str(status) if status else "").inc()
                return
            families.connections.child(route).add(-1)
            families.duration.child(route).observe(perf_counter() - self._accepted, exemplar)
            # Returning without a word closes with 1000, raising with 1011, as servers do it.
            code, by = self._closed or (("1011", "error") if error else ("1000", "server"))
            families.closed.child(route, code, by).inc()
            for level, held in self._subscriptions.values():
                level.add(-held)
            self._subscriptions.clear()
        except Exception:
            guard.failed("websocket")

    def subscribed(self, kind: str, amount: float) -> None:
        """Count subscriptions of one type, which end with the connection at the latest."""
        if self._ended:
            return
        level, held = self._subscriptions.get(kind, (None, 0.0))
        if level is None:
            level = self._families.subscriptions.child(self._resolved(), kind)
        amount = max(amount, -held)
        level.add(amount)
        self._subscriptions[kind] = level, held + amount

    def heartbeat_expired(self) -> None:
        """Count a heartbeat that was not answered."""
        self._families.heartbeats.child(self._resolved()).inc()


def subscribed(websocket: WebSocket, kind: str, amount: float = 1) -> None:
    """Count that a client subscribed to something, until it unsubscribes or its WebSocket ends.

    Shown as ``gnomon_websocket_subscriptions{http_route, type}``.

    kind: the type of what it subscribed to, such as ``prices``: a word of the application's, not
    a symbol or an id. amount: how many at once. Nothing happens if the application is not
    instrumented; nothing is raised.
    """
    _on(websocket, lambda connection: connection.subscribed(kind, amount))


def unsubscribed(websocket: WebSocket, kind: str, amount: float = 1) -> None:
    """Take back what ``subscribed`` counted; never more than that."""
    _on(websocket, lambda connection: connection.subscribed(kind, -amount))


def heartbeat_expired(websocket: WebSocket) -> None:
    """Count that a client did not answer the application's own heartbeat in time.

    Shown as ``gnomon_websocket_heartbeat_expired_total{http_route}``, where the server's own
    pings that expire are counted too, if it gives that as the reason of the disconnect.
    """
    _on(websocket, Connection.heartbeat_expired)


def _on(websocket: WebSocket, act: Any) -> None:
    try:
        connection = websocket.scope.get(CONNECTION)
        if connection is not None:
            act(connection)
    except Exception:
        guard.failed("websocket")


def _size(message: Message) -> int:
    data = message.get("bytes")
    if data is not None:
        return len(data)
    text: str = message.get("text") or ""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _code(code: int) -> str:
    """Return a close code as a label: the standard's own, else its range, for peers choose it."""
    if 1000 <= code <= 1015:
        return str(code)
    if 3000 <= code <= 4999:
        return f"{code // 1000}xxx"
    return "_OTHER"
