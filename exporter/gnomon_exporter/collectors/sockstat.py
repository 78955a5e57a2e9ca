"""Sockets in use, from the host's /proc/net/sockstat and sockstat6."""

import os
from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import fields

_STATES = {
    "inuse": "in use",
    "orphan": "without a process",
    "tw": "in TIME_WAIT",
    "alloc": "allocated in any state",
    "mem": "memory, in pages",
    "memory": "memory, in bytes",
}


class SockstatCollector:
    """Sockets and their memory, by protocol."""

    def __init__(self, paths: Paths) -> None:
        self._paths = (paths.net("sockstat"), paths.net("sockstat6"))
        self._page_size = os.sysconf("SC_PAGESIZE")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what each protocol has; nothing for IPv4 or IPv6 where it is disabled."""
        for path in self._paths:
            try:
                yield from self._family(path)
            except FileNotFoundError:
                continue

    def _family(self, path: str) -> Iterator[GaugeMetricFamily]:
        # A line is "TCP: inuse 5 orphan 0 …".
        for first, *pairs in fields(path):
            protocol = first.rstrip(":")
            for state, number in zip(pairs[::2], pairs[1::2], strict=False):
                if protocol == "sockets" and state == "used":
                    yield GaugeMetricFamily(
                        "node_sockstat_sockets_used", "Sockets in use.", int(number)
                    )
                elif state in _STATES:
                    yield self._gauge(protocol, state, _STATES[state], int(number))
                    if state == "mem":
                        size = int(number) * self._page_size
                        yield self._gauge(protocol, "mem_bytes", "memory, in bytes", size)

    @staticmethod
    def _gauge(protocol: str, state: str, words: str, value: int) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            f"node_sockstat_{protocol}_{state}", f"{protocol} sockets: {words}.", value
        )
