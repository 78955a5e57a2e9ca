"""Spans of client libraries, by OpenTelemetry's own instrumentations where those are installed."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from gnomon import guard, late

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from opentelemetry.context import Context

#: A library, and the instrumentation of it: module and class.
LIBRARIES = {
    "aiohttp": ("aiohttp_client", "AioHttpClientInstrumentor"),
    "httpx": ("httpx", "HTTPXClientInstrumentor"),
    "requests": ("requests", "RequestsInstrumentor"),
    "sqlalchemy": ("sqlalchemy", "SQLAlchemyInstrumentor"),
    "redis": ("redis", "RedisInstrumentor"),
    "celery": ("celery", "CeleryInstrumentor"),
    "aio_pika": ("aio_pika", "AioPikaInstrumentor"),
    "asyncpg": ("asyncpg", "AsyncPGInstrumentor"),
    "psycopg": ("psycopg", "PsycopgInstrumentor"),
}

#: Calls of these have spans below others only: polling, of a queue in Redis for example, would
#: otherwise be a trace every second, of one span.
_BELOW = frozenset({"asyncpg", "psycopg", "redis", "sqlalchemy"})

_STABLE = "OTEL_SEMCONV_STABILITY_OPT_IN"

_installed: dict[str, Any] = {}


def install(provider: Any) -> None:
    """Instrument the libraries that have been imported, and those that are imported later.

    One that somebody has instrumented already is left as it is.
    """
    late.watch("libraries", lambda: install(provider))
    for library, (module, name) in LIBRARIES.items():
        if library not in sys.modules or library in _installed:
            continue
        path = f"opentelemetry.instrumentation.{module}"
        try:
            if not _exists(path):
                continue
            with _stable_names():
                instrumentor = getattr(import_module(path), name)()
                if instrumentor.is_instrumented_by_opentelemetry:
                    continue
                source = Below(provider) if library in _BELOW else provider
                if library == "sqlalchemy":
                    instrumentor = import_module("gnomon.engines")
                    instrumentor.instrument(source)
                else:
                    instrumentor.instrument(tracer_provider=source)
            _installed[library] = instrumentor
        except Exception:
            guard.failed(f"spans of {library}")


def _exists(path: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return find_spec(path) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


class Below(trace.TracerProvider):
    """A provider whose tracers start spans below others only."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._provider = provider

    def get_tracer(self, *args: Any, **options: Any) -> trace.Tracer:
        """Return such a tracer; see the interface for the arguments."""
        return _BelowTracer(self._provider.get_tracer(*args, **options))


class _BelowTracer(trace.Tracer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start_span(
        self, name: str, context: Context | None = None, *args: Any, **options: Any
    ) -> trace.Span:
        if trace.get_current_span(context).get_span_context().is_valid:
            return self._tracer.start_span(name, context, *args, **options)
        return trace.INVALID_SPAN

    def start_as_current_span(  # type: ignore[override]  # as the SDK's, which is none either
        self, name: str, context: Context | None = None, *args: Any, **options: Any
    ) -> AbstractContextManager[trace.Span]:
        if trace.get_current_span(context).get_span_context().is_valid:
            return self._tracer.start_as_current_span(name, context, *args, **options)
        return nullcontext(trace.INVALID_SPAN)


@contextmanager
def _stable_names() -> Iterator[None]:
    """Have the instrumentations use the stable attributes, if nobody has said which."""
    if _STABLE in os.environ:
        yield
        return
    os.environ[_STABLE] = "http,database"  # the one way to say it; read once, by the first of them
    try:
        yield
    finally:
        del os.environ[_STABLE]


def uninstall() -> None:
    """Leave the libraries as they were."""
    late.unwatch("libraries")
    while _installed:
        library, instrumentor = _installed.popitem()
        try:
            instrumentor.uninstrument()
        except Exception:
            guard.failed(f"spans of {library}")
