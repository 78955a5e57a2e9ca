"""How much of the memory that this process may use is in use: its container's, else the host's.

From the control groups of Linux, version 1 or 2, and /proc/meminfo.
https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Files(NamedTuple):
    """What a version of control groups calls its files, and where it is mounted."""

    mount: str
    limit: str
    usage: str
    inactive: bytes


_V1 = _Files(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    b"total_inactive_file",
)
_V2 = _Files("sys/fs/cgroup", "memory.max", "memory.current", b"inactive_file")


def used_ratio(root: str = "/") -> float | None:
    """Return the share of memory in use, 0 to 1 and a little more; None if nothing tells.

    That of the fullest control group above this process whose limit is below the host's memory,
    page cache that is easily dropped left out; without such a limit, the host's memory that is
    not available. root: where /proc and /sys are.
    """
    total, available = _host(root)
    shares = [
        used / limit for used, limit in _groups(root) if limit and (not total or limit < total)
    ]
    if shares:
        return max(shares)
    if total and available is not None:
        return 1 - available / total
    return None


def _host(root: str) -> tuple[int, int | None]:
    """Return the host's memory in bytes, 0 if unknown, and how much of it is available."""
    found = dict.fromkeys((b"MemTotal:", b"MemAvailable:"), 0)
    lines = (_read(os.path.join(root, "proc/meminfo")) or b"").splitlines()
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] in found:
            found[words[0]] = int(words[1]) * 1024
    return found[b"MemTotal:"], found[b"MemAvailable:"] or None


def _groups(root: str) -> Iterator[tuple[int, int]]:
    """Yield use and limit, in bytes, of this process's groups and of all above them."""
    for line in (_read(os.path.join(root, "proc/self/cgroup")) or b"").splitlines():
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if number == b"0" and not controllers:
            files = _V2
        elif b"memory" in controllers.split(b","):
            files = _V1
        else:
            continue
        mount = os.path.join(root, files.mount)
        inside = os.fsdecode(path).strip("/")
        while True:
            # A container without a namespace of its own for groups sees the host's path, of which
            # only the root is there.
            group = os.path.join(mount, inside)
            limit, use = _number(group, files.limit), _number(group, files.usage)
            if limit is not None and use is not None and limit < 1 << 62:
                yield max(0, use - _inactive(group, files)), limit
            if not inside:
                break
            inside = os.path.dirname(inside)


def _inactive(group: str, files: _Files) -> int:
    for line in (_read(os.path.join(group, "memory.stat")) or b"").splitlines():
        name, _, value = line.partition(b" ")
        if name == files.inactive:
            return int(value)
    return 0


def _number(group: str, name: str) -> int | None:
    """Return a file's number; None if it is not there, or says ``max``."""
    text = _read(os.path.join(group, name))
    return int(text) if text is not None and text.strip().isdigit() else None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None
