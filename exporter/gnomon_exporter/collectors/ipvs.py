"""The kernel's load balancer (IP Virtual Server), from the host's /proc/net/ip_vs."""

import socket
from collections.abc import Iterator, Mapping

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import fields

_LABELS = (
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "proto",
    "local_mark",
)
# In the order of their columns, all hexadecimal.
_TOTALS = (
    ("connections", "Connections balanced."),
    ("incoming_packets", "Packets received."),
    ("outgoing_packets", "Packets sent."),
    ("incoming_bytes", "Bytes received."),
    ("outgoing_bytes", "Bytes sent."),
)


class IpvsCollector:
    """What the kernel's load balancer has passed on, and each server behind it.

    backend_labels: the labels of the servers' series; what then is the same is added up.
    """

    def __init__(self, paths: Paths, *, backend_labels: tuple[str, ...] = _LABELS) -> None:
        if unknown := sorted(set(backend_labels) - set(_LABELS)):
            raise ValueError(
                f"backend_labels: unknown: {', '.join(unknown)}; there are {', '.join(_LABELS)}"
            )
        self._labels = [label for label in _LABELS if label in backend_labels]
        self._totals = paths.net("ip_vs_stats")
        self._table = paths.net("ip_vs")

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the balancer's totals and three gauges for each server.

        Raises NoData where the load balancer is not loaded.
        """
        try:
            lines = list(fields(self._totals))
        except FileNotFoundError:
            raise NoData("the kernel's load balancer is not loaded") from None
        # Two lines of headings, the totals, then rates per second.
        if len(lines) < 3:
            raise ValueError(f"{self._totals}: no line of totals")
        for (name, documentation), number in zip(_TOTALS, lines[2], strict=False):
            yield CounterMetricFamily(f"node_ipvs_{name}_total", documentation, int(number, 16))
        yield from self._servers()

    def _servers(self) -> Iterator[GaugeMetricFamily]:
        sums: dict[tuple[str, ...], list[int]] = {}
        for backend, numbers in _backends(self._table):
            key = tuple(backend[label] for label in self._labels)
            sums[key] = [a + b for a, b in zip(sums.get(key, (0, 0, 0)), numbers, strict=True)]
        weight = self._gauge("weight", "Share of the connections that a server is to get.")
        active = self._gauge("connections_active", "Connections to a server in use.")
        inactive = self._gauge("connections_inactive", "Connections to a server not in use.")
        for key, numbers in sums.items():
            for family, number in zip((weight, active, inactive), numbers, strict=True):
                family.add_metric(key, number)
        yield from (active, inactive, weight)

    def _gauge(self, name: str, documentation: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"node_ipvs_backend_{name}", documentation, labels=self._labels)


def _backends(path: str) -> Iterator[tuple[Mapping[str, str], list[int]]]:
    """Yield each server's labels and its weight, active and inactive connections."""
    service: dict[str, str] = {}
    for line in fields(path):
        match line:
            # "IP Virtual Server", "Prot LocalAddress:Port", "-> RemoteAddress:Port": headings
            case ["IP" | "Prot", *_] | ["->", "RemoteAddress:Port", *_]:
                continue
            case ["->", remote, _, weight, active, inactive, *_]:
                address, port = _endpoint(remote)
                labels = {**service, "remote_address": address, "remote_port": port}
                yield labels, [int(weight), int(active), int(inactive)]
            case ["FWM", mark, *_]:
                service = _service("FWM", "", "0", mark)
            case [protocol, local, *_]:
                service = _service(protocol, *_endpoint(local), "")


def _service(protocol: str, address: str, port: str, mark: str) -> dict[str, str]:
    return {
        "proto": protocol,
        "local_address": address,
        "local_port": port,
        "local_mark": mark,
    }


def _endpoint(text: str) -> tuple[str, str]:
    """Return address and port of "C0A80001:0050" or "[2001:0db8:…:0001]:0050"."""
    address, _, port = text.rpartition(":")
    if address.startswith("["):
        binary = socket.inet_pton(socket.AF_INET6, address.strip("[]"))
        readable = socket.inet_ntop(socket.AF_INET6, binary)
    else:
        readable = socket.inet_ntoa(bytes.fromhex(address))
    return readable, str(int(port, 16))
