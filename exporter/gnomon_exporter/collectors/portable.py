"""The host where it is not Linux: what psutil knows, under the names of Linux' collectors.

Each class stands in for the Linux collector of the same name and takes the same settings. What
a system does not tell has no series. psutil is imported nowhere else.
"""

import os
import sys
from collections.abc import Iterator

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.paths import Paths
from gnomon_exporter.patience import Patience

try:
    import psutil
except ImportError as error:
    raise RuntimeError(
        "psutil is missing, which reads this system: install gnomon again with its extra "
        "'exporter', in its source folder by: pip install '.[exporter]'"
    ) from error

#: psutil's fields of the CPU times that are modes of node_cpu_seconds_total.
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

#: psutil's field, name and HELP text of memory's families.
_MEMORY = (
    ("total", "MemTotal", "Usable memory, in bytes."),
    ("free", "MemFree", "Memory that nothing uses, in bytes."),
    ("available", "MemAvailable", "What new programs can use without swapping, in bytes."),
    ("active", "Active", "Memory used recently, in bytes."),
    ("inactive", "Inactive", "Memory not used recently, in bytes."),
    ("buffers", "Buffers", "Cache of raw block devices, in bytes."),
)
_SWAP = (
    ("total", "SwapTotal", "Swap space, in bytes."),
    ("free", "SwapFree", "Swap space that nothing uses, in bytes."),
)

#: psutil's field, its units in one of ours, name and HELP text of the disks' counters.
_DISKS = (
    ("read_count", 1, "reads_completed", "Reads completed."),
    ("read_bytes", 1, "read_bytes", "Bytes read."),
    ("read_time", 1000, "read_time_seconds", "Seconds that all reads took together."),
    ("write_count", 1, "writes_completed", "Writes completed."),
    ("write_bytes", 1, "written_bytes", "Bytes written."),
    ("write_time", 1000, "write_time_seconds", "Seconds that all writes took together."),
    (
        "busy_time",
        1000,
        "io_time_seconds",
        "Seconds during which at least one request was in flight.",
    ),
)

#: psutil's field, name and HELP text of the network devices' counters.
_NETWORK = (
    ("bytes_recv", "receive_bytes", "Bytes received."),
    ("packets_recv", "receive_packets", "Packets received."),
    ("errin", "receive_errs", "Packets received with errors."),
    ("dropin", "receive_drop", "Packets received and dropped."),
    ("bytes_sent", "transmit_bytes", "Bytes sent."),
    ("packets_sent", "transmit_packets", "Packets sent."),
    ("errout", "transmit_errs", "Packets not sent because of errors."),
    ("dropout", "transmit_drop", "Packets dropped before they were sent."),
)
#: The systems of which psutil's manual says that this field is always 0 there.
_NO_DROPOUT = ("darwin", "freebsd", "netbsd", "openbsd")

_MOUNT_POINTS_EXCLUDE = r"^/(dev|proc|sys)($|/)"
_FS_TYPES_EXCLUDE = r"^(autofs|devfs|devpts|fdescfs|linprocfs|linsysfs|mqueue|procfs?|sysfs)$"


class BoottimeCollector:
    """When the system booted; on Linux the stat collector says so."""

    def __init__(self, _paths: Paths) -> None:
        pass

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the time."""
        yield GaugeMetricFamily(
            "node_boot_time_seconds", "Unix time at which the system booted.", psutil.boot_time()
        )


class CpuCollector:
    """Time that each CPU spent in each mode that the system tells apart."""

    def __init__(self, _paths: Paths) -> None:
        pass

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield one series for each CPU and mode."""
        seconds = CounterMetricFamily(
            "node_cpu_seconds_total",
            "Time that the CPU spent in each mode.",
            labels=["cpu", "mode"],
        )
        for cpu, times in enumerate(psutil.cpu_times(percpu=True)):
            for mode in _MODES:
                if (value := getattr(times, mode, None)) is not None:
                    seconds.add_metric((str(cpu), mode), value)
        yield seconds


class DiskstatsCollector:
    """Requests, bytes and times of each disk.

    device_exclude, device_include: regular expressions on the device's name.
    """

    def __init__(
        self, _paths: Paths, *, device_exclude: str = "", device_include: str = ""
    ) -> None:
        self._devices = NameFilter("device", exclude=device_exclude, include=device_include)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters that the system keeps; a machine without disks has no series."""
        # nowrap: a counter that starts anew must be seen to, for Prometheus counts on from there.
        disks = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        for field, units, name, documentation in _DISKS:
            family = CounterMetricFamily(
                f"node_disk_{name}_total", documentation, labels=["device"]
            )
            for device, counters in disks.items():
                value = getattr(counters, field, None)
                if value is not None and self._devices.keeps(device):
                    family.add_metric((device,), value / units)
            yield family


class FilesystemCollector:
    """Size, free space and inodes of each mount, and whether it is read-only or fails.

    mount_points_exclude, mount_points_include: regular expressions on the mount point.
    fs_types_exclude, fs_types_include: the same on the type of file system.
    mount_timeout: seconds that one run waits, all mounts together.
    """

    def __init__(
        self,
        _paths: Paths,
        *,
        mount_points_exclude: str = _MOUNT_POINTS_EXCLUDE,
        mount_points_include: str = "",
        fs_types_exclude: str = _FS_TYPES_EXCLUDE,
        fs_types_include: str = "",
        mount_timeout: float = 5.0,
    ) -> None:
        self._points = NameFilter(
            "mount_points",
            exclude=mount_points_exclude,
            include=mount_points_include,
            default=_MOUNT_POINTS_EXCLUDE,
        )
        self._types = NameFilter(
            "fs_types",
            exclude=fs_types_exclude,
            include=fs_types_include,
            default=_FS_TYPES_EXCLUDE,
        )
        self._timeout = mount_timeout
        self._statvfs = Patience[str, os.statvfs_result](os.statvfs)

    def collect(self) -> Iterator[Metric]:
        """Yield one sample of each family for each mount; a failing one says only that."""
        mounts = {
            (mount.device, mount.mountpoint, mount.fstype): "ro" in mount.opts.split(",")
            for mount in psutil.disk_partitions(all=True)
            if self._points.keeps(mount.mountpoint) and self._types.keeps(mount.fstype)
        }
        answers = self._statvfs.answers((point for _, point, _ in mounts), self._timeout)
        size = _gauge("size_bytes", "Size of the file system in bytes.")
        free = _gauge("free_bytes", "Free space in bytes, what is reserved for root included.")
        avail = _gauge("avail_bytes", "Space in bytes that users other than root can still fill.")
        files = _gauge("files", "Inodes in all.")
        files_free = _gauge("files_free", "Free inodes.")
        readonly = _gauge("readonly", "1 if mounted read-only, else 0.")
        failed = _gauge("device_error", "1 if the mount could not be asked, else 0.")
        for (device, point, fstype), is_readonly in mounts.items():
            answer = answers.get(point)
            error = "" if isinstance(answer, os.statvfs_result) else _reason(answer)
            labels = (device, point, fstype, error)
            failed.add_metric(labels, 1 if error else 0)
            readonly.add_metric(labels, int(is_readonly))
            if isinstance(answer, os.statvfs_result):
                size.add_metric(labels, answer.f_blocks * answer.f_frsize)
                free.add_metric(labels, answer.f_bfree * answer.f_frsize)
                avail.add_metric(labels, answer.f_bavail * answer.f_frsize)
                files.add_metric(labels, answer.f_files)
                files_free.add_metric(labels, answer.f_ffree)
        yield from (avail, failed, files, files_free, free, readonly, size)


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        f"node_filesystem_{name}",
        documentation,
        labels=["device", "mountpoint", "fstype", "device_error"],
    )


def _reason(answer: Exception | None) -> str:
    if answer is None:
        return "mountpoint timeout"
    return (isinstance(answer, OSError) and answer.strerror) or str(answer)


class LoadavgCollector:
    """Runnable tasks, averaged over 1, 5 and 15 minutes."""

    def __init__(self, _paths: Paths) -> None:
        pass

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one gauge for each of the three averages."""
        for minutes, load in zip((1, 5, 15), psutil.getloadavg(), strict=True):
            yield GaugeMetricFamily(
                f"node_load{minutes}", f"Load average over {minutes} min.", load
            )


class MeminfoCollector:
    """What of Linux' account of memory exists elsewhere with the same meaning."""

    def __init__(self, _paths: Paths) -> None:
        pass

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield memory, then swap."""
        for table, amounts in ((_MEMORY, psutil.virtual_memory()), (_SWAP, psutil.swap_memory())):
            for field, name, documentation in table:
                if (amount := getattr(amounts, field, None)) is not None:
                    yield GaugeMetricFamily(f"node_memory_{name}_bytes", documentation, amount)


class NetdevCollector:
    """Bytes, packets and errors of each network device, in both directions.

    device_include, device_exclude: regular expressions on the device's name.
    """

    def __init__(
        self, _paths: Paths, *, device_include: str = "", device_exclude: str = ""
    ) -> None:
        self._devices = NameFilter("device", include=device_include, exclude=device_exclude)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield one counter for each direction and kind."""
        devices = psutil.net_io_counters(pernic=True, nowrap=False)
        for field, name, documentation in _NETWORK:
            if field == "dropout" and sys.platform.startswith(_NO_DROPOUT):
                continue
            family = CounterMetricFamily(
                f"node_network_{name}_total", documentation, labels=["device"]
            )
            for device, counters in devices.items():
                if self._devices.keeps(device):
                    family.add_metric((device,), getattr(counters, field))
            yield family
