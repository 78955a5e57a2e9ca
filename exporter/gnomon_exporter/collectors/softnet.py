"""Packets on their way from the network devices to the protocols, from /proc/net/softnet_stat."""

from collections.abc import Iterator

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import fields

# Columns of softnet_seq_show in the kernel's net/core/net-procfs.c.
_COUNTERS = (
    (0, "processed", "Packets processed."),
    (1, "dropped", "Packets dropped because the backlog was full."),
    (2, "times_squeezed", "Times that the budget ran out with packets left to process."),
    (8, "cpu_collision", "Times that the device's lock was held by another CPU when sending."),
    (9, "received_rps", "Times that another CPU asked this one to process packets."),
    (10, "flow_limit_count", "Packets dropped by the limit on a single flow."),
)
_BACKLOG = 11
_CPU = 12


class SoftnetCollector:
    """How each CPU copes with received packets."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.net("softnet_stat")

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield one family for each column that this kernel has."""
        counters = [
            CounterMetricFamily(f"node_softnet_{name}_total", documentation, labels=["cpu"])
            for _, name, documentation in _COUNTERS
        ]
        backlog = GaugeMetricFamily(
            "node_softnet_backlog_len", "Packets waiting to be processed.", labels=["cpu"]
        )
        for line, columns in enumerate(fields(self._path)):
            numbers = [int(column, 16) for column in columns]
            # Kernels before 5.14 do not name the CPU; their lines are those of the online ones.
            cpu = [str(numbers[_CPU] if len(numbers) > _CPU else line)]
            for family, (column, _, _) in zip(counters, _COUNTERS, strict=True):
                if column < len(numbers):
                    family.add_metric(cpu, numbers[column])
            if len(numbers) > _CPU:
                backlog.add_metric(cpu, numbers[_BACKLOG])
        yield from counters
        yield backlog
