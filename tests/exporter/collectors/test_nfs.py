"""The nfs collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.nfs import NfsCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def statistics(tmp_path):
    """Return where /proc/self/net/rpc/nfs is to be written."""
    (tmp_path / "self/net/rpc").mkdir(parents=True)
    return tmp_path / "self/net/rpc/nfs"


def collector(statistics):
    """Return a collector that reads ``statistics``."""
    return NfsCollector(Paths(procfs=str(statistics.parents[3])))


def test_reports_each_procedure_under_its_own_name(metal, exposed):
    """Newer procedures than the last known are ignored."""
    assert exposed(NfsCollector(metal)) == [
        "# TYPE node_nfs_packets_total counter",
        'node_nfs_packets_total{protocol="udp"} 1',
        'node_nfs_packets_total{protocol="tcp"} 40',
        "# TYPE node_nfs_connections_total counter",
        "node_nfs_connections_total 2",
        "# TYPE node_nfs_rpcs_total counter",
        "node_nfs_rpcs_total 4000",
        "# TYPE node_nfs_rpc_retransmissions_total counter",
        "node_nfs_rpc_retransmissions_total 5",
        "# TYPE node_nfs_rpc_authentication_refreshes_total counter",
        "node_nfs_rpc_authentication_refreshes_total 4001",
        "# TYPE node_nfs_requests_total counter",
        'node_nfs_requests_total{proto="2",method="Null"} 200',
        'node_nfs_requests_total{proto="2",method="GetAttr"} 201',
        'node_nfs_requests_total{proto="2",method="SetAttr"} 202',
        'node_nfs_requests_total{proto="2",method="Root"} 203',
        'node_nfs_requests_total{proto="2",method="Lookup"} 204',
        'node_nfs_requests_total{proto="2",method="ReadLink"} 205',
        'node_nfs_requests_total{proto="2",method="Read"} 206',
        'node_nfs_requests_total{proto="2",method="WrCache"} 207',
        'node_nfs_requests_total{proto="2",method="Write"} 208',
        'node_nfs_requests_total{proto="2",method="Create"} 209',
        'node_nfs_requests_total{proto="2",method="Remove"} 210',
        'node_nfs_requests_total{proto="2",method="Rename"} 211',
        'node_nfs_requests_total{proto="2",method="Link"} 212',
        'node_nfs_requests_total{proto="2",method="SymLink"} 213',
        'node_nfs_requests_total{proto="2",method="MkDir"} 214',
        'node_nfs_requests_total{proto="2",method="RmDir"} 215',
        'node_nfs_requests_total{proto="2",method="ReadDir"} 216',
        'node_nfs_requests_total{proto="2",method="FsStat"} 217',
        'node_nfs_requests_total{proto="3",method="Null"} 300',
        'node_nfs_requests_total{proto="3",method="GetAttr"} 301',
        'node_nfs_requests_total{proto="3",method="SetAttr"} 302',
        'node_nfs_requests_total{proto="3",method="Lookup"} 303',
        'node_nfs_requests_total{proto="3",method="Access"} 304',
        'node_nfs_requests_total{proto="3",method="ReadLink"} 305',
        'node_nfs_requests_total{proto="3",method="Read"} 306',
        'node_nfs_requests_total{proto="3",method="Write"} 307',
        'node_nfs_requests_total{proto="3",method="Create"} 308',
        'node_nfs_requests_total{proto="3",method="MkDir"} 309',
        'node_nfs_requests_total{proto="3",method="SymLink"} 310',
        'node_nfs_requests_total{proto="3",method="MkNod"} 311',
        'node_nfs_requests_total{proto="3",method="Remove"} 312',
        'node_nfs_requests_total{proto="3",method="RmDir"} 313',
        'node_nfs_requests_total{proto="3",method="Rename"} 314',
        'node_nfs_requests_total{proto="3",method="Link"} 315',
        'node_nfs_requests_total{proto="3",method="ReadDir"} 316',
        'node_nfs_requests_total{proto="3",method="ReadDirPlus"} 317',
        'node_nfs_requests_total{proto="3",method="FsStat"} 318',
        'node_nfs_requests_total{proto="3",method="FsInfo"} 319',
        'node_nfs_requests_total{proto="3",method="PathConf"} 320',
        'node_nfs_requests_total{proto="3",method="Commit"} 321',
        'node_nfs_requests_total{proto="4",method="Null"} 400',
        'node_nfs_requests_total{proto="4",method="Read"} 401',
        'node_nfs_requests_total{proto="4",method="Write"} 402',
        'node_nfs_requests_total{proto="4",method="Commit"} 403',
        'node_nfs_requests_total{proto="4",method="Open"} 404',
        'node_nfs_requests_total{proto="4",method="OpenConfirm"} 405',
        'node_nfs_requests_total{proto="4",method="OpenNoattr"} 406',
        'node_nfs_requests_total{proto="4",method="OpenDowngrade"} 407',
        'node_nfs_requests_total{proto="4",method="Close"} 408',
        'node_nfs_requests_total{proto="4",method="Setattr"} 409',
        'node_nfs_requests_total{proto="4",method="FsInfo"} 410',
        'node_nfs_requests_total{proto="4",method="Renew"} 411',
        'node_nfs_requests_total{proto="4",method="SetClientID"} 412',
        'node_nfs_requests_total{proto="4",method="SetClientIDConfirm"} 413',
        'node_nfs_requests_total{proto="4",method="Lock"} 414',
        'node_nfs_requests_total{proto="4",method="Lockt"} 415',
        'node_nfs_requests_total{proto="4",method="Locku"} 416',
        'node_nfs_requests_total{proto="4",method="Access"} 417',
        'node_nfs_requests_total{proto="4",method="Getattr"} 418',
        'node_nfs_requests_total{proto="4",method="Lookup"} 419',
        'node_nfs_requests_total{proto="4",method="LookupRoot"} 420',
        'node_nfs_requests_total{proto="4",method="Remove"} 421',
        'node_nfs_requests_total{proto="4",method="Rename"} 422',
        'node_nfs_requests_total{proto="4",method="Link"} 423',
        'node_nfs_requests_total{proto="4",method="Symlink"} 424',
        'node_nfs_requests_total{proto="4",method="Create"} 425',
        'node_nfs_requests_total{proto="4",method="Pathconf"} 426',
        'node_nfs_requests_total{proto="4",method="StatFs"} 427',
        'node_nfs_requests_total{proto="4",method="ReadLink"} 428',
        'node_nfs_requests_total{proto="4",method="ReadDir"} 429',
        'node_nfs_requests_total{proto="4",method="ServerCaps"} 430',
        'node_nfs_requests_total{proto="4",method="DelegReturn"} 431',
        'node_nfs_requests_total{proto="4",method="GetACL"} 432',
        'node_nfs_requests_total{proto="4",method="SetACL"} 433',
        'node_nfs_requests_total{proto="4",method="FsLocations"} 434',
        'node_nfs_requests_total{proto="4",method="ReleaseLockowner"} 435',
        'node_nfs_requests_total{proto="4",method="Secinfo"} 436',
        'node_nfs_requests_total{proto="4",method="FsidPresent"} 437',
        'node_nfs_requests_total{proto="4",method="ExchangeID"} 438',
        'node_nfs_requests_total{proto="4",method="CreateSession"} 439',
        'node_nfs_requests_total{proto="4",method="DestroySession"} 440',
        'node_nfs_requests_total{proto="4",method="Sequence"} 441',
        'node_nfs_requests_total{proto="4",method="GetLeaseTime"} 442',
        'node_nfs_requests_total{proto="4",method="ReclaimComplete"} 443',
        'node_nfs_requests_total{proto="4",method="LayoutGet"} 444',
        'node_nfs_requests_total{proto="4",method="GetDeviceInfo"} 445',
        'node_nfs_requests_total{proto="4",method="LayoutCommit"} 446',
        'node_nfs_requests_total{proto="4",method="LayoutReturn"} 447',
        'node_nfs_requests_total{proto="4",method="SecinfoNoName"} 448',
        'node_nfs_requests_total{proto="4",method="TestStateID"} 449',
        'node_nfs_requests_total{proto="4",method="FreeStateID"} 450',
        'node_nfs_requests_total{proto="4",method="GetDeviceList"} 451',
        'node_nfs_requests_total{proto="4",method="BindConnToSession"} 452',
        'node_nfs_requests_total{proto="4",method="DestroyClientID"} 453',
        'node_nfs_requests_total{proto="4",method="Seek"} 454',
        'node_nfs_requests_total{proto="4",method="Allocate"} 455',
        'node_nfs_requests_total{proto="4",method="DeAllocate"} 456',
        'node_nfs_requests_total{proto="4",method="LayoutStats"} 457',
        'node_nfs_requests_total{proto="4",method="Clone"} 458',
    ]


def test_an_older_kernel_lacks_what_it_does_not_count(statistics, exposed):
    """Procedures and versions that it does not know are absent, not 0."""
    statistics.write_text("net 1 2\nrpc 7 8 9\nproc4 3 0 5 6\n")
    assert exposed(collector(statistics)) == [
        "# TYPE node_nfs_rpcs_total counter",
        "node_nfs_rpcs_total 7",
        "# TYPE node_nfs_rpc_retransmissions_total counter",
        "node_nfs_rpc_retransmissions_total 8",
        "# TYPE node_nfs_rpc_authentication_refreshes_total counter",
        "node_nfs_rpc_authentication_refreshes_total 9",
        "# TYPE node_nfs_requests_total counter",
        'node_nfs_requests_total{proto="4",method="Null"} 0',
        'node_nfs_requests_total{proto="4",method="Read"} 5',
        'node_nfs_requests_total{proto="4",method="Write"} 6',
    ]


def test_lines_of_a_newer_kernel_are_ignored(statistics, exposed):
    """So is a name without numbers."""
    statistics.write_text("quux 1 2 3\nproc5 1 2\nproc3\n")
    assert exposed(collector(statistics)) == []


def test_without_the_client_there_is_no_data(statistics):
    """Most hosts mount nothing by NFS."""
    with pytest.raises(NoData, match="not loaded"):
        list(collector(statistics).collect())
