"""How a series, a value or a column looks: its panel's defaults, and what overrides them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from gnomon_console import colours, units
from gnomon_console.boards import Panel
from gnomon_console.prometheus import Series

_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_IN_LINK = re.compile(r"\$\{__field\.labels\.(\w+)\}|\$\{__data\.fields\[\"([^\"]+)\"\]\}")


def name(series: Series, legend: str, expr: str) -> str:
    """Return what a series is called. legend: with labels as ``{{service}}``."""
    if legend and legend != "__auto":
        return _LABEL.sub(lambda found: series.labels.get(found[1], ""), legend).strip()
    labels = {key: value for key, value in series.labels.items() if key != "__name__"}
    if len(labels) == 1:
        return next(iter(labels.values()))
    inside = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{series.labels.get('__name__', '')}{{{inside}}}" if inside else expr


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    # As Grafana stores it, between slashes, which say no flags here.
    return re.compile(text[1:-1] if len(text) > 1 and text[0] == text[-1] == "/" else text)


@dataclass(frozen=True)
class Look:
    """The properties of one field, by Grafana's names: ``unit``, ``custom.lineWidth``."""

    found: Mapping[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a property, the default where nobody has said."""
        if key in self.found:
            return self.found[key]
        inside: Any = self.found
        for part in key.split("."):
            if not isinstance(inside, Mapping) or part not in inside:
                return default
            inside = inside[part]
        return inside

    @property
    def unit(self) -> str:
        """Its unit."""
        return str(self.get("unit", "short"))

    @property
    def decimals(self) -> int | None:
        """How many decimals it shows, None for as many as say something."""
        found: int | None = self.get("decimals")
        return found

    def text(self, value: float | None) -> str:
        """Return a value as it is shown: by its mapping, else with its unit."""
        mapped = self._mapped(value)
        return (
            str(mapped["text"])
            if mapped and mapped.get("text")
            else units.text(value, self.unit, self.decimals)
        )

    def colour(self, value: float | None) -> str:
        """Return the colour of a value: by its mapping, a fixed one, or its thresholds."""
        mapped = self._mapped(value)
        if mapped and mapped.get("color"):
            return colours.colour(mapped["color"])
        if fixed := self.fixed:
            return fixed
        if value is None or math.isnan(value):
            return colours.colour("text")
        return colours.by_value(value, self.get("thresholds", {}))

    @property
    def fixed(self) -> str:
        """The colour that it has whatever its value is, "" for none."""
        given = self.get("color", {})
        return colours.colour(given["fixedColor"]) if given.get("mode") == "fixed" else ""

    def _mapped(self, value: float | None) -> Mapping[str, Any] | None:
        for mapping in self.get("mappings", ()):
            options = mapping.get("options", {})
            if mapping.get("type") == "value" and value is not None:
                key = "null" if math.isnan(value) else f"{value:g}"
                if key in options:
                    found: Mapping[str, Any] = options[key]
                    return found
            elif mapping.get("type") == "range" and value is not None:
                low, high = options.get("from"), options.get("to")
                if (low is None or value >= low) and (high is None or value <= high):
                    inside: Mapping[str, Any] = options.get("result", {})
                    return inside
            elif (
                mapping.get("type") == "special"
                and options.get("match") in {"null", "nan", "null+nan"}
                and (value is None or math.isnan(value))
            ):
                special: Mapping[str, Any] = options.get("result", {})
                return special
        return None


def look(panel: Panel, field: str, ref: str = "") -> Look:
    """Return how a field of this name looks; ref: the query that it comes from."""
    found: dict[str, Any] = dict(panel.defaults)
    for override in panel.overrides:
        matcher = override["matcher"]
        wanted = matcher.get("options", "")
        fits = (
            (matcher["id"] == "byName" and wanted == field)
            or (matcher["id"] == "byRegexp" and _pattern(wanted).search(field) is not None)
            or (matcher["id"] == "byFrameRefID" and wanted == ref)
        )
        if fits:
            found |= {each["id"]: each.get("value") for each in override["properties"]}
    return Look(found)


def address(url: str, labels: Mapping[str, str], fields: Mapping[str, str]) -> str:
    """Return where a link leads. labels: of the series; fields: the cells of the row by title."""
    filled = _IN_LINK.sub(
        lambda found: quote(
            labels.get(found[1], "") if found[1] else fields.get(found[2], ""), safe=""
        ),
        url,
    )
    return filled.replace("?&", "?").rstrip("?&")
