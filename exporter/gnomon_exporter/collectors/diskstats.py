"""Disk I/O, from /proc/diskstats, with what udev knows about each disk."""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, fields, read

_DEVICE_EXCLUDE = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"


def _count(value: int) -> float:
    return value


def _bytes(sectors: int) -> float:
    return sectors * 512  # whatever the disk's own sector size is


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000


# The columns behind major, minor and name, as Documentation/admin-guide/iostats.rst has them.
# Discards came with Linux 4.18, flushes with 5.5.
_COLUMNS: tuple[tuple[str, str, Callable[[int], float]], ...] = (
    ("reads_completed", "Reads completed.", _count),
    ("reads_merged", "Reads merged with an adjacent one before they were queued.", _count),
    ("read_bytes", "Bytes read.", _bytes),
    ("read_time_seconds", "Seconds that all reads took together.", _seconds),
    ("writes_completed", "Writes completed.", _count),
    ("writes_merged", "Writes merged with an adjacent one before they were queued.", _count),
    ("written_bytes", "Bytes written.", _bytes),
    ("write_time_seconds", "Seconds that all writes took together.", _seconds),
    ("io_now", "Requests in flight.", _count),
    ("io_time_seconds", "Seconds during which at least one request was in flight.", _seconds),
    (
        "io_time_weighted_seconds",
        "Seconds of I/O, each weighted with the requests in flight: its rate is the queue.",
        _seconds,
    ),
    ("discards_completed", "Discards (TRIM) completed.", _count),
    ("discards_merged", "Discards merged with an adjacent one before they were queued.", _count),
    ("discarded_sectors", "Sectors of 512 bytes discarded.", _count),
    ("discard_time_seconds", "Seconds that all discards took together.", _seconds),
    ("flush_requests", "Flushes of the disk's cache completed.", _count),
    ("flush_requests_time_seconds", "Seconds that all flushes took together.", _seconds),
)

_INFO = ("device", "major", "minor", "path", "wwn", "model", "serial", "revision", "rotational")

# udev's properties behind the labels and values, from its own rules and helpers.
_FILESYSTEM = {
    "type": "ID_FS_TYPE",
    "usage": "ID_FS_USAGE",
    "uuid": "ID_FS_UUID",
    "version": "ID_FS_VERSION",
}
_DEVICE_MAPPER = {
    "name": "DM_NAME",
    "uuid": "DM_UUID",
    "vg_name": "DM_VG_NAME",
    "lv_name": "DM_LV_NAME",
    "lv_layer": "DM_LV_LAYER",
}
_ATA = {
    "write_cache": ("ID_ATA_WRITE_CACHE", "1 if the ATA disk has a write cache."),
    "write_cache_enabled": (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "1 if the ATA disk's write cache is enabled.",
    ),
    "rotation_rate_rpm": (
        "ID_ATA_ROTATION_RATE_RPM",
        "Revolutions per minute of the ATA disk, 0 for one without moving parts.",
    ),
}


class DiskstatsCollector:
    """Requests, bytes, times and queue of each disk, and which disk it is.

    device_exclude, device_include: regular expressions on the device's name; an include
    replaces the default exclude, which leaves out partitions, RAM disks, loops and floppies.
    """

    def __init__(
        self, paths: Paths, *, device_exclude: str = _DEVICE_EXCLUDE, device_include: str = ""
    ) -> None:
        self._devices = NameFilter(
            "device", exclude=device_exclude, include=device_include, default=_DEVICE_EXCLUDE
        )
        self._path = paths.proc("diskstats")
        self._block = paths.sys("block")
        self._udev = paths.root("/run/udev/data")

    def collect(self) -> Iterator[Metric]:
        """Yield the counters the kernel has, and what udev says about the disks."""
        counters = [_column(name, text) for name, text, _ in _COLUMNS]
        scales = [scale for _, _, scale in _COLUMNS]
        info = GaugeMetricFamily("node_disk_info", "Which disk this is, always 1.", labels=_INFO)
        filesystem = _udev_info(
            "filesystem", "What the disk itself is formatted as, always 1.", _FILESYSTEM
        )
        mapper = _udev_info("device_mapper", "What is mapped here, always 1.", _DEVICE_MAPPER)
        ata = {
            key: GaugeMetricFamily(f"node_disk_ata_{name}", text, labels=("device",))
            for name, (key, text) in _ATA.items()
        }
        for parts in fields(self._path):
            if len(parts) < 14 or not self._devices.keeps(parts[2]):
                continue
            major, minor, device = parts[:3]
            try:
                values = [int(part) for part in parts[3:20]]
            except ValueError:
                continue
            labels = (device,)
            for family, scale, value in zip(counters, scales, values, strict=False):
                family.add_metric(labels, scale(value))
            udev = self._properties(f"b{major}:{minor}")
            info.add_metric((device, major, minor, *self._identity(device, udev)), 1)
            if "ID_FS_TYPE" in udev:
                filesystem.add_metric((device, *_values(udev, _FILESYSTEM)), 1)
            if "DM_NAME" in udev:
                mapper.add_metric((device, *_values(udev, _DEVICE_MAPPER)), 1)
            if "ID_ATA" in udev:
                for key, family in ata.items():
                    if (number := _number(udev.get(key))) is not None:
                        family.add_metric(labels, number)
        yield from (*counters, info, filesystem, mapper, *ata.values())

    def _identity(self, device: str, udev: dict[str, str]) -> tuple[str, ...]:
        """Return the values of the info labels from ``path`` on."""
        return (
            udev.get("ID_PATH", ""),
            udev.get("ID_WWN", ""),
            udev.get("ID_MODEL", ""),
            # The first is mostly what is printed on the disk; virtio disks have the last alone.
            udev.get("SCSI_IDENT_SERIAL")
            or udev.get("ID_SERIAL_SHORT")
            or udev.get("ID_SERIAL", ""),
            udev.get("ID_REVISION", ""),
            "1" if self._rotates(device) else "0",
        )

    def _rotates(self, device: str) -> bool:
        # A name such as cciss/c0d0 is a directory cciss!c0d0 in /sys.
        name = device.replace("/", "!")
        return attribute(f"{self._block}/{name}/queue/rotational") == "1"

    def _properties(self, number: str) -> dict[str, str]:
        """Return udev's properties of a block device, nothing where udev knows none."""
        path = f"{self._udev}/{number}"
        try:
            stat = os.stat(path)
            return _database(path, stat.st_ino, stat.st_mtime_ns)
        except OSError:
            return {}


def _column(name: str, text: str) -> CounterMetricFamily | GaugeMetricFamily:
    if name == "io_now":
        return GaugeMetricFamily(f"node_disk_{name}", text, labels=("device",))
    return CounterMetricFamily(f"node_disk_{name}_total", text, labels=("device",))


def _udev_info(name: str, text: str, labels: dict[str, str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"node_disk_{name}_info", text, labels=("device", *labels))


def _values(udev: dict[str, str], labels: dict[str, str]) -> list[str]:
    return [udev.get(key, "") for key in labels.values()]


@lru_cache(maxsize=1024)
def _database(path: str, _inode: int, _mtime: int) -> dict[str, str]:
    """Read an entry of udev's database, which changes with the file: E: begins a property."""
    lines = (line[2:].partition("=") for line in read(path).split("\n") if line[:2] == "E:")
    return {key: value for key, equals, value in lines if equals and value}


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
