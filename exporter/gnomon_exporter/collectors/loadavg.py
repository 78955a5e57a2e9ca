"""Load averages, from /proc/loadavg."""

from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read


class LoadavgCollector:
    """Runnable and uninterruptible tasks, averaged over 1, 5 and 15 minutes."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.proc("loadavg")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one gauge for each of the three averages."""
        loads = read(self._path).split()
        for minutes, load in zip((1, 5, 15), loads, strict=False):
            yield GaugeMetricFamily(
                f"node_load{minutes}", f"Load average over {minutes} min.", float(load)
            )
