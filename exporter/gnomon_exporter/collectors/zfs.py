"""ZFS' own counters, pools and datasets, from /proc/spl/kstat/zfs."""

import os
import re
from collections.abc import Iterator
from itertools import pairwise

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily, Metric, UntypedMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

#: The metrics' beginning and the kstat behind them; which exist depends on ZFS' version.
_KSTATS = {
    "abd": "abdstats",
    "arc": "arcstats",
    "dbuf": "dbufstats",
    "dmu_tx": "dmu_tx",
    "dnode": "dnodestats",
    "fm": "fm",
    "vdev_cache": "vdev_cache_stats",
    "vdev_mirror": "vdev_mirror_stats",
    "xuio": "xuio_stats",
    "zfetch": "zfetchstats",
    "zil": "zil",
}
_STATES = ("online", "degraded", "faulted", "offline", "removed", "unavail", "suspended")
#: The kinds of data (sys/kstat.h) that are whole numbers of 64 bits, signed and unsigned.
_INT64, _UINT64 = "3", "4"
_INVALID = re.compile(r"[^a-zA-Z0-9_:]")


class ZfsCollector:
    """Caches of ZFS, and each pool's I/O, state and datasets."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.proc("spl/kstat/zfs")

    def collect(self) -> Iterator[Metric]:
        """Yield what this version of ZFS counts; what is not a number is left out."""
        try:
            with os.scandir(self._path) as entries:
                pools = sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            raise NoData(f"no {self._path}: ZFS is not loaded") from None
        for subject, kstat in _KSTATS.items():
            for name, kind, value in _rows(f"{self._path}/{kstat}"):
                if kind in (_INT64, _UINT64) and (number := _number(value)) is not None:
                    text = f"ZFS' {name} in {kstat}."
                    yield UntypedMetricFamily(f"node_zfs_{subject}_{_clean(name)}", text, number)
        pages: dict[str, UntypedMetricFamily] = {}
        state = GaugeMetricFamily(
            "node_zfs_zpool_state",
            "1 for the state that the pool is in.",
            labels=("zpool", "state"),
        )
        for pool in pools:
            self._add_io(pool, pages)
            self._add_datasets(pool, pages)
            current = _text(f"{self._path}/{pool}/state").strip().lower()
            if current:
                for name in _STATES:
                    state.add_metric((pool, name), 1 if name == current else 0)
        yield from pages.values()
        yield state

    def _add_io(self, pool: str, pages: dict[str, UntypedMetricFamily]) -> None:
        """Add a pool's I/O, which only old versions of ZFS count."""
        lines = [line.split() for line in _text(f"{self._path}/{pool}/io").split("\n")]
        for names, values in pairwise(lines):
            if names[:1] == ["nread"]:
                for name, value in zip(names, values, strict=False):
                    _add(pages, "zpool", name, value, zpool=pool)

    def _add_datasets(self, pool: str, pages: dict[str, UntypedMetricFamily]) -> None:
        try:
            files = sorted(os.listdir(f"{self._path}/{pool}"))
        except OSError:  # the pool was exported meanwhile
            return
        for file in files:
            if not file.startswith("objset-"):
                continue
            dataset = ""
            for name, kind, value in _rows(f"{self._path}/{pool}/{file}"):
                if name == "dataset_name":
                    dataset = value
                elif kind == _UINT64:
                    _add(pages, "zpool_dataset", name, value, zpool=pool, dataset=dataset)


def _add(
    pages: dict[str, UntypedMetricFamily], subject: str, name: str, value: str, **labels: str
) -> None:
    if (number := _number(value)) is None:
        return
    metric = f"node_zfs_{subject}_{_clean(name)}"
    if (family := pages.get(metric)) is None:
        thing = "pool" if subject == "zpool" else "dataset"
        family = UntypedMetricFamily(metric, f"The {thing}'s {name}.", labels=tuple(labels))
        pages[metric] = family
    family.add_metric(tuple(labels.values()), number)


def _rows(path: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, kind and value of a kstat's lines, which begin below a line that says so."""
    inside = False
    for line in _text(path).split("\n"):
        parts = line.split(None, 2)
        if len(parts) < 3:
            continue
        if inside:
            yield parts[0], parts[1], parts[2].rstrip()
        else:
            inside = parts == ["name", "type", "data"]


def _text(path: str) -> str:
    """Return a file's text, none where it is absent: it comes and goes with versions and pools."""
    try:
        return read(path)
    except OSError:
        return ""


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _clean(name: str) -> str:
    return _INVALID.sub("_", name)
