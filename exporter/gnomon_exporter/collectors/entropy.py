"""The kernel's random numbers, from /proc/sys/kernel/random."""

from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read_value


class EntropyCollector:
    """Entropy in the kernel's pool."""

    def __init__(self, paths: Paths) -> None:
        self._available = paths.proc("sys/kernel/random/entropy_avail")
        self._pool_size = paths.proc("sys/kernel/random/poolsize")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the entropy and the pool's size, both in bits."""
        try:
            yield GaugeMetricFamily(
                "node_entropy_available_bits",
                "Entropy that the kernel has gathered, in bits.",
                int(read_value(self._available)),
            )
            yield GaugeMetricFamily(
                "node_entropy_pool_size_bits",
                "Size of the kernel's entropy pool, in bits.",
                int(read_value(self._pool_size)),
            )
        except FileNotFoundError as error:
            raise NoData(f"this kernel has no {error.filename}") from None
