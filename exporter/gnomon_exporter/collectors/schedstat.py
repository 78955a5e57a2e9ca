"""Time that tasks ran on and waited for each CPU, from /proc/schedstat."""

from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import fields


class SchedstatCollector:
    """Time that tasks ran and waited, by CPU."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.proc("schedstat")

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield one series for each CPU and counter. NoData without CONFIG_SCHEDSTATS."""
        running = CounterMetricFamily(
            "node_schedstat_running_seconds_total",
            "Time that tasks ran on the CPU.",
            labels=["cpu"],
        )
        waiting = CounterMetricFamily(
            "node_schedstat_waiting_seconds_total",
            "Time that runnable tasks waited for the CPU, summed over the tasks.",
            labels=["cpu"],
        )
        timeslices = CounterMetricFamily(
            "node_schedstat_timeslices_total", "Time slices that ran on the CPU.", labels=["cpu"]
        )
        try:
            for line in fields(self._path):
                # A CPU's nine columns end with these three (Documentation/scheduler/sched-stats).
                if not line[0].startswith("cpu") or len(line) < 10:
                    continue
                cpu = [line[0].removeprefix("cpu")]
                running.add_metric(cpu, int(line[7]) / 1e9)
                waiting.add_metric(cpu, int(line[8]) / 1e9)
                timeslices.add_metric(cpu, int(line[9]))
        except FileNotFoundError:
            raise NoData("the kernel keeps no scheduler statistics") from None
        yield from (running, waiting, timeslices)
