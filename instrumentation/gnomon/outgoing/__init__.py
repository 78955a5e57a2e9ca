"""The outside: what this process asks of others over HTTP, by peer and outcome.

Counted whatever the sampling of traces, so that a map of dependencies is true. What the application
or a library above sends again is one observation each time; what requests and httpx try again by
themselves is one observation, from the first attempt to the last. See ``attempts`` for retries.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module

from gnomon import guard, late
from gnomon.errors import error_type
from gnomon.families import AnyFamily, Histograms
from gnomon.outgoing import attempts
from gnomon.requests import METHODS, OTHER, SECONDS

#: Most peers, methods and outcomes that are told apart.
CAP = 1000

#: Client libraries, and libraries that call them again; a module beside this one for each.
LIBRARIES = ("aiohttp", "aiohttp_retry", "httpx", "requests", "tenacity")

_duration = Histograms(
    "http_client_request_duration_seconds",
    "Time from an outgoing request to the head of its response, or to its failure.",
    (
        "http_request_method",
        "server_address",
        "server_port",
        "http_response_status_code",
        "error_type",
    ),
    CAP,
    SECONDS,
)


def families() -> tuple[AnyFamily, ...]:
    """Return all families."""
    return (_duration, *attempts.families())


def record(
    method: str,
    address: str | None,
    port: int | None,
    seconds: float,
    *,
    status: int = 0,
    error: BaseException | None = None,
    retries: int = 0,
) -> None:
    """Count one request. status: 0 if there was no response. Never raises."""
    try:
        kind = error_type(error) if error is not None else str(status) if status >= 400 else ""
        peer = address or "", str(port or "")
        tracing = sys.modules.get("gnomon.tracing")
        _duration.child(
            method if method in METHODS else OTHER, *peer, str(status) if status else "", kind
        ).observe(seconds, tracing.Tracing.current() if tracing is not None else None)
        attempts.note(peer, failed=bool(kind), retries=retries)
    except Exception:
        guard.failed("outgoing request")


def is_telemetry() -> bool:
    """Whether this thread exports spans: those requests are not the application's."""
    return threading.current_thread().name.startswith(("gnomon ", "OtelBatch"))


def install() -> None:
    """Measure the client libraries that have been imported, and those that are imported later."""
    late.watch("outgoing", install)
    for module in LIBRARIES:
        if module in sys.modules:
            try:
                import_module(f"gnomon.outgoing.{module}_").install()
            except Exception:
                guard.failed(f"outgoing {module}")


def uninstall() -> None:
    """Leave the client libraries as they were."""
    late.unwatch("outgoing")
    for name in LIBRARIES:
        module = sys.modules.get(f"gnomon.outgoing.{name}_")
        if module is not None:
            module.uninstall()
