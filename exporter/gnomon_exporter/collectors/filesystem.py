"""Space and inodes of mounted file systems, from /proc/1/mountinfo and statvfs(2)."""

import errno
import os
from collections.abc import Callable, Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.mountinfo import Mount, MountTable
from gnomon_exporter.paths import Paths
from gnomon_exporter.patience import Patience

_MOUNT_POINTS_EXCLUDE = (
    r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
)
_FS_TYPES_EXCLUDE = (
    r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660"
    r"|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs"
    r"|tracefs)$"
)

_LABELS = ("device", "mountpoint", "fstype", "device_error")


class FilesystemCollector:
    """Size, free space and inodes of each mount, and whether it is read-only or fails.

    A mount that does not answer within ``mount_timeout`` seconds is reported with
    ``device_error="mountpoint timeout"`` and left alone until it does; the others are not
    affected.

    mount_points_exclude, mount_points_include: regular expressions on the mount point; an
    include replaces the default exclude.
    fs_types_exclude, fs_types_include: the same on the type of file system.
    mount_timeout: seconds that one run waits, all mounts together.
    """

    def __init__(
        self,
        paths: Paths,
        statvfs: Callable[[bytes], os.statvfs_result] = os.statvfs,
        *,
        mount_points_exclude: str = _MOUNT_POINTS_EXCLUDE,
        mount_points_include: str = "",
        fs_types_exclude: str = _FS_TYPES_EXCLUDE,
        fs_types_include: str = "",
        mount_timeout: float = 5.0,
    ) -> None:
        if not mount_timeout > 0:
            raise ValueError(f"mount_timeout: must be more than 0 seconds, not {mount_timeout}")
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
        self._table = MountTable(paths)
        self._timeout = mount_timeout
        self._statvfs = Patience(statvfs)
        self._all: tuple[Mount, ...] = ()
        self._chosen: tuple[Mount, ...] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one sample of each family per mount; a failing mount only says that it fails."""
        mounts = self._mounts()
        answers = self._statvfs.answers((mount.path for mount in mounts), self._timeout)
        size = _gauge("size_bytes", "Size of the file system in bytes.")
        free = _gauge("free_bytes", "Free space in bytes, what is reserved for root included.")
        avail = _gauge("avail_bytes", "Space in bytes that users other than root can still fill.")
        files = _gauge("files", "Inodes in all.")
        files_free = _gauge("files_free", "Free inodes.")
        purgeable = _gauge(
            "purgeable_bytes", "Bytes that macOS would free when needed; always 0 on Linux."
        )
        readonly = _gauge("readonly", "1 if mounted read-only or stopped after an error, else 0.")
        failed = _gauge("device_error", "1 if the mount could not be asked, else 0.")
        info = GaugeMetricFamily(
            "node_filesystem_mount_info",
            "Device numbers of the mount, always 1.",
            labels=("device", "major", "minor", "mountpoint"),
        )
        seen = set()
        for mount in mounts:
            answer = answers.get(mount.path)
            error = "" if isinstance(answer, os.statvfs_result) else _reason(answer)
            labels = (mount.device, mount.point, mount.fstype, error)
            # The same device may be mounted twice at the same place, one mount over the other.
            if labels in seen:
                continue
            seen.add(labels)
            failed.add_metric(labels, 1 if error else 0)
            readonly.add_metric(labels, 1 if mount.readonly else 0)
            if not isinstance(answer, os.statvfs_result):
                continue
            # POSIX counts blocks in fragments; f_bsize is only the preferred size of transfers.
            unit = answer.f_frsize
            size.add_metric(labels, answer.f_blocks * unit)
            free.add_metric(labels, answer.f_bfree * unit)
            avail.add_metric(labels, answer.f_bavail * unit)
            files.add_metric(labels, answer.f_files)
            files_free.add_metric(labels, answer.f_ffree)
            purgeable.add_metric(labels, 0)
            info.add_metric((mount.device, mount.major, mount.minor, mount.point), 1)
        yield from (avail, failed, files, files_free, free, info, purgeable, readonly, size)

    def _mounts(self) -> tuple[Mount, ...]:
        """Return the mounts to report, filtered anew only when the table has changed."""
        mounts = self._table.mounts()
        if mounts is not self._all:
            self._chosen = tuple(
                mount
                for mount in mounts
                if self._types.keeps(mount.fstype) and self._points.keeps(mount.point)
            )
            self._all = mounts
        return self._chosen


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"node_filesystem_{name}", documentation, labels=_LABELS)


def _reason(answer: Exception | None) -> str:
    """Return the device_error label, in node_exporter's words."""
    if answer is None:
        return "mountpoint timeout"
    if not isinstance(answer, OSError) or answer.errno is None:
        return str(answer)
    if answer.errno == errno.ESTALE:
        return "stale NFS file handle"
    text = os.strerror(answer.errno)
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
