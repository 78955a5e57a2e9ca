"""Memory errors that the controllers found, from /sys/devices/system/edac/mc."""

import os
from collections.abc import Iterator

from gnomon_exporter.families import CounterMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int


class EdacCollector:
    """Memory errors that the hardware corrected or could not, by controller and row."""

    def __init__(self, paths: Paths) -> None:
        self._controllers = paths.sys("devices/system/edac/mc")

    def collect(self) -> Iterator[Metric]:
        """Yield the errors since the driver was loaded; a machine without ECC has no series."""
        families = _Families()
        for controller, folder in _numbered(self._controllers, "mc"):
            families.count("", folder, "{}_count", [controller])
            # Errors whose row the controller cannot tell.
            families.count("csrow_", folder, "{}_noinfo_count", [controller, "unknown"])
            for row, row_folder in _numbered(folder, "csrow"):
                families.count("csrow_", row_folder, "{}_count", [controller, row])
                for channel in _channels(row_folder):
                    labels = [controller, row, channel, _dimm(row_folder, channel)]
                    families.count("channel_", row_folder, f"ch{channel}_{{}}_count", labels)
        yield from families.by_name.values()


class _Families:
    """One family for each place and kind of error, filled as the folders are walked."""

    def __init__(self) -> None:
        self.by_name = {
            place + kind: CounterMetricFamily(
                f"node_edac_{place}{word}_errors_total",
                f"{word.capitalize()} memory errors {where}.",
                labels=labels,
            )
            for place, where, labels in (
                ("", "of the controller", ["controller"]),
                ("csrow_", "in the row of chips", ["controller", "csrow"]),
                ("channel_", "on the channel", ["controller", "csrow", "channel", "dimm_label"]),
            )
            for kind, word in (("ce", "correctable"), ("ue", "uncorrectable"))
        }

    def count(self, place: str, folder: str, file: str, labels: list[str]) -> None:
        """Add what ``file`` counts, whose name has "ce" or "ue" for the braces."""
        for kind in ("ce", "ue"):
            if (count := attribute_int(f"{folder}/{file.format(kind)}")) is not None:
                self.by_name[place + kind].add_metric(labels, count)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _numbered(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield number and path of each entry that is ``prefix`` and a number."""
    for name in _names(folder):
        number = name.removeprefix(prefix)
        if number != name and number.isdecimal():
            yield number, f"{folder}/{name}"


def _channels(row: str) -> Iterator[str]:
    """Yield the numbers of a row's channels, of which each has a file ch<number>_ce_count."""
    for name in _names(row):
        channel = name.removeprefix("ch").removesuffix("_ce_count")
        if channel.isdecimal() and name == f"ch{channel}_ce_count":
            yield channel


def _dimm(row: str, channel: str) -> str:
    """Return a memory module's label as node_exporter writes it: mc#0csrow#1 is mc0_csrow1."""
    label = attribute(f"{row}/ch{channel}_dimm_label")
    if label is None:
        return "unknown"
    return label.replace("#", "").replace("csrow", "_csrow").replace("channel", "_channel")
