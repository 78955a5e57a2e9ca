"""Netfilter's connection tracking, from the host's /proc/net/stat/nf_conntrack and /proc/sys."""

from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read, read_value

# The kernel's column, by node_exporter's name; each CPU counts its own share. These only ever
# grow, yet node_exporter calls them gauges.
_STATISTICS = {
    "found": "Lookups that found a connection.",
    "invalid": "Packets that cannot be tracked.",
    "ignore": "Packets that belong to a connection already attached to them.",
    "insert": "Connections entered in the table.",
    "insert_failed": "Connections not entered because they were there already.",
    "drop": "Packets dropped because a connection could not be tracked.",
    "early_drop": "Connections evicted to make room in a full table.",
    "search_restart": "Lookups begun anew because the table was resized.",
}


class ConntrackCollector:
    """How full the table of tracked connections is, and what has become of packets there."""

    def __init__(self, paths: Paths) -> None:
        self._statistics = paths.net("stat/nf_conntrack")
        self._limit = paths.proc("sys/net/netfilter/nf_conntrack_max")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the table's entries and limit, and the sum of each statistic over the CPUs.

        The number of entries comes from the statistics: /proc/sys/net shows a container its own.
        Raises NoData where connection tracking is not loaded.
        """
        try:
            heading, *rows = [line.split() for line in read(self._statistics).splitlines()]
        except FileNotFoundError:
            raise NoData("connection tracking is not loaded") from None
        except ValueError:
            raise ValueError(f"{self._statistics}: no heading") from None
        cpus = [dict(zip(heading, row, strict=False)) for row in rows]
        if cpus and "entries" in cpus[0]:
            yield GaugeMetricFamily(
                "node_nf_conntrack_entries",
                "Tracked connections.",
                int(cpus[0]["entries"], 16),  # the whole table's, repeated on each CPU's line
            )
        try:
            limit = int(read_value(self._limit))
        except FileNotFoundError:
            pass
        else:
            yield GaugeMetricFamily(
                "node_nf_conntrack_entries_limit", "Most connections that the table holds.", limit
            )
        for column, documentation in _STATISTICS.items():
            shares = [int(cpu[column], 16) for cpu in cpus if column in cpu]
            if shares:
                yield GaugeMetricFamily(
                    f"node_nf_conntrack_stat_{column}", documentation, sum(shares)
                )
