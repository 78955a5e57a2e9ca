"""Hardware sensors, from /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst)."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gnomon_exporter.collector import NoData
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.gathered import Family, Gathered
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, read, read_value

_INVALID = re.compile(r"[^a-z0-9:_]")
_ATTRIBUTE = re.compile(r"([^0-9]+)([0-9]*)(?:_(.+))?")

#: What a name must begin with to be a sensor's.
_TYPES = frozenset(
    (
        *("beep_enable", "cpu", "curr", "energy", "fan", "freq", "humidity", "in", "intrusion"),
        *("power", "pwm", "temp", "update_interval", "vrm"),
    )
)
#: The three attributes that say all by themselves: metric, divisor and meaning.
_WHOLE = {
    "beep_enable": ("beep_enabled", 1, "1 if the chip's beeping is enabled."),
    "vrm": ("voltage_regulator_version", 1, "Version of the voltage regulator's standard."),
    "update_interval": ("update_interval_seconds", 1000, "Seconds between two readings."),
}
#: What the kernel's number is to be divided by, and the unit that it has then.
_UNITS = {
    "in": (1000, "_volts"),
    "cpu": (1000, "_volts"),
    "temp": (1000, "_celsius"),
    "curr": (1000, "_amps"),
    "power": (1_000_000, "_watt"),
    "energy": (1_000_000, "_joule_total"),
    "humidity": (1_000_000, ""),
}


@dataclass(frozen=True, slots=True)
class _Chip:
    """A chip's directory and its names: by its device, and by its driver."""

    path: str
    name: str
    driver: str


class HwmonCollector:
    """Temperatures, fans, voltages, currents, power and alarms of each chip.

    chip_include, chip_exclude: regular expressions on the chip's name.
    sensor_include, sensor_exclude: the same on chip and sensor, joined by a semicolon:
    ``platform_coretemp_0;temp1``.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        chip_include: str = "",
        chip_exclude: str = "",
        sensor_include: str = "",
        sensor_exclude: str = "",
    ) -> None:
        self._path = paths.sys("class/hwmon")
        self._chips = NameFilter("chip", exclude=chip_exclude, include=chip_include)
        self._sensors = NameFilter("sensor", exclude=sensor_exclude, include=sensor_include)

    def collect(self) -> Iterator[Family]:
        """Yield the sensors; those that give no number are left out."""
        page = Gathered("node_hwmon_")
        for name, chip in _named(self._found()):
            if not self._chips.keeps(name):
                continue
            if driver := _clean(chip.driver):
                page.add(
                    "chip_names", "The chip's driver, always 1.", 1, chip=name, chip_name=driver
                )
            for sensor, values in _read_sensors(chip.path).items():
                if self._sensors.keeps(f"{name};{sensor}"):
                    _add_sensor(page, name, sensor, values)
        yield from page.families()

    def _found(self) -> list[_Chip]:
        try:
            entries = sorted(os.listdir(self._path))
        except FileNotFoundError:
            raise NoData(f"no {self._path}: the kernel knows no sensors") from None
        chips = []
        for entry in entries:
            path = f"{self._path}/{entry}"
            if os.path.isdir(path):
                driver = attribute(f"{path}/name") or ""
                if name := _device_name(path) or _clean(driver) or _base_name(path):
                    chips.append(_Chip(path, name, driver))
        return chips


def _named(chips: list[_Chip]) -> Iterator[tuple[str, _Chip]]:
    """Yield each chip under a name of its own: several may belong to one device."""
    devices = Counter(chip.name for chip in chips)
    drivers = Counter((chip.name, chip.driver) for chip in chips)
    for chip in chips:
        name = chip.name
        if devices[name] > 1:
            driver = _clean(chip.driver)
            if not driver or drivers[name, chip.driver] > 1:
                driver = _clean(os.path.basename(chip.path))
            name = f"{name}_{driver}"
        yield name, chip


def _device_name(path: str) -> str:
    """Return the chip's name after its place among the devices, which survives a reboot."""
    try:
        device = os.path.realpath(f"{path}/device", strict=True)
    except OSError:
        return ""
    parent, name = os.path.split(device)
    return "_".join(filter(None, (_clean(os.path.basename(parent)), _clean(name))))


def _base_name(path: str) -> str:
    return _clean(os.path.basename(os.path.realpath(path)))


def _read_sensors(path: str) -> dict[str, dict[str, str]]:
    """Return the attributes of each sensor by their property, "" for that of the sensor's name."""
    sensors: dict[str, dict[str, str]] = {}
    # Old drivers have them beside the device, not beside the chip.
    for folder in (path, f"{path}/device"):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if (parts := _parts(name)) is None:
                continue
            sensor, prop = parts
            try:
                # A label may end in a blank that belongs to it.
                file = f"{folder}/{name}"
                value = read(file).strip("\n") if prop == "label" else read_value(file)
            except OSError:  # what a driver does not support, it often refuses only when read
                continue
            sensors.setdefault(sensor, {})[prop] = value
    return sensors


@lru_cache(maxsize=4096)
def _parts(name: str) -> tuple[str, str] | None:
    """Return the sensor and property of a file such as temp1_input, None for other files."""
    match = _ATTRIBUTE.fullmatch(name)
    if match is None or match[1] not in _TYPES:
        return None
    return f"{match[1]}{int(match[2] or 0)}", match[3] or ""


@lru_cache(maxsize=4096)
def _clean(name: str) -> str:
    return _INVALID.sub("_", name.lower()).strip("_")


def _add_sensor(page: Gathered, chip: str, sensor: str, values: dict[str, str]) -> None:
    kind = sensor.rstrip("0123456789")
    label = values.get("label")
    if label is not None:
        text = "What the sensor is called, always 1."
        page.add("sensor_label", text, 1, chip=chip, sensor=sensor, label=label)
    if kind in _WHOLE:
        name, divisor, text = _WHOLE[kind]
        if (value := _number(values.get("", ""))) is not None:
            page.add(name, text, value / divisor, chip=chip, sensor=sensor)
        return
    for prop, number in values.items():
        if prop == "label" or (value := _number(number)) is None:
            continue
        if (kind, prop) == ("freq", "input"):
            # node_exporter tells a GPU's clocks apart by their labels, and needs them.
            if label is not None:
                clock = _clean(label)
                page.add("freq_freq_mhz", "Clock in MHz.", value / 1e6, chip=chip, sensor=clock)
            continue
        name, divisor, text = _metric(kind, prop, beside_plain="" in values)
        page.add(name, text, value / divisor, chip=chip, sensor=sensor)


@lru_cache(maxsize=1024)
def _metric(kind: str, prop: str, *, beside_plain: bool) -> tuple[str, int, str]:
    """Return node_exporter's name for a property, its divisor and its meaning."""
    # fan1_input is the fan's value, unless there is a fan1 as well.
    shown = prop if prop != "input" or beside_plain else ""
    name = f"{kind}_{_clean(shown)}" if shown else kind
    text = f"Sensor of type {kind}: {prop or 'its value'}."
    if prop in ("fault", "alarm"):
        return name, 1, text
    if prop == "beep":
        return f"{name}_enabled", 1, text
    if (kind, prop) == ("temp", "type"):
        return name, 1, text
    if (kind, prop) == ("power", "accuracy"):
        return name, 1_000_000, text
    if kind == "power" and prop in (
        "average_interval",
        "average_interval_min",
        "average_interval_max",
    ):
        return f"{name}_seconds", 1000, text
    if kind == "fan" and prop in ("input", "min", "max", "target"):
        return f"{name}_rpm", 1, text
    divisor, unit = _UNITS.get(kind, (1, ""))
    return name + unit, divisor, text


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
