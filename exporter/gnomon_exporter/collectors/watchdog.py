"""Hardware watchdogs, from /sys/class/watchdog."""

import os
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int

#: Attribute, name and HELP text (Documentation/ABI/testing/sysfs-class-watchdog).
_NUMBERS = (
    ("bootstatus", "bootstatus", "Why the last boot happened, WDIOF_* bits."),
    ("fw_version", "fw_version", "Version of the watchdog's firmware."),
    ("nowayout", "nowayout", "1 if the watchdog cannot be stopped once it runs."),
    ("timeleft", "timeleft_seconds", "Time left until the watchdog resets the machine."),
    ("timeout", "timeout_seconds", "Time without a sign of life after which it resets."),
    ("pretimeout", "pretimeout_seconds", "How long before the reset it raises an alarm."),
    ("access_cs0", "access_cs0", "1 if the machine was started from its backup firmware."),
)
_TEXTS = ("options", "identity", "state", "status", "pretimeout_governor")


class WatchdogCollector:
    """Hardware watchdogs and their timeouts."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.sys("class/watchdog")

    def collect(self) -> Iterator[Metric]:
        """Yield what each watchdog's driver offers. NoData without the class in this kernel."""
        try:
            names = sorted(os.listdir(self._folder))
        except (FileNotFoundError, PermissionError):
            raise NoData(f"there is no {self._folder} to be read") from None
        for file, name, documentation in _NUMBERS:
            family = GaugeMetricFamily(f"node_watchdog_{name}", documentation, labels=["name"])
            for watchdog in names:
                value = attribute_int(f"{self._folder}/{watchdog}/{file}")
                if value is not None:
                    family.add_metric((watchdog,), value)
            yield family
        info = GaugeMetricFamily(
            "node_watchdog_info",
            "1, with the watchdog's texts as labels.",
            labels=["name", *_TEXTS],
        )
        for watchdog in names:
            texts = [attribute(f"{self._folder}/{watchdog}/{text}") or "" for text in _TEXTS]
            info.add_metric([watchdog, *texts], 1)
        yield info
