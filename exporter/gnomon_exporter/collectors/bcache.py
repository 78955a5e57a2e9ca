"""The block layer's cache, from /sys/fs/bcache (Documentation/admin-guide/bcache.rst)."""

import os
from collections.abc import Iterator

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int, read

Family = GaugeMetricFamily | CounterMetricFamily

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
        page = _Page()
        for uuid in sets:
            path = f"{self._path}/{uuid}"
            page.add(path, _SET, uuid=uuid)
            # The file's name says microseconds; node_exporter takes them for nanoseconds.
            duration = attribute_int(f"{path}/internal/btree_read_average_duration_us")
            page.put(
                "btree_read_average_duration_seconds",
                "Duration of a read of the tree, on average.",
                None if duration is None else duration / 1_000_000,
                uuid=uuid,
            )
            for device in _numbered(path, "bdev"):
                page.add(f"{path}/{device}", _BACKING, uuid=uuid, backing_device=device)
                table = f"{path}/{device}/writeback_rate_debug"
                page.add_table(table, _WRITEBACK, uuid=uuid, backing_device=device)
            for device in _numbered(path, "cache"):
                page.add(f"{path}/{device}", _CACHE, uuid=uuid, cache_device=device)
                if self._priority_stats:
                    table = f"{path}/{device}/priority_stats"
                    page.add_table(table, _PRIORITY, uuid=uuid, cache_device=device)
        yield from page.families.values()


class _Page:
    """The families, filled one directory after the other."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def add(self, path: str, files: tuple[tuple[str, str, str], ...], **labels: str) -> None:
        """Add the numbers in a directory's files."""
        for file, name, text in files:
            value = _number(attribute(f"{path}/{file}"))
            if file.endswith("cache_readaheads") and not value:
                continue
            self.put(name, text, value, **labels)

    def add_table(self, path: str, rows: dict[str, tuple[str, str]], **labels: str) -> None:
        """Add the numbers in a file of lines such as ``rate: 1.5M/sec``."""
        try:
            lines = read(path).split("\n")
        except OSError:
            return
        for line in lines:
            key, _, rest = line.partition(":")
            if key in rows and (words := rest.split()):
                self.put(*rows[key], _number(words[-1].removesuffix("/sec").rstrip("%")), **labels)

    def put(self, name: str, text: str, value: float | None, **labels: str) -> None:
        if value is None:
            return
        if (family := self.families.get(name)) is None:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(f"node_bcache_{name}", text, labels=tuple(labels))
            self.families[name] = family
        family.add_metric(tuple(labels.values()), value)


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
