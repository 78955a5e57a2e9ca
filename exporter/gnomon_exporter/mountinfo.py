"""The host's mounts, from /proc/1/mountinfo."""

import os
import re
from dataclasses import dataclass

from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read_bytes

_OCTAL = re.compile(rb"\\([0-7]{3})")
_NOT_UTF8 = re.compile("[\udc80-\udcff]+")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo.

    device: the source as the kernel writes it, a blank as its octal escape.
    point: the mount point as the host names it, each run of bytes that are no UTF-8 as U+FFFD.
    path: where it lies from here, byte for byte.
    readonly: by the mount's options or the file system's.
    """

    device: str
    point: str
    path: bytes
    fstype: str
    major: str
    minor: str
    readonly: bool


class MountTable:
    """Reads the mounts; parses them only when they have changed, which is rare."""

    def __init__(self, paths: Paths) -> None:
        # Ours is not the host's table in a container or under a hardened unit; 1's is.
        self._files = (paths.proc("1/mountinfo"), paths.proc("self/mountinfo"))
        self._rootfs = b"" if paths.rootfs == "/" else os.fsencode(paths.rootfs.rstrip("/"))
        self._raw = b""
        self._mounts: tuple[Mount, ...] = ()

    def mounts(self) -> tuple[Mount, ...]:
        """Return all mounts in the kernel's order: the same object while nothing changes.

        Raises OSError when neither process 1's table nor our own can be read.
        """
        raw = self._read()
        if raw != self._raw:
            found = (self._parse(line) for line in raw.split(b"\n"))
            self._mounts = tuple(mount for mount in found if mount is not None)
            self._raw = raw
        return self._mounts

    def _read(self) -> bytes:
        first, second = self._files
        try:
            return read_bytes(first)
        except (FileNotFoundError, PermissionError):  # /proc is mounted with hidepid
            return read_bytes(second)

    def _parse(self, line: bytes) -> Mount | None:
        """Return the mount, None for a line that is not in the format of proc(5)."""
        # 36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        mount, _, filesystem = line.partition(b" - ")
        left, right = mount.split(b" "), filesystem.split(b" ")
        if len(left) < 6 or len(right) < 3:
            return None
        major, _, minor = left[2].partition(b":")
        if not (major.isdigit() and minor.isdigit()):
            return None
        point = _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), left[4])
        if self._rootfs and (point + b"/").startswith(self._rootfs + b"/"):
            point = point[len(self._rootfs) :] or b"/"
        superblock = right[2].split(b",")
        return Mount(
            device=_text(right[1]),
            point=_text(point),
            path=self._rootfs + point,
            fstype=_text(right[0]),
            major=major.decode(),
            minor=minor.decode(),
            # A file system that the kernel stopped after an error says so in its own options.
            readonly=b"ro" in left[5].split(b",")
            or b"ro" in superblock
            or b"emergency_ro" in superblock,
        )


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _NOT_UTF8.sub("\ufffd", raw.decode("utf-8", "surrogateescape"))
