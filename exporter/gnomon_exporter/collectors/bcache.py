"""The block layer's cache, from /sys/fs/bcache (Documentation/admin-guide/bcache.rst)."""

import os
from collections.abc import Iterator

from gnomon_exporter.gathered import Family, Gathered
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int

# The kernel's file, node_exporter's name (with _total where it is a counter) and its meaning.
_SET = (
    ("average_key_size", "average_key_size_sectors", "Data per key of the tree, on average."),
    ("btree_cache_size", "btree_cache_size_bytes", "Memory that holds the tree."),
    (
        "cache_available_percent",
        "cache_available_percent",
        "Share of the cache without data that is still to be written back, in percent.",
    ),
    ("congested", "congested", "How congested the cache is, 0 if not at all."),
    ("root_usage_percent", "root_usage_percent", "Fill of the tree's root, in percent."),
    ("tree_depth", "tree_depth", "Depth of the tree."),
    ("internal/active_journal_entries", "active_journal_entries", "Journal entries in use."),
    ("internal/btree_nodes", "btree_nodes", "Nodes of the tree."),
    ("internal/cache_read_races", "cache_read_races_total", "Reads of a bucket being reused."),
)
_BACKING = (
    ("dirty_data", "dirty_data_bytes", "Data in the cache still to be written back."),
    ("stats_total/bypassed", "bypassed_bytes_total", "Data that went past the cache."),
    ("stats_total/cache_hits", "cache_hits_total", "Requests that the cache answered."),
    ("stats_total/cache_misses", "cache_misses_total", "Requests that the cache did not answer."),
    (
        "stats_total/cache_bypass_hits",
        "cache_bypass_hits_total",
        "Hits of requests that were to go past the cache.",
    ),
    (
        "stats_total/cache_bypass_misses",
        "cache_bypass_misses_total",
        "Misses of requests that were to go past the cache.",
    ),
    (
        "stats_total/cache_miss_collisions",
        "cache_miss_collisions_total",
        "Misses whose data a write put into the cache first.",
    ),
    (
        "stats_total/cache_readaheads",
        "cache_readaheads_total",
        "Read-aheads; absent while there has been none, as in current kernels.",
    ),
)
_CACHE = (
    ("io_errors", "io_errors", "Errors, fading with io_error_halflife."),
    ("metadata_written", "metadata_written_bytes_total", "Bytes written that are no data."),
    ("written", "written_bytes_total", "Bytes of data written."),
)
_WRITEBACK = {
    "target": ("dirty_target_bytes", "Data to write back that the controller aims at."),
    "rate": ("writeback_rate", "Bytes a second that are written back."),
    "proportional": ("writeback_rate_proportional_term", "The rate's proportional term."),
    "integral": ("writeback_rate_integral_term", "The rate's integral term."),
    "change": ("writeback_change", "Last change of the rate."),
}
_PRIORITY = {
    "Unused": ("priority_stats_unused_percent", "Share of the cache without data, in percent."),
    "Metadata": ("priority_stats_metadata_percent", "Share of bcache's own data, in percent."),
}

_UNITS = {unit: 1024**power for power, unit in enumerate("kMGTPEZY", 1)}


class BcacheCollector:
    """Each set of caches, its backing devices and its caches; nothing on a machine without.

    priority_stats: also report the caches' priority_stats, which are expensive to read.
    """

    def __init__(self, paths: Paths, *, priority_stats: bool = False) -> None:
        self._path = paths.sys("fs/bcache")
        self._priority_stats = priority_stats

    def collect(self) -> Iterator[Family]:
        """Yield what the kernel shows of each set; what it lacks is left out."""
        try:
            sets = sorted(name for name in os.listdir(self._path) if "-" in name)
        except FileNotFoundError:
            return
        page = Gathered("node_bcache_")
        for uuid in sets:
            path = f"{self._path}/{uuid}"
            _add(page, path, _SET, uuid=uuid)
            # The file's name says microseconds; node_exporter takes them for nanoseconds.
            duration = attribute_int(f"{path}/internal/btree_read_average_duration_us")
            page.add(
                "btree_read_average_duration_seconds",
                "Duration of a read of the tree, on average.",
                None if duration is None else duration / 1_000_000,
                uuid=uuid,
            )
            for device in _numbered(path, "bdev"):
                _add(page, f"{path}/{device}", _BACKING, uuid=uuid, backing_device=device)
                table = f"{path}/{device}/writeback_rate_debug"
                _add_table(page, table, _WRITEBACK, uuid=uuid, backing_device=device)
            for device in _numbered(path, "cache"):
                _add(page, f"{path}/{device}", _CACHE, uuid=uuid, cache_device=device)
                if self._priority_stats:
                    table = f"{path}/{device}/priority_stats"
                    _add_table(page, table, _PRIORITY, uuid=uuid, cache_device=device)
        yield from page.families()


def _add(page: Gathered, path: str, files: tuple[tuple[str, str, str], ...], **labels: str) -> None:
    """Add the numbers in a directory's files."""
    for file, name, text in files:
        value = _number(attribute(f"{path}/{file}"))
        if value or not file.endswith("cache_readaheads"):
            page.add(name, text, value, **labels)


def _add_table(page: Gathered, path: str, rows: dict[str, tuple[str, str]], **labels: str) -> None:
    """Add the numbers in a file of lines such as ``rate: 1.5M/sec``."""
    for line in (attribute(path) or "").split("\n"):
        key, _, rest = line.partition(":")
        if key in rows and (words := rest.split()):
            number = _number(words[-1].removesuffix("/sec").rstrip("%"))
            page.add(*rows[key], number, **labels)


def _numbered(path: str, prefix: str) -> list[str]:
    try:
        names = os.listdir(path)
    except OSError:
        return []
    return sorted(
        name for name in names if name.startswith(prefix) and name[len(prefix) :][:1].isdecimal()
    )


def _number(text: str | None) -> float | None:
    """Return a number as bcache prints it, such as ``97`` or ``-1.5k``."""
    if not text:
        return None
    factor = _UNITS.get(text[-1])
    try:
        if factor is None:
            return float(text)
        whole, _, digit = text[:-1].lstrip("-").partition(".")
        # Behind the point stand hundreds of 1024ths, so 1.10k exists, and is nearly 2k.
        size = int((int(whole) + int(digit or 0) * 100 / 1024) * factor)
    except ValueError:
        return None
    return -size if text.startswith("-") else size
