"""Spans of SQLAlchemy's engines, by OpenTelemetry's tracer of one engine.

Its instrumentation replaces ``create_engine`` where modules look it up: engines made before, or by
a name imported before, which is how most programs do it, have no spans. And it refuses SQLAlchemy
2.1, which its tracer of an engine can do.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from gnomon import guard

_known: WeakSet[Engine] = WeakSet()
_tracer: Any = None


def instrument(provider: Any) -> None:
    """Trace every engine from its next connection on."""
    global _tracer  # noqa: PLW0603  # one for the process, as the instrumentation
    _tracer = provider.get_tracer("opentelemetry.instrumentation.sqlalchemy")
    if not event.contains(Engine, "engine_connect", _connected):
        event.listen(Engine, "engine_connect", _connected)


def uninstrument() -> None:
    """Look at engines no longer."""
    if event.contains(Engine, "engine_connect", _connected):
        event.remove(Engine, "engine_connect", _connected)
    _known.clear()


def _connected(connection: Connection) -> None:
    engine = connection.engine
    while (of := getattr(engine, "_proxied", None)) is not None:  # one with execution options
        engine = of
    if engine in _known or not is_instrumentation_enabled():  # ours, which asks for plans
        return
    try:
        _known.add(engine)
        seen = EngineTracer._remove_event_listener_params  # noqa: SLF001  # the only record of it
        if not any(reference() is engine for reference, *_ in seen):
            # Its own metrics go nowhere; gnomon's are watch_engine's.
            usage = metrics.NoOpMeter("gnomon").create_up_down_counter("connections")
            EngineTracer(_tracer, engine, usage)  # type: ignore[no-untyped-call]
    except Exception:
        guard.failed("spans of sqlalchemy")
