"""Datagrams waiting in UDP sockets, from the host's /proc/net/udp and udp6."""

from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read


class UdpQueuesCollector:
    """Memory that waiting datagrams take up."""

    def __init__(self, paths: Paths) -> None:
        self._paths = {"v4": paths.net("udp"), "v6": paths.net("udp6")}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield bytes by direction and IP version. Raises NoData where there is neither."""
        family = GaugeMetricFamily(
            "node_udp_queues",
            "Kernel memory taken up by datagrams of UDP sockets, in bytes.",
            labels=["queue", "ip"],
        )
        for version, path in self._paths.items():
            try:
                sent, received = _waiting(path)
            except FileNotFoundError:  # this version is disabled
                continue
            family.add_metric(["tx", version], sent)
            family.add_metric(["rx", version], received)
        if not family.samples:
            raise NoData("no UDP over IPv4 or IPv6")
        yield family


def _waiting(path: str) -> tuple[int, int]:
    """Return the bytes that wait to be sent and to be read, of all sockets of a table."""
    sent = received = 0
    for line in read(path).splitlines()[1:]:
        try:
            # Slot, local and remote address, state, then "tx_queue:rx_queue" in hexadecimal.
            tx, rx = line.split(None, 5)[4].split(":")
            sent += int(tx, 16)
            received += int(rx, 16)
        except (IndexError, ValueError):
            # A sum without this socket would be too small, and nobody would know.
            raise ValueError(f"{path}: not a socket: {line!r}") from None
    return sent, received
