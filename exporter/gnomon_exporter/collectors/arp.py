"""IPv4 neighbours, from the host's /proc/net/arp."""

from collections import Counter
from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

# ATF_PUBL of linux/if_arp.h: an address that the host answers for (proxy ARP), no neighbour.
_PUBLISHED = 0x08


class ArpCollector:
    """Neighbours in the ARP table, by network device.

    device_include: regular expression of the devices to report; not with device_exclude.
    device_exclude: regular expression of the devices to leave out.
    """

    def __init__(self, paths: Paths, *, device_include: str = "", device_exclude: str = "") -> None:
        self._path = paths.net("arp")
        self._devices = NameFilter("device", include=device_include, exclude=device_exclude)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the number of neighbours of each device that has any."""
        entries: Counter[str] = Counter()
        for line in read(self._path).splitlines()[1:]:
            # The hardware address may be empty, so only the ends of the line are certain.
            columns = line.split()
            if len(columns) >= 5 and not int(columns[2], 16) & _PUBLISHED:
                entries[columns[-1]] += 1
        family = GaugeMetricFamily(
            "node_arp_entries", "Neighbours in the ARP table.", labels=["device"]
        )
        for device, count in entries.items():
            if self._devices.keeps(device):
                family.add_metric([device], count)
        yield family
