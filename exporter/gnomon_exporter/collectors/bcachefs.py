"""Caches, errors, compression and devices of bcachefs, from /sys/fs/bcachefs."""

import os
import re
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.gathered import Family, Gathered
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int, read

_INVALID = re.compile(r"_*[^0-9A-Za-z_]+_*")
_UNITS = {unit: 1024**power for power, unit in enumerate("kmgtpe", 1)}


class BcachefsCollector:
    """Each mounted bcachefs."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.sys("fs/bcachefs")

    def collect(self) -> Iterator[Family]:
        """Yield what the kernel shows of each file system; what it lacks is left out."""
        uuids = _directories(self._path)
        if not uuids:
            raise NoData(f"nothing in {self._path}: no bcachefs is mounted")
        page = Gathered("node_bcachefs_")
        for uuid in uuids:
            path = f"{self._path}/{uuid}"
            page.add("info", "The file system, always 1.", 1, uuid=uuid)
            size = _size(attribute(f"{path}/btree_cache_size"))
            page.add("btree_cache_size_bytes", "Memory that holds the trees.", size, uuid=uuid)
            _add_tables(page, path, uuid)
            _add_counters(page, f"{path}/counters", uuid)
            for name in _directories(path):
                if name.startswith("dev-"):
                    device = name.removeprefix("dev-")
                    _add_device(page, f"{path}/{name}", uuid=uuid, device=device)
        yield from page.families()


def _add_tables(page: Gathered, path: str, uuid: str) -> None:
    for name, compressed, uncompressed, *_ in _table(f"{path}/compression_stats"):
        page.add(
            "compression_compressed_bytes",
            "Bytes on disk of what is compressed.",
            _size(compressed),
            uuid=uuid,
            algorithm=name,
        )
        page.add(
            "compression_uncompressed_bytes",
            "Bytes of what is compressed, before it was.",
            _size(uncompressed),
            uuid=uuid,
            algorithm=name,
        )
    for line in _lines(f"{path}/errors"):
        words = line.split()
        if len(words) > 1:
            text = "Errors that were found."
            page.add("errors_total", text, _count(words[1]), uuid=uuid, error_type=words[0])
    for name, number, size, *_ in _table(f"{path}/btree_write_stats"):
        text = "Writes of a tree's node, by their occasion."
        page.add("btree_writes_total", text, _count(number), uuid=uuid, type=name)
        text = "Bytes of such a write, on average."
        page.add("btree_write_average_size_bytes", text, _size(size), uuid=uuid, type=name)


def _add_counters(page: Gathered, path: str, uuid: str) -> None:
    """Add the file system's own counters, of which each version has others."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return
    for name in names:
        values = dict(_pairs(_lines(f"{path}/{name}")))
        text = f"bcachefs' counter {name}, since the file system was made."
        value = _size(values.get("since filesystem creation"))
        page.add(f"{_INVALID.sub('_', name)}_total", text, value, uuid=uuid)


def _add_device(page: Gathered, path: str, **labels: str) -> None:
    page.add(
        "device_info",
        "The device and its state, always 1.",
        1,
        **labels,
        label=attribute(f"{path}/label") or "",
        state=attribute(f"{path}/state") or "",
    )
    size = _size(attribute(f"{path}/bucket_size"))
    page.add("device_bucket_size_bytes", "Size of a bucket.", size, **labels)
    page.add("device_buckets", "Buckets in all.", attribute_int(f"{path}/nbuckets"), **labels)
    durability = attribute_int(f"{path}/durability")
    page.add(
        "device_durability", "Copies that one on this device counts for.", durability, **labels
    )
    operation = ""
    for name, value in _pairs(_lines(f"{path}/io_done")):
        if name in ("read", "write") and not value:
            operation = name
        elif operation:
            page.add(
                "device_io_done_bytes_total",
                "Bytes read and written, by what they are for.",
                _count(value),
                **labels,
                operation=operation,
                data_type=name,
            )
    for name, value in _errors(f"{path}/io_errors"):
        text = "Errors of reads, writes and checksums."
        page.add("device_io_errors_total", text, _count(value), **labels, type=name)


def _errors(path: str) -> Iterator[tuple[str, str]]:
    """Yield the errors since the file system was made; those since a reset stand below them."""
    inside = False
    for line in _lines(path):
        if line.startswith("IO errors since "):
            inside = line.startswith("IO errors since filesystem creation")
        elif inside:
            yield from _pairs([line])


def _table(path: str) -> Iterator[list[str]]:
    """Yield the words of each line below the first, which heads the columns."""
    for line in _lines(path)[1:]:
        words = line.split()
        if len(words) > 2:
            yield [words[0].rstrip(":"), *words[1:]]


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _lines(path: str) -> list[str]:
    try:
        return read(path).split("\n")
    except OSError:
        return []


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _size(text: str | None) -> float | None:
    """Return a number that may have a unit, such as ``1.5M``."""
    if not text:
        return None
    factor = _UNITS.get(text[-1].lower())
    try:
        return float(text) if factor is None else int(float(text[:-1]) * factor)
    except (ValueError, OverflowError):
        return None
