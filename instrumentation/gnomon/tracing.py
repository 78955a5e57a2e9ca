"""The server span: whether a request has one is decided before OpenTelemetry's SDK is entered."""

from __future__ import annotations

import traceback
from functools import cached_property
from random import getrandbits
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from gnomon import guard, libraries
from gnomon.identity import version
from gnomon.lightspan import LightSpan, suits
from gnomon.providers import flush, provider
from gnomon.requests import METHODS, OTHER
from gnomon.routes import UNMATCHED

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.trace import TraceState

    from gnomon.asgi import Scope
    from gnomon.families import Ids
    from gnomon.providers import Provider
    from gnomon.settings import Settings

_LOW = (1 << 64) - 1

#: What stands behind the functions of the same names: each costs a call less here.
_current = getattr(contexts, "_RUNTIME_CONTEXT", contexts)
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)

#: Seconds that the end of an application waits for its last spans.
PATIENCE = 2.0

#: Longest value of an attribute that a client chooses, in characters.
LIMIT = 1024


def tracing(app: Any, stack: Any, settings: Settings) -> Tracing:
    """Return what starts the server spans of an application, or watches those of others.

    stack: its middleware. Spans of an instrumentation that is in it stay the only ones.
    """
    if settings.tracing == "opentelemetry" or _traced(stack):
        return Tracing(None)
    own = provider(settings)
    if own is not None and own.ids is not None:
        # FastAPI starts spans of its own as soon as there is a global provider: ours would be
        # the second one of each request. A provider that it was given stays in charge.
        native = getattr(app, "_telemetry", None)
        if isinstance(native, dict) and native.get("tracing"):
            if native.get("tracer_provider") is not None:
                return Tracing(None)
            native["tracing"] = False
    return Tracing(own)


def _traced(stack: Any) -> bool:
    """Whether another package's tracing middleware is in a stack."""
    seen: set[int] = set()
    while stack is not None and id(stack) not in seen:
        seen.add(id(stack))
        if type(stack).__module__ in (
            "opentelemetry.instrumentation.asgi",
            "starlette.middleware.opentelemetry",
        ):
            return True
        stack = getattr(stack, "app", None)
    return False


class Tracing:
    """Starts server spans.

    own: None if the spans are another instrumentation's.
    """

    def __init__(self, own: Provider | None) -> None:
        self._foreign = own is None
        self._provider = own.provider if own is not None and own.ids is not None else None
        if own is not None:
            self._tracer = own.provider.get_tracer("gnomon", version())
            self._ids = own.ids
            # OpenTelemetry's rule: a trace is recorded if its id's low 64 bits are below this.
            self._bound = None if own.ratio is None else round(own.ratio * (_LOW + 1))
            (self._key,) = set_span_in_context(INVALID_SPAN, Context())
            self._light = self._ids is not None and self._bound is not None and suits(self._tracer)
            fields = propagate.get_global_textmap().fields
            self._fields = frozenset(field.lower().encode() for field in fields)

    def begin(self, scope: Scope) -> ServerSpan | Unrecorded | None:
        """Start a request's span and make it current; None if another instrumentation does.

        Must be called, and ended, in the coroutine that calls the application.
        """
        if self._foreign:
            return None
        if self._ids is not None and "fastapi.telemetry" not in scope:
            scope["fastapi.telemetry"] = None  # mounted FastAPI applications keep quiet
        parent: Context = _current.get_current()
        if parent and self._traced(parent):
            return None
        if not self._fields.isdisjoint(dict(scope["headers"])):
            parent = self._extracted(scope)
        # Most requests have no tracing client in front of them: then this is a new trace.
        above = get_current_span(parent).get_span_context() if parent else None
        if above is not None and above.is_valid:
            trace_id = above.trace_id
            if self._bound is not None and not above.trace_flags.sampled:
                return self._unrecorded(parent, trace_id, above.trace_state)
        else:
            above = None
            trace_id = getrandbits(128) or 1
            if self._bound is not None and trace_id & _LOW >= self._bound:
                return self._unrecorded(parent, trace_id, None)
        return self._recorded(scope, parent, trace_id, above)

    @staticmethod
    def _traced(context: Context) -> bool:
        """Whether a server span is current: then whoever started it traces this request."""
        span = get_current_span(context)
        return span is not INVALID_SPAN and (
            getattr(span, "kind", SpanKind.SERVER) is SpanKind.SERVER
        )

    def _unrecorded(self, parent: Context, trace_id: int, state: TraceState | None) -> Unrecorded:
        # Without it client libraries would start traces of their own, with nothing above.
        span = Unrecorded(trace_id, state)
        span.token = self._attach(span, parent)
        return span

    def _recorded(
        self, scope: Scope, parent: Context, trace_id: int, above: SpanContext | None
    ) -> ServerSpan:
        name, attributes = _described(scope)
        if self._light:
            ids = (trace_id, getrandbits(64) or 1)
            light = LightSpan(self._tracer, name, ids, told=attributes, parent=parent, above=above)
            return ServerSpan(light, self._attach(light, parent), ids)
        if above is None and self._ids is not None:
            self._ids.want(trace_id)
        span = self._started(name, parent, attributes)
        known = exemplar(span.get_span_context()) if span.is_recording() else None
        return ServerSpan(span, self._attach(span, parent), known)

    def _attach(self, span: Any, parent: Context) -> Token[Context]:
        context = set_span_in_context(span, parent) if parent else Context({self._key: span})
        token: Token[Context] = _current.attach(context)
        return token

    def install(self) -> None:
        """Trace the client libraries that have been imported, if the provider is ours."""
        if self._provider is not None:
            libraries.install(self._provider)

    async def flush(self) -> None:
        """Send what waits, for two seconds at most."""
        if not self._foreign and self._ids is not None:
            from anyio import to_thread  # noqa: PLC0415  # asked for once, at the end

            await to_thread.run_sync(flush, PATIENCE, abandon_on_cancel=True)

    @staticmethod
    def current() -> Ids | None:
        """Return the ids of the span that is current, None if it is not sampled."""
        return exemplar(get_current_span().get_span_context())

    def _extracted(self, scope: Scope) -> Context:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in self._fields:
                field, text = name.decode("latin-1"), value.decode("latin-1")
                headers[field] = f"{headers[field]},{text}" if field in headers else text
        return propagate.extract(headers)

    def _started(self, name: str, parent: Context, attributes: dict[str, Any]) -> Any:
        if self._bound is None:  # a sampler of somebody else's may ask for them
            return self._tracer.start_span(
                name, context=parent, kind=SpanKind.SERVER, attributes=attributes
            )
        span = self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER)
        _set(span, attributes)
        return span


def _set(span: Any, attributes: dict[str, Any]) -> None:
    """Set attributes whose names and values are right beforehand.

    The SDK examines each of them in a call of its own, which takes a third of the time that a
    span costs; that is spared where its dictionary can be reached and has no limit of its own.
    """
    bounded = getattr(span, "_attributes", None)
    values = getattr(bounded, "_dict", None)
    if isinstance(values, dict) and getattr(bounded, "max_value_len", 0) is None:
        values.update(attributes)
    else:
        span.set_attributes(attributes)


class Unrecorded(NonRecordingSpan):
    """The stand-in for a request's span that is not recorded: it carries the trace's id.

    Most of them are asked for nothing, so the rest is made when somebody asks.
    """

    #: No request without a recorded span is an exemplar.
    exemplar = None
    token: Token[Context]

    def __init__(self, trace_id: int, state: TraceState | None) -> None:
        self._trace_id = trace_id
        self._state = state

    @cached_property
    def _context(self) -> SpanContext:  # type: ignore[override]  # made when it is asked for
        span_id = getrandbits(64) or 1
        return SpanContext(self._trace_id, span_id, False, _UNSAMPLED, self._state)

    def leave(self) -> None:
        """Make current what was so before."""
        _leave(self.token)

    def finish(self, scope: Scope, route: str, status: int, kind: str) -> None:
        """Have nothing to tell of the request."""

    def raised(self, error: BaseException) -> None:
        """Have nothing to note of the exception."""


class ServerSpan:
    """One request's span."""

    __slots__ = ("_span", "_token", "exemplar")

    def __init__(self, span: Any, token: Token[Context], ids: Ids | None) -> None:
        self._span = span
        self._token = token
        self.exemplar = ids

    def finish(self, scope: Scope, route: str, status: int, kind: str) -> None:
        """End the span with what has become of the request.

        route: its template. status: 0 if there was none. kind: the error
        type, "" if there was no error.
        """
        if self.exemplar is None:
            return
        span = self._span
        attributes: dict[str, Any] = {}
        if status:
            attributes["http.response.status_code"] = status
        if kind:
            attributes["error.type"] = kind
            span.set_status(Status(StatusCode.ERROR))
        name = ""
        if route != UNMATCHED:
            attributes["http.route"] = route
            word = "WS" if scope["type"] == "websocket" else scope["method"]
            name = f"{word if word in METHODS or word == 'WS' else 'HTTP'} {route}"
        if type(span) is LightSpan:
            span.finish(name, attributes)
            return
        if name:
            span.update_name(name)
        _set(span, attributes)
        span.end()

    def raised(self, error: BaseException) -> None:
        """Note an exception: its class and where it came from, not its text.

        Texts of exceptions, and the source lines beside them, carry queries and credentials.
        """
        if self.exemplar is not None:
            kind = type(error)
            where = "\n".join(
                f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
                for frame, line in traceback.walk_tb(error.__traceback__)
            )
            self._span.add_event(
                "exception",
                {
                    "exception.type": f"{kind.__module__}.{kind.__qualname__}",
                    "exception.stacktrace": where,
                },
            )

    def leave(self) -> None:
        """Make current what was so before."""
        _leave(self._token)


def _leave(token: Token[Context]) -> None:
    try:
        _current.detach(token)
    except ValueError:  # the application was run on in another context, which is its right
        guard.failed("trace context")


def exemplar(context: SpanContext) -> Ids | None:
    """Return a sampled span's ids, the trace's first."""
    return (context.trace_id, context.span_id) if context.trace_flags.sampled else None


def _described(scope: Scope) -> tuple[str, dict[str, Any]]:
    """Return a span's name and attributes before the request is routed.

    Without its query, which may hold secrets.
    """
    attributes: dict[str, Any] = {
        "url.scheme": scope.get("scheme", "http"),
        "url.path": scope["path"][:LIMIT],
    }
    if version_ := scope.get("http_version"):
        attributes["network.protocol.version"] = version_
    if client := scope.get("client"):
        attributes["client.address"] = client[0]
    if server := scope.get("server"):
        attributes["server.address"] = server[0]
        if server[1] is not None:
            attributes["server.port"] = server[1]
    for name, value in scope["headers"]:
        if name == b"user-agent":
            attributes["user_agent.original"] = value[:LIMIT].decode("latin-1")
            break
    if scope["type"] == "websocket":
        return "WS", attributes
    method = scope.get("method", "")
    if method in METHODS:
        attributes["http.request.method"] = method
        return method, attributes
    attributes["http.request.method"] = OTHER
    attributes["http.request.method_original"] = method[:LIMIT]
    return "HTTP", attributes
