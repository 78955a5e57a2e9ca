"""Temperatures of thermal zones and the cooling against them, from /sys/class/thermal."""

import os
from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int


class ThermalZoneCollector:
    """Temperatures of the thermal zones and states of the cooling devices."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.sys("class/thermal")

    def collect(self) -> Iterator[Metric]:
        """Yield zones and cooling devices; a sensor that does not answer has no series."""
        temperature = GaugeMetricFamily(
            "node_thermal_zone_temp",
            "Temperature of the zone, in degrees Celsius.",
            labels=["zone", "type"],
        )
        current = GaugeMetricFamily(
            "node_cooling_device_cur_state",
            "How hard the device cools now; -1 if it cannot tell.",
            labels=["name", "type"],
        )
        maximum = GaugeMetricFamily(
            "node_cooling_device_max_state",
            "How hard the device can cool.",
            labels=["name", "type"],
        )
        for prefix, measures in (
            ("thermal_zone", ((temperature, "temp", 1000),)),
            ("cooling_device", ((current, "cur_state", 1), (maximum, "max_state", 1))),
        ):
            for number, folder in self._numbered(prefix):
                kind = attribute(f"{folder}/type") or ""
                for family, file, unit in measures:
                    if (value := attribute_int(f"{folder}/{file}")) is not None:
                        family.add_metric((number, kind), value / unit)
        yield from (temperature, current, maximum)

    def _numbered(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield number and folder of each ``prefix`` that is followed by a number."""
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return
        for name in names:
            number = name.removeprefix(prefix)
            if number != name and number.isdecimal():
                yield number, f"{self._folder}/{name}"
