"""What stands for something else in a query: Grafana's `$__…` and the variables of a dashboard."""

import re
from collections.abc import Mapping, Sequence

from gnomon_console.ranges import Range, words

#: Seconds between two scrapes, at the most; the datasource in grafana/provisioning says the same.
SCRAPE_S = 10.0

ALL = "$__all"

#: What the viewer chose: the values of each variable.
Chosen = Mapping[str, Sequence[str]]

_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)|\[\[(\w+)\]\]")

# What a regular expression would read as more than itself.
_SPECIAL = re.compile(r"[.*+?^${}()|[\]\\]")


def _matched(value: str) -> str:
    """Return a value as a regular expression in a PromQL string that matches just that value."""
    return _quoted(_SPECIAL.sub(lambda found: "\\" + found[0], value))


def _quoted(value: str) -> str:
    """Return a value as it stands in a PromQL string: nothing in it ends the string."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'").replace("\n", "\\n")


class Macros:
    """Puts values in the place of macros and variables, as Grafana does.

    chosen: values by variable. everything: what "All" is for each variable that has it.
    """

    def __init__(self, at: Range, chosen: Chosen, everything: Mapping[str, str]) -> None:
        interval = at.step
        rate = max(interval + SCRAPE_S, 4 * SCRAPE_S)
        self._values = {
            "__interval": words(interval),
            "__interval_ms": f"{interval * 1000:.0f}",
            "__rate_interval": words(rate),
            "__range": words(at.duration),
            "__range_s": f"{at.duration:.0f}",
            "__range_ms": f"{at.duration * 1000:.0f}",
            "__from": f"{at.start * 1000:.0f}",
            "__to": f"{at.end * 1000:.0f}",
        }
        self._chosen = chosen
        self._everything = everything

    def fill(self, text: str) -> str:
        """Return the text with every value in its place; what nobody knows stays as it is."""
        return _VARIABLE.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        name = found[1] or found[3] or found[4]
        if name in self._values:
            return self._values[name]
        if name not in self._chosen:
            return found[0]
        values = list(self._chosen[name])
        if name not in self._everything:  # exactly one value, mostly after `=`
            return _quoted(values[0]) if values else ""
        if not values or ALL in values:
            return self._everything[name]
        matched = [_matched(value) for value in values]
        return matched[0] if len(matched) == 1 else f"({'|'.join(matched)})"
