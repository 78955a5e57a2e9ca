"""What gnomon itself asks of a database is not the application's."""

from __future__ import annotations

import contextlib
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ours: ContextVar[bool] = ContextVar("gnomon_databases_ours", default=False)

#: Whether this thread or task works for gnomon.
is_ours = _ours.get


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Measure nothing of what is done inside, and let OpenTelemetry make no spans of it."""
    token = _ours.set(True)
    telemetry = sys.modules.get("opentelemetry.context")
    attached = None
    if telemetry is not None:
        key = telemetry._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001  # what its exporters use
        attached = telemetry.attach(telemetry.set_value(key, True))
    try:
        yield
    finally:
        if telemetry is not None:
            telemetry.detach(attached)
        _ours.reset(token)
