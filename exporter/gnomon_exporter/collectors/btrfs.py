"""Space, commits and device errors of Btrfs, from /sys/fs/btrfs and ioctl(2) on its mounts."""

import os
from collections.abc import Callable, Iterator

from gnomon_exporter.btrfs_devices import ERROR_TYPES, Device, devices
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.mountinfo import MountTable
from gnomon_exporter.paths import Paths
from gnomon_exporter.patience import Patience
from gnomon_exporter.reading import attribute, attribute_int, fields

#: Seconds to wait for the mounts to name their devices.
_TIMEOUT = 1.0

#: Bytes on disk for one byte of data, where it does not depend on the number of devices.
_COPIES = {"single": 1, "raid0": 1, "dup": 2, "raid1": 2, "raid10": 2, "raid1c3": 3, "raid1c4": 4}
_PARITY = {"raid5": 1, "raid6": 2}

Devices = tuple[str, list[Device]]


class BtrfsCollector:
    """Space, devices, commits and errors of each mounted Btrfs."""

    def __init__(self, paths: Paths, ask: Callable[[bytes], Devices] = devices) -> None:
        self._path = paths.sys("fs/btrfs")
        self._table = MountTable(paths)
        # A mount on a dead disk may never answer.
        self._devices = Patience(ask)

    def collect(self) -> Iterator[Metric]:
        """Yield what the kernel shows of each file system; attributes it lacks are left out."""
        try:
            uuids = sorted(name for name in os.listdir(self._path) if "-" in name)
        except FileNotFoundError:
            return
        if not uuids:
            return
        page = _Page()
        known = self._known()
        for uuid in uuids:
            page.add(f"{self._path}/{uuid}", uuid, known.get(uuid))
        yield from page.families()

    def _known(self) -> dict[str, list[Device]]:
        """Return the devices of those file systems whose mounts tell them, by UUID."""
        try:
            table = self._table.mounts()
        except OSError:
            return {}  # /sys alone still tells a lot
        # Subvolumes are mounts of the same device: one of them is enough.
        mounts = {mount.device: mount.path for mount in table if mount.fstype == "btrfs"}
        answers = self._devices.answers(mounts.values(), _TIMEOUT)
        return dict(answer for answer in answers.values() if not isinstance(answer, Exception))


class _Page:
    """The families, filled one file system after the other."""

    def __init__(self) -> None:
        fs, group, layout = ("uuid",), ("uuid", "block_group_type"), ("mode",)
        self._info = _gauge("info", "The file system and its label, always 1.", ("uuid", "label"))
        self._reserve = _gauge("global_rsv_size_bytes", "Size of the global reserve.", fs)
        self._reserved = _gauge("reserved_bytes", "Bytes reserved for writes under way.", group)
        self._used = _gauge("used_bytes", "Bytes in use, copies not counted.", group + layout)
        self._size = _gauge("size_bytes", "Bytes allocated, copies not counted.", group + layout)
        self._ratio = _gauge(
            "allocation_ratio", "Bytes on disk for a byte of data.", group + layout
        )
        self._commits: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
            "commits": _counter("commits", "Commits.", fs),
            "last_commit_ms": _gauge("last_commit_seconds", "Duration of the last commit.", fs),
            "max_commit_ms": _gauge("max_commit_seconds", "Duration of the longest commit.", fs),
            "total_commit_ms": _counter("commit_seconds", "Duration of all commits.", fs),
        }
        self._device_size = _gauge("device_size_bytes", "Size of the device.", ())
        self._device_unused = _gauge("device_unused_bytes", "Bytes not allocated to anything.", ())
        self._device_errors = _counter("device_errors", "Errors that Btrfs met on the device.", ())

    def families(self) -> Iterator[Metric]:
        yield from (self._info, self._reserve, self._reserved)
        yield from (self._used, self._size, self._ratio, *self._commits.values())
        yield from (self._device_size, self._device_unused, self._device_errors)

    def add(self, path: str, fsid: str, known: list[Device] | None) -> None:
        """Add the file system at ``path``; its devices as the kernel names them, if it did."""
        # What the metadata carry; another than the directory's after btrfstune -m.
        uuid = attribute(f"{path}/metadata_uuid") or fsid
        self._info.add_metric((uuid, attribute(f"{path}/label") or ""), 1)
        if (reserve := attribute_int(f"{path}/allocation/global_rsv_size")) is not None:
            self._reserve.add_metric((uuid,), reserve)
        disks = _directories(f"{path}/devices")
        for group in _directories(f"{path}/allocation"):
            self._add_group(f"{path}/allocation/{group}", (uuid, group), len(disks))
        self._add_commits(f"{path}/commit_stats", (uuid,))
        if known is None:
            for disk in disks:
                if (sectors := attribute_int(f"{path}/devices/{disk}/size")) is not None:
                    self._add_device(self._device_size, uuid, sectors * 512, device=disk)
        else:
            for device in known:
                self._add_known(uuid, device)

    def _add_group(self, path: str, labels: tuple[str, str], disks: int) -> None:
        """Add a block group type: data, metadata, system, or mixed."""
        if (reserved := attribute_int(f"{path}/bytes_reserved")) is not None:
            self._reserved.add_metric(labels, reserved)
        for mode in _directories(path):
            if (used := attribute_int(f"{path}/{mode}/used_bytes")) is not None:
                self._used.add_metric((*labels, mode), used)
            if (size := attribute_int(f"{path}/{mode}/total_bytes")) is not None:
                self._size.add_metric((*labels, mode), size)
            if (ratio := _ratio(mode, disks)) is not None:
                self._ratio.add_metric((*labels, mode), ratio)

    def _add_commits(self, path: str, labels: tuple[str]) -> None:
        try:
            lines = list(fields(path))
        except OSError:  # Linux before 6.0
            return
        for parts in lines:
            if len(parts) == 2 and parts[0] in self._commits and parts[1].isdecimal():
                value = int(parts[1])
                number = value if parts[0] == "commits" else value / 1000
                self._commits[parts[0]].add_metric(labels, number)

    def _add_known(self, uuid: str, device: Device) -> None:
        labels = {"device": device.name, "btrfs_dev_uuid": device.uuid}
        self._add_device(self._device_size, uuid, device.size, **labels)
        self._add_device(self._device_unused, uuid, device.size - device.used, **labels)
        for kind, errors in zip(ERROR_TYPES, device.errors, strict=False):
            self._add_device(self._device_errors, uuid, errors, type=kind, **labels)

    def _add_device(self, family: Metric, uuid: str, value: int, **labels: str) -> None:
        family.add_sample(family.name, {"uuid": uuid, **labels}, value)


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def _ratio(mode: str, disks: int) -> float | None:
    if mode in _PARITY:
        data = disks - _PARITY[mode]
        return disks / data if data > 0 else None
    return _COPIES.get(mode)


def _gauge(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"node_btrfs_{name}", text, labels=labels)


def _counter(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily:
    return CounterMetricFamily(f"node_btrfs_{name}_total", text, labels=labels)
