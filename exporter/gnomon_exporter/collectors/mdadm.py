"""Software RAID, from /proc/mdstat and /sys/block/md*/md."""

import os
import re
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, read

_MEMBERS = re.compile(r"\[(\d+)/(\d+)\] \[[U_]+\]")
_PROGRESS = re.compile(r"\((\d+)/\d+\)")

#: What goes on in the background, as mdstat words it, and node_exporter's state for it; a
#: reshape has none, but the array is in no other state meanwhile.
_ACTIONS = {"recovery": "recovering", "reshape": "", "check": "check", "resync": "resync"}
_STATES = ("active", "inactive", "recovering", "resync", "check")

#: Levels that can lose a disk; the others have no attribute that counts missing ones.
_REDUNDANT = ("raid1", "raid4", "raid5", "raid6", "raid10")
#: An external container has no disks of its own: its member arrays have.
_CONTAINERS = ("", "container", "imsm", "ddf")


class MdadmCollector:
    """State, disks and progress of each software RAID."""

    def __init__(self, paths: Paths) -> None:
        self._mdstat = paths.proc("mdstat")
        self._block = paths.sys("block")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the arrays; what an array's lines do not tell is left out."""
        try:
            text = read(self._mdstat)
        except FileNotFoundError:
            raise NoData(f"no {self._mdstat}: the kernel has no md driver loaded") from None
        page = _Page()
        for lines in _arrays(text):
            page.add(lines)
        yield from page.families()
        yield from self._disks()

    def _disks(self) -> Iterator[GaugeMetricFamily]:
        disks = _gauge("raid_disks", "Disks of the array when it is complete.")
        degraded = _gauge("degraded", "Disks that the array lacks.")
        try:
            devices = sorted(name for name in os.listdir(self._block) if name.startswith("md"))
        except FileNotFoundError:
            devices = []
        for device in devices:
            path = f"{self._block}/{device}/md"
            if (level := attribute(f"{path}/level")) is None:
                continue
            # While it is reshaped: "4 (3)", the number to come and the one before.
            number = (attribute(f"{path}/raid_disks") or "").partition(" ")[0]
            if level not in _CONTAINERS and number.isdecimal():
                disks.add_metric((device,), int(number))
            missing = attribute(f"{path}/degraded") if level in _REDUNDANT else "0"
            if missing is not None and missing.isdecimal():
                degraded.add_metric((device,), int(missing))
        yield from (disks, degraded)


class _Page:
    """The families of mdstat, filled one array after the other."""

    def __init__(self) -> None:
        self._required = _gauge("disks_required", "Disks that the array needs.")
        self._disks = _gauge("disks", "Disks of the array by their state.", "state")
        self._state = _gauge("state", "1 for the state that the array is in.", "state")
        self._blocks = _gauge("blocks", "Size of the array in blocks of 1 KiB.")
        self._synced = _gauge("blocks_synced", "Blocks in sync.")

    def families(self) -> Iterator[GaugeMetricFamily]:
        yield from (self._required, self._disks, self._state, self._blocks, self._synced)

    def add(self, lines: list[str]) -> None:
        """Add an array, given its line and the indented ones below it."""
        head, *rest = lines
        device, _, state, *_ = head.split()
        status = rest[0] if rest else ""
        if (members := _members(head, status)) is not None:
            active, required = members
            self._required.add_metric((device,), required)
            self._disks.add_metric((device, "active"), active)
        self._disks.add_metric((device, "failed"), head.count("(F)"))
        self._disks.add_metric((device, "spare"), head.count("(S)"))
        size = status.lstrip().partition(" ")[0]
        blocks = synced = int(size) if size.isdecimal() else None
        if (background := _background(rest[1:])) is not None:
            action, synced = background
            state = _ACTIONS[action]
        for name in _STATES:
            self._state.add_metric((device, name), 1 if name == state else 0)
        if blocks is not None:
            self._blocks.add_metric((device,), blocks)
        if synced is not None:
            self._synced.add_metric((device,), synced)


def _arrays(text: str) -> list[list[str]]:
    """Return each array's line with the indented ones that belong to it."""
    arrays: list[list[str]] = []
    inside = False
    for line in text.split("\n"):
        if line[:1] in (" ", "\t"):
            if inside:
                arrays[-1].append(line)
            continue
        words = line.split()
        inside = len(words) > 2 and words[1] == ":" and words[0] != "Personalities"
        if inside:
            arrays.append([line])
    return arrays


def _members(head: str, status: str) -> tuple[int, int] | None:
    """Return how many disks are active and how many are required, None if that is not told."""
    words = head.split()
    if "raid0" in words or "linear" in words:
        # Without redundancy all of them are needed, or the array would not be there.
        disks = head.count("[")
        return disks, disks
    if words[2] == "inactive":
        return 0, 0
    match = _MEMBERS.search(status)
    return (int(match[2]), int(match[1])) if match else None


def _background(lines: list[str]) -> tuple[str, int | None] | None:
    """Return what goes on in the background and the blocks it has done, None if nothing does."""
    for line in lines:
        for action in _ACTIONS:
            if action not in line:
                continue
            if "PENDING" in line or "DELAYED" in line:
                return action, 0
            progress = _PROGRESS.search(line)
            return action, int(progress[1]) if progress else None
    return None


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"node_md_{name}", text, labels=("device", *labels))
