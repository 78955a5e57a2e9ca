"""What the whole process has used, at one moment."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

from gnomon.resident import resident

if sys.platform != "win32":
    from resource import RUSAGE_SELF, getrusage

    #: getrusage(2) counts it in KiB, but in bytes on macOS.
    _UNIT = 1 if sys.platform == "darwin" else 1024

    def _highest() -> int | None:
        return getrusage(RUSAGE_SELF).ru_maxrss * _UNIT

else:

    def _highest() -> int | None:
        return None


_psutil: Any = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the process.

    at: ``perf_counter``'s seconds. cpu: seconds of all threads, user and system, without child
    processes. resident: bytes in memory now; highest: the most there ever were, which also shows
    what came and went between two looks; None where the system does not say.
    """

    at: float
    cpu: float
    resident: int | None
    highest: int | None


def read() -> Reading:
    """Look at the process now. It takes some ten microseconds and never raises."""
    memory = resident()
    if memory is None:
        memory = _portable()
    return Reading(perf_counter(), process_time(), memory, _highest())


def _portable() -> int | None:
    """Ask psutil where there is no /proc, if it is installed."""
    global _psutil  # noqa: PLW0603  # looked for once
    if _psutil is None:
        try:
            import psutil  # noqa: PLC0415  # not a dependency
        except ImportError:
            _psutil = False
        else:
            _psutil = psutil
    if not _psutil:
        return None
    try:
        return int(_psutil.Process().memory_info().rss)
    except Exception:  # its own errors are no OSError
        return None
