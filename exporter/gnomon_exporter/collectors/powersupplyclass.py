"""Batteries, mains and chargers, from /sys/class/power_supply."""

import os
from collections.abc import Iterator, Mapping

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.filters import compiled
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read_value

#: What node_exporter spells otherwise than the kernel's attribute.
_RENAMED = {
    "charge_now": "charge_ampere",  # ampere hours, as the kernel counts charge
    "current_now": "current_ampere",
    "cycle_count": "cyclecount",
    "energy_now": "energy_watthour",
    "power_now": "power_watt",
    "time_to_empty_now": "time_to_empty_seconds",
    "time_to_full_now": "time_to_full_seconds",
    "voltage_now": "voltage_volt",
}

#: Attribute and the kernel's units in one of ours (Documentation/ABI/testing/sysfs-class-power):
#: plain numbers, millionths of volts, amperes and watts, and tenths of degrees Celsius.
_UNITS: Mapping[str, float] = {
    **dict.fromkeys(
        (
            "authentic",
            "calibrate",
            "capacity",
            "capacity_alert_max",
            "capacity_alert_min",
            "cycle_count",
            "online",
            "present",
            "time_to_empty_now",
            "time_to_full_now",
        ),
        1,
    ),
    **dict.fromkeys(
        (
            "charge_control_limit",
            "charge_control_limit_max",
            "charge_counter",
            "charge_empty",
            "charge_empty_design",
            "charge_full",
            "charge_full_design",
            "charge_now",
            "charge_term_current",
            "constant_charge_current",
            "constant_charge_current_max",
            "constant_charge_voltage",
            "constant_charge_voltage_max",
            "current_boot",
            "current_max",
            "current_now",
            "energy_empty",
            "energy_empty_design",
            "energy_full",
            "energy_full_design",
            "energy_now",
            "input_current_limit",
            "power_now",
            "precharge_current",
            "voltage_boot",
            "voltage_max",
            "voltage_max_design",
            "voltage_min",
            "voltage_min_design",
            "voltage_now",
            "voltage_ocv",
        ),
        1e6,
    ),
    **dict.fromkeys(
        (
            "temp",
            "temp_alert_max",
            "temp_alert_min",
            "temp_ambient",
            "temp_ambient_max",
            "temp_ambient_min",
            "temp_max",
            "temp_min",
        ),
        10,
    ),
}

_TEXTS = (
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
)


class PowersupplyclassCollector:
    """Mains and batteries.

    ignored_supplies: regular expression of the power supplies to leave out.
    """

    def __init__(self, paths: Paths, *, ignored_supplies: str = "^$") -> None:
        self._folder = paths.sys("class/power_supply")
        self._ignored = compiled("ignored_supplies", ignored_supplies)

    def collect(self) -> Iterator[Metric]:
        """Yield what each supply's driver offers. NoData without the class in this kernel."""
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            raise NoData(f"there is no {self._folder}") from None
        supplies = {
            name: _attributes(f"{self._folder}/{name}")
            for name in names
            if not self._ignored.search(name)
        }
        if not supplies:
            return
        for attribute, units in _UNITS.items():
            name = _RENAMED.get(attribute, attribute)
            if name.startswith("temp"):
                name += "_celsius"
            family = GaugeMetricFamily(
                f"node_power_supply_{name}",
                f"Attribute {attribute} of the power supply, in base units.",
                labels=["power_supply"],
            )
            for supply, attributes in supplies.items():
                value = attributes.get(attribute, "")
                if value.removeprefix("-").isdecimal():
                    family.add_metric((supply,), int(value) / units)
            if family.samples:
                yield family
        info = GaugeMetricFamily(
            "node_power_supply_info", "1, with the power supply's texts as labels."
        )
        for supply, attributes in supplies.items():
            texts = {text: attributes[text] for text in _TEXTS if attributes.get(text)}
            # Only texts that are there are labels, so each supply may have others.
            info.add_sample(info.name, {"power_supply": supply, **texts}, 1)
        yield info


def _attributes(folder: str) -> Mapping[str, str]:
    """Return a supply's known attributes; one that its driver cannot read now is left out."""
    attributes = {}
    for name in os.listdir(folder):
        if name in _UNITS or name in _TEXTS:
            try:
                attributes[name] = read_value(f"{folder}/{name}")
            except OSError:
                continue
    return attributes
