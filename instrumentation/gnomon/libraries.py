"""Spans of client libraries, by OpenTelemetry's own instrumentations where those are installed."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gnomon import guard

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

_installed: dict[str, Any] = {}


def install(provider: Any) -> None:
    """Instrument the libraries that have been imported; may be called again and again.

    One that somebody has instrumented already is left as it is.
    """
    for library, (module, name) in LIBRARIES.items():
        if library not in sys.modules or library in _installed:
            continue
        path = f"opentelemetry.instrumentation.{module}"
        try:
            if find_spec(path) is None:
                continue
            instrumentor = getattr(import_module(path), name)()
            if not instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.instrument(tracer_provider=provider)
                _installed[library] = instrumentor
        except Exception:
            guard.failed(f"spans of {library}")


def uninstall() -> None:
    """Leave the libraries as they were."""
    while _installed:
        library, instrumentor = _installed.popitem()
        try:
            instrumentor.uninstrument()
        except Exception:
            guard.failed(f"spans of {library}")
