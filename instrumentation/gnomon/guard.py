"""The one guard between telemetry's own faults and the application.

Code on the request path ends in ``except Exception: guard.failed("what")``: the fault is counted
and logged, the request goes on. Nothing else in this package catches broadly.
"""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

log = logging.getLogger("gnomon")

#: Seconds between two log lines about the same place.
QUIET = 60.0

_lock = threading.Lock()
_faults: dict[str, int] = {}
_logged: dict[str, float] = {}


def failed(where: str) -> None:
    """Count the exception that is being handled and log it, at most once a minute per place.

    where: a constant that names the place; it becomes a label. Never raises.
    """
    now = time.monotonic()
    with _lock:
        _faults[where] = _faults.get(where, 0) + 1
        silent = now - _logged.get(where, -QUIET) < QUIET
        if not silent:
            _logged[where] = now
    if not silent:
        with contextlib.suppress(Exception):  # the application's own handlers may be what failed
            log.warning(
                "telemetry failed in %s; the application is not affected",
                where,
                exc_info=sys.exception(),
            )


def families() -> Iterator[Metric]:
    """Yield how often telemetry itself failed, by place."""
    family = CounterMetricFamily(
        "gnomon_internal_errors",
        "Faults of the telemetry itself, kept away from the application.",
        labels=["where"],
    )
    with _lock:
        faults = dict(_faults)
    for where, count in faults.items():
        family.add_metric([where], count)
    yield family
