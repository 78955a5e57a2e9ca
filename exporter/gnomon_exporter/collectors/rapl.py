"""Energy that CPUs and memory took, from /sys/class/powercap (Intel's and AMD's RAPL)."""

import os
import re
from collections import Counter
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, read_value

_NOT_IN_NAMES = re.compile(r"_*[^0-9A-Za-z_]+_*")


class RaplCollector:
    """Energy that packages, cores and memory take (RAPL).

    Each kind of zone is a family, such as node_rapl_package_joules_total.

    enable_zone_label: one family, node_rapl_joules_total, with the kind as label rapl_zone.
    """

    def __init__(self, paths: Paths, *, enable_zone_label: bool = False) -> None:
        self._folder = paths.sys("class/powercap")
        self._zone_label = enable_zone_label

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the energy of each zone since an unknown time; it starts anew at its range's end.

        NoData without powercap, and where only root may read it.
        """
        families: dict[str, CounterMetricFamily] = {}
        refused: PermissionError | None = None
        for index, zone, folder in self._zones():
            try:
                joules = int(read_value(f"{folder}/energy_uj")) / 1e6
            except PermissionError as error:
                refused = error
                continue
            except OSError:
                continue
            if self._zone_label:
                family = families.setdefault("", _one_family())
                family.add_metric((str(index), folder, zone), joules)
            else:
                name = _NOT_IN_NAMES.sub("_", zone)
                family = families.setdefault(name, _family_of(name))
                family.add_metric((str(index), folder), joules)
        if refused is not None and not families:
            raise NoData(str(refused))
        yield from families.values()

    def _zones(self) -> Iterator[tuple[int, str, str]]:
        """Yield index, name and folder of each zone.

        The index is the number in the name, as in "package-1"; zones that share a name without
        one, such as each package's "dram", are counted.
        """
        try:
            entries = sorted(os.listdir(self._folder))
        except (FileNotFoundError, PermissionError) as error:
            raise NoData(str(error)) from None
        used: Counter[str] = Counter()
        for entry in entries:
            folder = f"{self._folder}/{entry}"
            if name := attribute(f"{folder}/name"):
                kind, _, number = name.partition("-")
                index, zone = (int(number), kind) if number.isdecimal() else (used[name], name)
                used[zone] = index + 1
                yield index, zone, folder


def _one_family() -> CounterMetricFamily:
    return CounterMetricFamily(
        "node_rapl_joules_total",
        "Energy that the zone took, in joules.",
        labels=["index", "path", "rapl_zone"],
    )


def _family_of(name: str) -> CounterMetricFamily:
    return CounterMetricFamily(
        f"node_rapl_{name}_joules_total",
        f"Energy that zones of the kind {name} took, in joules.",
        labels=["index", "path"],
    )
