"""The exporter's own process, from /proc/self: prometheus-client's families under their names."""

import os
import resource
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat after the command's name, which may hold blanks (proc(5), from 3 on).
_UTIME, _STIME, _START, _VSIZE, _RSS = 11, 12, 19, 20, 21


class ProcessCollector:
    """What gnomon-exporter itself uses."""

    def __init__(self, paths: Paths) -> None:
        # Its own /proc: another process has this number where the host's is seen.
        self._stat = "/proc/self/stat"
        self._files = "/proc/self/fd"
        self._kernel = paths.proc("stat")
        self._started: float | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield CPU time, memory, start time and files. NoData where there is no /proc."""
        try:
            fields = read(self._stat).rpartition(") ")[2].split()
        except FileNotFoundError:
            raise NoData("no /proc/self") from None
        yield CounterMetricFamily(
            "process_cpu_seconds_total",
            "User and system CPU time of this process.",
            (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS,
        )
        yield GaugeMetricFamily(
            "process_virtual_memory_bytes", "Address space in bytes.", int(fields[_VSIZE])
        )
        yield GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Memory in bytes that is in RAM.",
            int(fields[_RSS]) * _PAGE,
        )
        yield GaugeMetricFamily("process_open_fds", "Open file descriptors.", self._open_files())
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield GaugeMetricFamily(
            "process_max_fds",
            "Most file descriptors that may be open.",
            float("inf") if limit == resource.RLIM_INFINITY else limit,
        )
        if self._started is None:
            self._started = self._booted() + int(fields[_START]) / _TICKS
        yield GaugeMetricFamily(
            "process_start_time_seconds", "Unix time when this process started.", self._started
        )

    def _booted(self) -> int:
        lines = (line.split() for line in read(self._kernel).splitlines())
        return next(int(value) for name, value, *_ in lines if name == "btime")

    def _open_files(self) -> int:
        return len(os.listdir(self._files)) - 1  # less the one that lists them
