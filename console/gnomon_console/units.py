"""Numbers as people read them: the units that the dashboards use, by Grafana's ids."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_DECIMAL = ("", "k", "M", "G", "T", "P")
_SMALL = ((1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))

#: What stands behind the number, and whether it counts in 1024 or 1000; None: never shortened.
_COUNTED = {
    "bytes": ("B", _BINARY, 1024),
    "decbytes": ("B", _DECIMAL, 1000),
    "binBps": ("B/s", _BINARY, 1024),
    "Bps": ("B/s", _DECIMAL, 1000),
    "bps": ("b/s", _DECIMAL, 1000),
    "hertz": ("Hz", _DECIMAL, 1000),
    "watt": ("W", _DECIMAL, 1000),
    "short": ("", ("", "K", "Mil", "Bil", "Tri", "Quadr"), 1000),
    "cps": ("/s", _DECIMAL, 1000),
    "ops": ("/s", _DECIMAL, 1000),
    "mps": ("/s", _DECIMAL, 1000),
    "reqps": ("/s", _DECIMAL, 1000),
}
_TIMES = (
    (86400.0, "d"),
    (3600.0, "h"),
    (60.0, "min"),
    (1.0, "s"),
    (1e-3, "ms"),
    (1e-6, "µs"),
    (1e-9, "ns"),
)
_IN_SECONDS = {"s": 1.0, "ms": 1e-3, "d": 86400.0}
_PLAIN = {"celsius": " °C", "none": "", "cores": " cores", "percent": " %"}


@dataclass(frozen=True, slots=True)
class Scale:
    """How an axis counts: values are divided by ``divisor``, ``suffix`` stands behind them."""

    divisor: float
    suffix: str


def scale(unit: str, largest: float) -> Scale:
    """Return how an axis counts whose largest value, without its sign, is ``largest``."""
    size = abs(largest) if math.isfinite(largest) else 0.0
    if unit == "percentunit":
        return Scale(0.01, " %")
    if unit in _IN_SECONDS:
        inside = size * _IN_SECONDS[unit]
        for divisor, suffix in _TIMES:
            # Half an hour is 30 min, a day and a half 36 h: the next unit begins at two.
            if inside >= (2 * divisor if divisor > 1 else divisor):
                return Scale(divisor / _IN_SECONDS[unit], f" {suffix}")
        return Scale(1.0 / _IN_SECONDS[unit], " s")
    if unit in _COUNTED:
        behind, names, base = _COUNTED[unit]
        power = 0
        while size >= base ** (power + 1) and power < len(names) - 1:
            power += 1
        suffix = f"{names[power]}{behind}"
        return Scale(float(base**power), f" {suffix}" if suffix else "")
    if unit in _PLAIN:
        return Scale(1.0, _PLAIN[unit])
    # A unit of the author's own, "suffix:…" or a word, is written behind the number.
    return Scale(1.0, f" {unit.removeprefix('suffix:')}")


def number(value: float, decimals: int | None = None) -> str:
    """Return a number with these decimals, by default with three digits that say something."""
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 100 or size == int(size) else 1 if size >= 10 else 2
        if 0 < size < 0.01:
            decimals = min(9, 1 - math.floor(math.log10(size)))
    text = f"{value:.{decimals}f}"
    # A comma would be a decimal point to half of the readers.
    return text.rstrip("0").rstrip(".") if "." in text else text


def text(value: float | None, unit: str, decimals: int | None = None) -> str:
    """Return a value with its unit, as a single number or a cell shows it."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "bool_yes_no":
        return "yes" if value else "no"
    if unit.startswith("dateTime"):
        return datetime.fromtimestamp(value / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    if unit == "none":
        return number(value, decimals)
    counted = scale(unit, value)
    return f"{number(value / counted.divisor, decimals)}{counted.suffix}"
