"""The NFS server of this host, from its /proc/net/rpc/nfsd."""

from collections.abc import Iterator

from gnomon_exporter import sunrpc
from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.paths import Paths

# Not reported by node_exporter, so not here either: the procedure Null, PutPubFH, PutRootFH.
# NFSv4 operations stand by number (RFC 7530), of which 0 to 2 are none.
_V2 = sunrpc.V2.replace("Null", "-", 1)
_V3 = sunrpc.V3.replace("Null", "-", 1)
_V4 = (
    "- - - Access Close Commit Create DelegPurge DelegReturn GetAttr GetFH Link Lock Lockt Locku "
    "Lookup LookupRoot Nverify Open OpenAttr OpenConfirm OpenDgrd PutFH - - Read ReadDir ReadLink "
    "Remove Rename Renew RestoreFH SaveFH SecInfo SetAttr SetClientID SetClientIDConfirm Verify "
    "Write RelLockOwner"
)

# A line, the number's place on it, the metric and its help.
_COUNTERS = (
    ("rc", 0, "reply_cache_hits", "Repeated calls answered from the reply cache."),
    ("rc", 1, "reply_cache_misses", "Calls whose answers were put in the reply cache."),
    ("rc", 2, "reply_cache_nocache", "Calls that need no place in the reply cache."),
    ("fh", 0, "file_handles_stale", "File handles of files that are gone."),
    ("io", 0, "disk_bytes_read", "Bytes read for clients."),
    ("io", 1, "disk_bytes_written", "Bytes written for clients."),
    ("ra", 11, "read_ahead_cache_not_found", "Reads not found in the read-ahead cache."),
    ("net", 3, "connections", "TCP connections from clients."),
    ("rpc", 0, "server_rpcs", "Calls from clients."),
)
_GAUGES = (
    ("th", 0, "server_threads", "Threads that serve clients."),
    ("ra", 0, "read_ahead_cache_size_blocks", "Size of the read-ahead cache, in blocks."),
)


class NfsdCollector:
    """Calls from NFS clients, by version and procedure, and how the server copes."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.net("rpc/nfsd")

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield what this kernel counts. Raises NoData where the NFS server is not loaded."""
        try:
            lines = sunrpc.statistics(self._path)
        except FileNotFoundError:
            raise NoData("the NFS server is not loaded") from None

        def number(line: str, place: int) -> int | None:
            numbers = lines.get(line, ())
            return int(numbers[place]) if place < len(numbers) else None

        for line, place, name, documentation in _COUNTERS:
            if (value := number(line, place)) is not None:
                yield CounterMetricFamily(f"node_nfsd_{name}_total", documentation, value)
        for line, place, name, documentation in _GAUGES:
            if (value := number(line, place)) is not None:
                yield GaugeMetricFamily(f"node_nfsd_{name}", documentation, value)
        packets = CounterMetricFamily(
            "node_nfsd_packets_total", "Packets to and from clients.", labels=["proto"]
        )
        for place, protocol in ((1, "udp"), (2, "tcp")):
            if (value := number("net", place)) is not None:
                packets.add_metric([protocol], value)
        yield packets
        errors = CounterMetricFamily(
            "node_nfsd_rpc_errors_total", "Calls refused, by what was wrong.", labels=["error"]
        )
        for place, error in ((2, "fmt"), (3, "auth"), (4, "cInt")):
            if (value := number("rpc", place)) is not None:
                errors.add_metric([error], value)
        yield errors
        requests = CounterMetricFamily(
            "node_nfsd_requests_total",
            "Calls of each NFS procedure.",
            labels=["proto", "method"],
        )
        for proto, procedures, line in (
            ("2", _V2, "proc2"),
            ("3", _V3, "proc3"),
            ("4", _V4, "proc4ops"),
        ):
            for procedure, count in sunrpc.calls(lines, line, procedures):
                requests.add_metric([proto, procedure], count)
        if (value := number("wdeleg_getattr", 0)) is not None:
            requests.add_metric(["4", "WdelegGetattr"], value)
        yield requests
