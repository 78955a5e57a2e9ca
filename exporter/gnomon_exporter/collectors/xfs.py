"""Work of each mounted XFS file system, from /sys/fs/xfs/<device>/stats/stats."""

import os
from collections.abc import Iterator

from gnomon_exporter.families import CounterMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import fields

# Each line's columns in the kernel's order (fs/xfs/xfs_stats.h): metric and meaning.
_LINES = {
    "extent_alloc": (
        ("extent_allocation_extents_allocated", "Extents allocated."),
        ("extent_allocation_blocks_allocated", "Blocks allocated."),
        ("extent_allocation_extents_freed", "Extents freed."),
        ("extent_allocation_blocks_freed", "Blocks freed."),
    ),
    "abt": (
        ("allocation_btree_lookups", "Lookups in the trees of free space."),
        ("allocation_btree_compares", "Comparisons in the trees of free space."),
        ("allocation_btree_records_inserted", "Records put into the trees of free space."),
        ("allocation_btree_records_deleted", "Records taken out of the trees of free space."),
    ),
    "blk_map": (
        ("block_mapping_reads", "Block maps looked up for a read."),
        ("block_mapping_writes", "Block maps looked up for a write."),
        ("block_mapping_unmaps", "Block maps looked up to delete blocks."),
        ("block_mapping_extent_list_insertions", "Extents put into a file's list."),
        ("block_mapping_extent_list_deletions", "Extents taken out of a file's list."),
        ("block_mapping_extent_list_lookups", "Lookups in files' lists of extents."),
        ("block_mapping_extent_list_compares", "Comparisons in files' lists of extents."),
    ),
    "bmbt": (
        ("block_map_btree_lookups", "Lookups in files' trees of extents."),
        ("block_map_btree_compares", "Comparisons in files' trees of extents."),
        ("block_map_btree_records_inserted", "Records put into files' trees of extents."),
        ("block_map_btree_records_deleted", "Records taken out of files' trees of extents."),
    ),
    "dir": (
        ("directory_operation_lookup", "File names looked up that the name cache did not have."),
        ("directory_operation_create", "Directory entries created."),
        ("directory_operation_remove", "Directory entries removed."),
        ("directory_operation_getdents", "Listings of directories."),
    ),
    "ig": (
        ("inode_operation_attempts", "Lookups in the inode cache."),
        ("inode_operation_found", "Lookups that found the inode in the cache."),
        ("inode_operation_recycled", "Lookups that found an inode about to be recycled."),
        ("inode_operation_missed", "Lookups that did not find the inode in the cache."),
        ("inode_operation_duplicates", "Inodes that another process put into the cache first."),
        ("inode_operation_reclaims", "Inodes dropped from the cache to free memory."),
        ("inode_operation_attribute_changes", "Changes of an inode's attributes."),
    ),
    "rw": (
        ("write_calls", "Calls of write(2)."),
        ("read_calls", "Calls of read(2)."),
    ),
    "vnodes": (
        ("vnode_active", "Vnodes in use."),
        ("vnode_allocate", "Vnodes allocated."),
        ("vnode_get", "Vnodes got."),
        ("vnode_hold", "Vnodes held."),
        ("vnode_release", "Vnodes released."),
        ("vnode_reclaim", "Vnodes reclaimed."),
        ("vnode_remove", "Vnodes removed."),
    ),
}


class XfsCollector:
    """Operations and allocations of each mounted XFS."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.sys("fs/xfs")

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters of every file system, those columns that its kernel has."""
        try:
            devices = sorted(os.listdir(self._path))
        except FileNotFoundError:
            return
        families: dict[str, list[CounterMetricFamily]] = {}
        for device in devices:
            try:
                lines = list(fields(f"{self._path}/{device}/stats/stats"))
            except (FileNotFoundError, NotADirectoryError):
                continue  # fs/xfs/stats is the sum of all; a file system may just be going
            for key, *values in lines:
                if key not in _LINES:
                    continue
                if key not in families:
                    families[key] = [_counter(name, text) for name, text in _LINES[key]]
                for family, value in zip(families[key], values, strict=False):
                    if value.isdecimal():
                        family.add_metric((device,), int(value))
        for counters in families.values():
            yield from counters


def _counter(name: str, text: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"node_xfs_{name}_total", text, labels=("device",))
