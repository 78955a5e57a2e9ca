"""NFS mounts of this host, from its /proc/net/rpc/nfs."""

from collections.abc import Iterator

from gnomon_exporter import sunrpc
from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily
from gnomon_exporter.paths import Paths

# In the order of NFSPROC4_CLNT_* in the kernel's include/linux/nfs4.h; node_exporter 1.11 has
# LayoutGet and GetDeviceInfo the other way round, so its numbers for pNFS are swapped.
_V4 = (
    "Null Read Write Commit Open OpenConfirm OpenNoattr OpenDowngrade Close Setattr FsInfo Renew "
    "SetClientID SetClientIDConfirm Lock Lockt Locku Access Getattr Lookup LookupRoot Remove "
    "Rename Link Symlink Create Pathconf StatFs ReadLink ReadDir ServerCaps DelegReturn GetACL "
    "SetACL FsLocations ReleaseLockowner Secinfo FsidPresent ExchangeID CreateSession "
    "DestroySession Sequence GetLeaseTime ReclaimComplete LayoutGet GetDeviceInfo LayoutCommit "
    "LayoutReturn SecinfoNoName TestStateID FreeStateID GetDeviceList BindConnToSession "
    "DestroyClientID Seek Allocate DeAllocate LayoutStats Clone"
)


class NfsCollector:
    """Calls to NFS servers, by version and procedure."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.net("rpc/nfs")

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield packets, connections, calls and their repetitions, and the calls by procedure.

        Raises NoData where the NFS client is not loaded.
        """
        try:
            lines = sunrpc.statistics(self._path)
        except FileNotFoundError:
            raise NoData("the NFS client is not loaded") from None
        packets = CounterMetricFamily(
            "node_nfs_packets_total", "Packets to and from NFS servers.", labels=["protocol"]
        )
        match lines.get("net"):
            case [_, udp, tcp, connections, *_]:
                packets.add_metric(["udp"], int(udp))
                packets.add_metric(["tcp"], int(tcp))
                yield packets
                yield CounterMetricFamily(
                    "node_nfs_connections_total",
                    "TCP connections to NFS servers.",
                    int(connections),
                )
        match lines.get("rpc"):
            case [count, retransmissions, refreshes, *_]:
                yield CounterMetricFamily(
                    "node_nfs_rpcs_total", "Calls to NFS servers.", int(count)
                )
                yield CounterMetricFamily(
                    "node_nfs_rpc_retransmissions_total",
                    "Calls sent again for want of an answer.",
                    int(retransmissions),
                )
                yield CounterMetricFamily(
                    "node_nfs_rpc_authentication_refreshes_total",
                    "Times that credentials were renewed.",
                    int(refreshes),
                )
        requests = CounterMetricFamily(
            "node_nfs_requests_total",
            "Calls of each NFS procedure.",
            labels=["proto", "method"],
        )
        for version, procedures in {"2": sunrpc.V2, "3": sunrpc.V3, "4": _V4}.items():
            for procedure, calls in sunrpc.calls(lines, f"proc{version}", procedures):
                requests.add_metric([version, procedure], calls)
        yield requests
