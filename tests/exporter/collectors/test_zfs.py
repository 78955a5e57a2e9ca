"""The zfs collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.zfs import ZfsCollector
from gnomon_exporter.paths import Paths

# What node_exporter 1.11 shows for the same files, in the order of ours.
PAGE = """\
# TYPE node_zfs_arc_hits untyped
node_zfs_arc_hits 8772612
# TYPE node_zfs_arc_misses untyped
node_zfs_arc_misses 604635
# TYPE node_zfs_arc_memory_available_bytes untyped
node_zfs_arc_memory_available_bytes -922337203
# TYPE node_zfs_arc_c_max untyped
node_zfs_arc_c_max 8367710208
# TYPE node_zfs_dmu_tx_dmu_tx_assigned untyped
node_zfs_dmu_tx_dmu_tx_assigned 3532844
# TYPE node_zfs_dmu_tx_dmu_tx_error untyped
node_zfs_dmu_tx_dmu_tx_error 0
# TYPE node_zfs_zpool_nread untyped
node_zfs_zpool_nread{zpool="old"} 1884160
# TYPE node_zfs_zpool_nwritten untyped
node_zfs_zpool_nwritten{zpool="old"} 3206144
# TYPE node_zfs_zpool_reads untyped
node_zfs_zpool_reads{zpool="old"} 22
# TYPE node_zfs_zpool_writes untyped
node_zfs_zpool_writes{zpool="old"} 132
# TYPE node_zfs_zpool_wtime untyped
node_zfs_zpool_wtime{zpool="old"} 7155162
# TYPE node_zfs_zpool_wlentime untyped
node_zfs_zpool_wlentime{zpool="old"} 104112268
# TYPE node_zfs_zpool_wupdate untyped
node_zfs_zpool_wupdate{zpool="old"} 79210489694949
# TYPE node_zfs_zpool_rtime untyped
node_zfs_zpool_rtime{zpool="old"} 24168078
# TYPE node_zfs_zpool_rlentime untyped
node_zfs_zpool_rlentime{zpool="old"} 104112268
# TYPE node_zfs_zpool_rupdate untyped
node_zfs_zpool_rupdate{zpool="old"} 79210489849220
# TYPE node_zfs_zpool_wcnt untyped
node_zfs_zpool_wcnt{zpool="old"} 0
# TYPE node_zfs_zpool_rcnt untyped
node_zfs_zpool_rcnt{zpool="old"} 0
# TYPE node_zfs_zpool_dataset_writes untyped
node_zfs_zpool_dataset_writes{zpool="tank",dataset="tank/home dir"} 120
# TYPE node_zfs_zpool_dataset_nwritten untyped
node_zfs_zpool_dataset_nwritten{zpool="tank",dataset="tank/home dir"} 983040
# TYPE node_zfs_zpool_dataset_reads untyped
node_zfs_zpool_dataset_reads{zpool="tank",dataset="tank/home dir"} 70
# TYPE node_zfs_zpool_dataset_nread untyped
node_zfs_zpool_dataset_nread{zpool="tank",dataset="tank/home dir"} 286720
# TYPE node_zfs_zpool_state gauge
node_zfs_zpool_state{zpool="old",state="online"} 0
node_zfs_zpool_state{zpool="old",state="degraded"} 1
node_zfs_zpool_state{zpool="old",state="faulted"} 0
node_zfs_zpool_state{zpool="old",state="offline"} 0
node_zfs_zpool_state{zpool="old",state="removed"} 0
node_zfs_zpool_state{zpool="old",state="unavail"} 0
node_zfs_zpool_state{zpool="old",state="suspended"} 0
node_zfs_zpool_state{zpool="tank",state="online"} 1
node_zfs_zpool_state{zpool="tank",state="degraded"} 0
node_zfs_zpool_state{zpool="tank",state="faulted"} 0
node_zfs_zpool_state{zpool="tank",state="offline"} 0
node_zfs_zpool_state{zpool="tank",state="removed"} 0
node_zfs_zpool_state{zpool="tank",state="unavail"} 0
node_zfs_zpool_state{zpool="tank",state="suspended"} 0
"""


@pytest.fixture
def kstat(tmp_path):
    """Return a function that writes a kstat and gives the host's paths."""

    def write(name, text):
        path = tmp_path / "spl/kstat/zfs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
        return Paths(procfs=str(tmp_path))

    return write


def test_reports_caches_pools_and_datasets(metal, exposed):
    """Untyped, as node_exporter has them; only a pool's state is a gauge."""
    assert exposed(ZfsCollector(metal)) == PAGE.splitlines()


def test_what_is_no_number_is_left_out(kstat, exposed):
    """Texts, other kinds of data, short lines, and whatever stands above the table."""
    paths = kstat(
        "arcstats",
        "hits 4 1\nname type data\nhits 4 2\nshort 4\ntext 7 x\nword 4 x\nsmall 2 3\na-b\xe9 4 5\n",
    )
    assert exposed(ZfsCollector(paths)) == [
        "# TYPE node_zfs_arc_hits untyped",
        "node_zfs_arc_hits 2",
        "# TYPE node_zfs_arc_a_b_ untyped",
        "node_zfs_arc_a_b_ 5",
    ]


def test_a_pool_that_goes_while_it_is_read(kstat, exposed, tmp_path):
    """An empty table, a state that nobody knows, a directory without files."""
    kstat("one/objset-0x1", "")
    kstat("one/io", "nread nwritten\n1\n")
    kstat("one/state", "\n")
    paths = kstat("two/state", "PONDERING\n")
    (tmp_path / "spl/kstat/zfs/three").mkdir()
    lines = exposed(ZfsCollector(paths))
    assert [line for line in lines if "one" in line] == ['node_zfs_zpool_nread{zpool="one"} 1']
    assert {line.split()[-1] for line in lines if "two" in line} == {"0"}


def test_a_dataset_with_an_odd_name(kstat, exposed):
    """Blanks and quotes stay inside the label."""
    paths = kstat(
        "p/objset-0x1", 'name type data\ndataset_name 7 p/a  b "c"\nreads 4 1\nname type data\n'
    )
    assert exposed(ZfsCollector(paths)) == [
        "# TYPE node_zfs_zpool_dataset_reads untyped",
        'node_zfs_zpool_dataset_reads{zpool="p",dataset="p/a  b \\"c\\""} 1',
    ]


def test_no_zfs_no_data(tmp_path):
    """Without the module there is no such directory."""
    with pytest.raises(NoData, match="ZFS is not loaded"):
        list(ZfsCollector(Paths(procfs=str(tmp_path))).collect())
