"""Interrupts, context switches, forks and boot time, from /proc/stat."""

from collections.abc import Iterator, Mapping

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

_COUNTERS: Mapping[str, tuple[str, str]] = {
    "intr": ("node_intr_total", "Interrupts serviced since boot, of all kinds."),
    "ctxt": ("node_context_switches_total", "Context switches since boot, on all CPUs."),
    "processes": ("node_forks_total", "Processes and threads created since boot."),
}
_GAUGES: Mapping[str, tuple[str, str]] = {
    "btime": ("node_boot_time_seconds", "Unix time at which the system booted."),
    "procs_running": ("node_procs_running", "Tasks that run or wait for a CPU."),
    "procs_blocked": ("node_procs_blocked", "Tasks that wait for a disk or another device."),
}

#: The kernel's order of the softirq line's columns, after their sum (include/linux/interrupt.h).
_VECTORS = (
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
)


class StatCollector:
    """Interrupts, context switches, forks and boot time.

    softirq: also count the softirqs of each vector.
    """

    def __init__(self, paths: Paths, *, softirq: bool = False) -> None:
        self._path = paths.proc("stat")
        self._softirq = softirq

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each known line; a line that is absent gives none."""
        for line in read(self._path).splitlines():
            key, _, values = line.partition(" ")
            if key in _COUNTERS:
                # The line of interrupts goes on with hundreds of single ones: only the sum counts.
                total = values.partition(" ")[0]
                yield CounterMetricFamily(*_COUNTERS[key], value=int(total))
            elif key in _GAUGES:
                yield GaugeMetricFamily(*_GAUGES[key], value=int(values))
            elif key == "softirq" and self._softirq:
                yield _softirqs(values.split()[1:])


def _softirqs(counts: list[str]) -> Metric:
    family = CounterMetricFamily(
        "node_softirqs_total", "Softirqs raised since boot, by vector.", labels=["vector"]
    )
    for vector, count in zip(_VECTORS, counts, strict=False):
        family.add_metric([vector], int(count))
    return family
