"""Time that tasks lost for want of CPU, memory or IO, from /proc/pressure."""

import errno
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import fields

# For the CPU, "full" has no meaning for the whole machine; for interrupts there is no "some".
_FAMILIES = {
    ("cpu", "some"): (
        "node_pressure_cpu_waiting_seconds_total",
        "Time during which at least one task waited for a CPU.",
    ),
    ("io", "some"): (
        "node_pressure_io_waiting_seconds_total",
        "Time during which at least one task waited for IO.",
    ),
    ("io", "full"): (
        "node_pressure_io_stalled_seconds_total",
        "Time during which every task that could have run waited for IO.",
    ),
    ("memory", "some"): (
        "node_pressure_memory_waiting_seconds_total",
        "Time during which at least one task waited for memory.",
    ),
    ("memory", "full"): (
        "node_pressure_memory_stalled_seconds_total",
        "Time during which every task that could have run waited for memory.",
    ),
    ("irq", "full"): (
        "node_pressure_irq_stalled_seconds_total",
        "Time during which interrupts kept every task that could have run from its CPU.",
    ),
}


class PressureCollector:
    """Pressure stall information (PSI) of the whole machine."""

    def __init__(self, paths: Paths) -> None:
        self._paths = {
            resource: paths.proc(f"pressure/{resource}")
            for resource in ("cpu", "io", "memory", "irq")
        }

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield a counter for each kind of stall that this kernel accounts for.

        NoData when it accounts for none (before Linux 4.20, or booted with psi=0).
        """
        found = False
        for resource, path in self._paths.items():
            try:
                for kind, *values in fields(path):
                    family = _FAMILIES.get((resource, kind))
                    total = _microseconds(values)
                    if family is not None and total is not None:
                        found = True
                        yield CounterMetricFamily(*family, value=total / 1e6)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:
                    raise NoData("the kernel was booted with psi=0") from None
                raise
        if not found:
            raise NoData("the kernel keeps no pressure stall information")


def _microseconds(values: list[str]) -> int | None:
    """Return the total out of ``avg10=0.00 avg60=0.00 avg300=0.00 total=0``."""
    for value in values:
        if value.startswith("total="):
            return int(value.removeprefix("total="))
    return None
