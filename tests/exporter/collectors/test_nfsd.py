"""The nfsd collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.nfsd import NfsdCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def statistics(tmp_path):
    """Return where /proc/self/net/rpc/nfsd is to be written."""
    (tmp_path / "self/net/rpc").mkdir(parents=True)
    return tmp_path / "self/net/rpc/nfsd"


def collector(statistics):
    """Return a collector that reads ``statistics``."""
    return NfsdCollector(Paths(procfs=str(statistics.parents[3])))


def test_reports_each_number_under_its_own_name(metal, exposed):
    """A server without NFSv2 has no calls of it, not 0 of them."""
    assert exposed(NfsdCollector(metal)) == [
        "# TYPE node_nfsd_reply_cache_hits_total counter",
        "node_nfsd_reply_cache_hits_total 11",
        "# TYPE node_nfsd_reply_cache_misses_total counter",
        "node_nfsd_reply_cache_misses_total 12",
        "# TYPE node_nfsd_reply_cache_nocache_total counter",
        "node_nfsd_reply_cache_nocache_total 13",
        "# TYPE node_nfsd_file_handles_stale_total counter",
        "node_nfsd_file_handles_stale_total 21",
        "# TYPE node_nfsd_disk_bytes_read_total counter",
        "node_nfsd_disk_bytes_read_total 1234567890123",
        "# TYPE node_nfsd_disk_bytes_written_total counter",
        "node_nfsd_disk_bytes_written_total 987654321",
        "# TYPE node_nfsd_read_ahead_cache_not_found_total counter",
        "node_nfsd_read_ahead_cache_not_found_total 0",
        "# TYPE node_nfsd_connections_total counter",
        "node_nfsd_connections_total 34",
        "# TYPE node_nfsd_server_rpcs_total counter",
        "node_nfsd_server_rpcs_total 41",
        "# TYPE node_nfsd_server_threads gauge",
        "node_nfsd_server_threads 8",
        "# TYPE node_nfsd_read_ahead_cache_size_blocks gauge",
        "node_nfsd_read_ahead_cache_size_blocks 0",
        "# TYPE node_nfsd_packets_total counter",
        'node_nfsd_packets_total{proto="udp"} 32',
        'node_nfsd_packets_total{proto="tcp"} 33',
        "# TYPE node_nfsd_rpc_errors_total counter",
        'node_nfsd_rpc_errors_total{error="fmt"} 42',
        'node_nfsd_rpc_errors_total{error="auth"} 43',
        'node_nfsd_rpc_errors_total{error="cInt"} 41',
        "# TYPE node_nfsd_requests_total counter",
        'node_nfsd_requests_total{proto="3",method="GetAttr"} 501',
        'node_nfsd_requests_total{proto="3",method="SetAttr"} 502',
        'node_nfsd_requests_total{proto="3",method="Lookup"} 503',
        'node_nfsd_requests_total{proto="3",method="Access"} 504',
        'node_nfsd_requests_total{proto="3",method="ReadLink"} 505',
        'node_nfsd_requests_total{proto="3",method="Read"} 506',
        'node_nfsd_requests_total{proto="3",method="Write"} 507',
        'node_nfsd_requests_total{proto="3",method="Create"} 508',
        'node_nfsd_requests_total{proto="3",method="MkDir"} 509',
        'node_nfsd_requests_total{proto="3",method="SymLink"} 510',
        'node_nfsd_requests_total{proto="3",method="MkNod"} 511',
        'node_nfsd_requests_total{proto="3",method="Remove"} 512',
        'node_nfsd_requests_total{proto="3",method="RmDir"} 513',
        'node_nfsd_requests_total{proto="3",method="Rename"} 514',
        'node_nfsd_requests_total{proto="3",method="Link"} 515',
        'node_nfsd_requests_total{proto="3",method="ReadDir"} 516',
        'node_nfsd_requests_total{proto="3",method="ReadDirPlus"} 517',
        'node_nfsd_requests_total{proto="3",method="FsStat"} 518',
        'node_nfsd_requests_total{proto="3",method="FsInfo"} 519',
        'node_nfsd_requests_total{proto="3",method="PathConf"} 520',
        'node_nfsd_requests_total{proto="3",method="Commit"} 521',
        'node_nfsd_requests_total{proto="4",method="Access"} 703',
        'node_nfsd_requests_total{proto="4",method="Close"} 704',
        'node_nfsd_requests_total{proto="4",method="Commit"} 705',
        'node_nfsd_requests_total{proto="4",method="Create"} 706',
        'node_nfsd_requests_total{proto="4",method="DelegPurge"} 707',
        'node_nfsd_requests_total{proto="4",method="DelegReturn"} 708',
        'node_nfsd_requests_total{proto="4",method="GetAttr"} 709',
        'node_nfsd_requests_total{proto="4",method="GetFH"} 710',
        'node_nfsd_requests_total{proto="4",method="Link"} 711',
        'node_nfsd_requests_total{proto="4",method="Lock"} 712',
        'node_nfsd_requests_total{proto="4",method="Lockt"} 713',
        'node_nfsd_requests_total{proto="4",method="Locku"} 714',
        'node_nfsd_requests_total{proto="4",method="Lookup"} 715',
        'node_nfsd_requests_total{proto="4",method="LookupRoot"} 716',
        'node_nfsd_requests_total{proto="4",method="Nverify"} 717',
        'node_nfsd_requests_total{proto="4",method="Open"} 718',
        'node_nfsd_requests_total{proto="4",method="OpenAttr"} 719',
        'node_nfsd_requests_total{proto="4",method="OpenConfirm"} 720',
        'node_nfsd_requests_total{proto="4",method="OpenDgrd"} 721',
        'node_nfsd_requests_total{proto="4",method="PutFH"} 722',
        'node_nfsd_requests_total{proto="4",method="Read"} 725',
        'node_nfsd_requests_total{proto="4",method="ReadDir"} 726',
        'node_nfsd_requests_total{proto="4",method="ReadLink"} 727',
        'node_nfsd_requests_total{proto="4",method="Remove"} 728',
        'node_nfsd_requests_total{proto="4",method="Rename"} 729',
        'node_nfsd_requests_total{proto="4",method="Renew"} 730',
        'node_nfsd_requests_total{proto="4",method="RestoreFH"} 731',
        'node_nfsd_requests_total{proto="4",method="SaveFH"} 732',
        'node_nfsd_requests_total{proto="4",method="SecInfo"} 733',
        'node_nfsd_requests_total{proto="4",method="SetAttr"} 734',
        'node_nfsd_requests_total{proto="4",method="SetClientID"} 735',
        'node_nfsd_requests_total{proto="4",method="SetClientIDConfirm"} 736',
        'node_nfsd_requests_total{proto="4",method="Verify"} 737',
        'node_nfsd_requests_total{proto="4",method="Write"} 738',
        'node_nfsd_requests_total{proto="4",method="RelLockOwner"} 739',
        'node_nfsd_requests_total{proto="4",method="WdelegGetattr"} 9',
    ]


def test_a_server_of_nfsv2_counts_its_calls(statistics, exposed):
    """Null is not reported; procedures that are cut off are absent."""
    statistics.write_text("proc2 18 1 2 3\n")
    assert exposed(collector(statistics)) == [
        "# TYPE node_nfsd_requests_total counter",
        'node_nfsd_requests_total{proto="2",method="GetAttr"} 2',
        'node_nfsd_requests_total{proto="2",method="SetAttr"} 3',
    ]


def test_short_and_unknown_lines_harm_no_other(statistics, exposed):
    """Each number is taken or left out by itself."""
    statistics.write_text("rc 5\nth\nio 6 7 8\nshiny 1\nnet 0 9\n")
    assert exposed(collector(statistics)) == [
        "# TYPE node_nfsd_reply_cache_hits_total counter",
        "node_nfsd_reply_cache_hits_total 5",
        "# TYPE node_nfsd_disk_bytes_read_total counter",
        "node_nfsd_disk_bytes_read_total 6",
        "# TYPE node_nfsd_disk_bytes_written_total counter",
        "node_nfsd_disk_bytes_written_total 7",
        "# TYPE node_nfsd_packets_total counter",
        'node_nfsd_packets_total{proto="udp"} 9',
    ]


def test_without_the_server_there_is_no_data(statistics):
    """Most hosts serve nothing by NFS."""
    with pytest.raises(NoData, match="not loaded"):
        list(collector(statistics).collect())
