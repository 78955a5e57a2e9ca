"""The system's clock, its time zone and what drives it."""

import os
import time
from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute


class TimeCollector:
    """The clock as this process sees it, and the kernel's clock sources from /sys."""

    def __init__(self, paths: Paths) -> None:
        self._clocksources = paths.sys("devices/system/clocksource")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the time, the zone's offset, and the clock sources that can be read."""
        now = time.time()
        yield GaugeMetricFamily("node_time_seconds", "Unix time of the system's clock.", now)
        local = time.localtime(now)
        zone = GaugeMetricFamily(
            "node_time_zone_offset_seconds",
            "Seconds that local time is ahead of UTC.",
            labels=["time_zone"],
        )
        zone.add_metric((local.tm_zone,), local.tm_gmtoff)
        yield zone

        available = GaugeMetricFamily(
            "node_time_clocksource_available_info",
            "1 for a clock source that the kernel could use.",
            labels=["device", "clocksource"],
        )
        current = GaugeMetricFamily(
            "node_time_clocksource_current_info",
            "1 for the clock source that the kernel uses.",
            labels=["device", "clocksource"],
        )
        for index, folder in enumerate(self._folders()):
            device = str(index)
            for source in (attribute(f"{folder}/available_clocksource") or "").split():
                available.add_metric((device, source), 1)
            if used := attribute(f"{folder}/current_clocksource"):
                current.add_metric((device, used), 1)
        yield available
        yield current

    def _folders(self) -> list[str]:
        try:
            names = os.listdir(self._clocksources)
        except FileNotFoundError:
            return []
        return [
            f"{self._clocksources}/{name}"
            for name in sorted(names)
            if name.startswith("clocksource") and name[11:12].isdecimal()
        ]
