"""Open files of the whole machine, from /proc/sys/fs/file-nr."""

from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read_value


class FilefdCollector:
    """File handles in use and how many there may be."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.proc("sys/fs/file-nr")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield both numbers. Raises ValueError for a line without them."""
        # The middle column is always 0 since Linux 2.6.
        allocated, _, maximum = read_value(self._path).split()[:3]
        yield GaugeMetricFamily(
            "node_filefd_allocated", "File handles in use on the whole machine.", int(allocated)
        )
        yield GaugeMetricFamily(
            "node_filefd_maximum", "Most file handles that the kernel will allocate.", int(maximum)
        )
