"""The xfs collector."""

import pytest

from gnomon_exporter.collectors.xfs import XfsCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def host(tmp_path):
    """Return a function that gives the paths of a host with these XFS statistics."""

    def paths(**stats):
        for device, text in stats.items():
            folder = tmp_path / "fs/xfs" / device / "stats"
            folder.mkdir(parents=True)
            (folder / "stats").write_text(text)
        return Paths(sysfs=str(tmp_path))

    return paths


def test_reports_node_exporters_columns(metal, exposed):
    """Recorded from Linux 6.18 after one file was written; the sum of all is left out."""
    values = {
        "extent_allocation_extents_allocated": 1,
        "extent_allocation_blocks_allocated": 5120,
        "extent_allocation_extents_freed": 0,
        "extent_allocation_blocks_freed": 0,
        "allocation_btree_lookups": 0,
        "allocation_btree_compares": 0,
        "allocation_btree_records_inserted": 0,
        "allocation_btree_records_deleted": 0,
        "block_mapping_reads": 0,
        "block_mapping_writes": 24,
        "block_mapping_unmaps": 1,
        "block_mapping_extent_list_insertions": 2,
        "block_mapping_extent_list_deletions": 1,
        "block_mapping_extent_list_lookups": 27,
        "block_mapping_extent_list_compares": 0,
        "block_map_btree_lookups": 0,
        "block_map_btree_compares": 0,
        "block_map_btree_records_inserted": 0,
        "block_map_btree_records_deleted": 0,
        "directory_operation_lookup": 1,
        "directory_operation_create": 1,
        "directory_operation_remove": 0,
        "directory_operation_getdents": 0,
        "inode_operation_attempts": 2,
        "inode_operation_found": 0,
        "inode_operation_recycled": 0,
        "inode_operation_missed": 2,
        "inode_operation_duplicates": 0,
        "inode_operation_reclaims": 0,
        "inode_operation_attribute_changes": 0,
        "write_calls": 20,
        "read_calls": 0,
        "vnode_active": 2,
        "vnode_allocate": 0,
        "vnode_get": 0,
        "vnode_hold": 0,
        "vnode_release": 0,
        "vnode_reclaim": 0,
        "vnode_remove": 0,
    }
    expected = []
    for name, value in values.items():
        expected += [
            f"# TYPE node_xfs_{name}_total counter",
            f'node_xfs_{name}_total{{device="sdd1"}} {value}',
        ]
    assert exposed(XfsCollector(metal)) == expected


def test_several_file_systems_share_their_families(host, exposed):
    """A family stands once, with a sample for each."""
    assert exposed(XfsCollector(host(sda="rw 1 2\n", sdb="rw 3 4\n"))) == [
        "# TYPE node_xfs_write_calls_total counter",
        'node_xfs_write_calls_total{device="sda"} 1',
        'node_xfs_write_calls_total{device="sdb"} 3',
        "# TYPE node_xfs_read_calls_total counter",
        'node_xfs_read_calls_total{device="sda"} 2',
        'node_xfs_read_calls_total{device="sdb"} 4',
    ]


def test_columns_that_are_missing_or_new(host, exposed):
    """Old kernels have fewer, new ones more; words are no numbers."""
    text = "rw 1\nvnodes 5 6 7 8 9 10 11 12 13\nfuture 1 2\nig x 2\n\n"
    lines = exposed(XfsCollector(host(sda=text)))
    values = {line.split("{")[0]: line.split()[-1] for line in lines if "{" in line}
    assert values["node_xfs_write_calls_total"] == "1"
    assert values["node_xfs_vnode_remove_total"] == "11"
    assert values["node_xfs_inode_operation_found_total"] == "2"
    assert len(values) == 9


@pytest.mark.parametrize("machine", ["without the module", "without a file system"])
def test_nothing_without_xfs(tmp_path, exposed, machine):
    """The collector succeeds with nothing, as node_exporter's."""
    if machine == "without a file system":
        (tmp_path / "fs/xfs/stats").mkdir(parents=True)
        (tmp_path / "fs/xfs/stats/stats").write_text("rw 1 2\n")
    assert exposed(XfsCollector(Paths(sysfs=str(tmp_path)))) == []
