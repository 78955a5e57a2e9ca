"""Traffic of the network devices, from the host's /proc/net/dev and /sys/class/net."""

from collections.abc import Iterator

from gnomon_exporter.families import CounterMetricFamily
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute_int, read

# The columns of /proc/net/dev in their order. The kernel adds up several of its counters in
# drop, frame and carrier, the same that node_exporter adds up after asking by netlink.
_COLUMNS = (
    ("receive_bytes", "Bytes received."),
    ("receive_packets", "Packets received."),
    ("receive_errs", "Packets received with errors."),
    ("receive_drop", "Packets received and dropped, by the kernel or for want of buffers."),
    ("receive_fifo", "Packets lost because the receive queue was full."),
    ("receive_frame", "Packets received with a wrong length, checksum, alignment or overrun."),
    ("receive_compressed", "Compressed packets received."),
    ("receive_multicast", "Multicast packets received."),
    ("transmit_bytes", "Bytes sent."),
    ("transmit_packets", "Packets sent."),
    ("transmit_errs", "Packets not sent because of errors."),
    ("transmit_drop", "Packets dropped before they were sent."),
    ("transmit_fifo", "Packets not sent because the device's queue ran dry."),
    ("transmit_colls", "Collisions while sending."),
    ("transmit_carrier", "Packets not sent: carrier lost, aborted, late or without heartbeat."),
    ("transmit_compressed", "Compressed packets sent."),
)


class NetdevCollector:
    """Bytes, packets and errors of each network device, in both directions.

    device_include: regular expression of the devices to report; not with device_exclude.
    device_exclude: regular expression of the devices to leave out.
    """

    def __init__(self, paths: Paths, *, device_include: str = "", device_exclude: str = "") -> None:
        self._path = paths.net("dev")
        self._class = paths.sys("class/net")
        self._devices = NameFilter("device", include=device_include, exclude=device_exclude)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield one counter for each column, and the packets that no protocol wanted.

        A device that disappears meanwhile lacks the last, for which /proc/net/dev has no column.
        """
        families = [_family(name, documentation) for name, documentation in _COLUMNS]
        unhandled = _family("receive_nohandler", "Packets received that no protocol wanted.")
        for line in read(self._path).splitlines()[2:]:
            # A name has no blank and no colon, but nothing parts a long number from the colon.
            name, _, numbers = line.partition(":")
            device = name.strip()
            if not self._devices.keeps(device):
                continue
            label = [device]
            for family, number in zip(families, numbers.split(), strict=False):
                family.add_metric(label, int(number))
            count = attribute_int(f"{self._class}/{device}/statistics/rx_nohandler")
            if count is not None:
                unhandled.add_metric(label, count)
        yield from families
        yield unhandled


def _family(name: str, documentation: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"node_network_{name}_total", documentation, labels=["device"])
