"""Hung tasks, from /proc/sys/kernel/hung_task_detect_count."""

from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read_value


class KernelHungCollector:
    """Tasks that the kernel found stuck in uninterruptible sleep."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.proc("sys/kernel/hung_task_detect_count")

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the count. NoData before Linux 6.13 or without CONFIG_DETECT_HUNG_TASK."""
        try:
            count = int(read_value(self._path))
        except FileNotFoundError:
            raise NoData("the kernel does not count hung tasks") from None
        yield CounterMetricFamily(
            "node_kernel_hung_tasks_total", "Tasks found hung since boot.", count
        )
