"""A collector's settings, read off its constructor: the signature is the one declaration."""

import inspect
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Value = bool | int | float | str | tuple[str, ...]

#: What a setting may be, in the words of an error message.
KINDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple[str, ...]: "a list of texts",
}


_MEANING = re.compile(r"([a-z0-9_]+(?:, [a-z0-9_]+)*): (.+)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One keyword argument of a collector.

    kind: its type, a key of ``KINDS``. meaning: what the class's docstring says of it.
    """

    name: str
    kind: type | types.GenericAlias
    default: Value
    meaning: str = ""

    @property
    def flag(self) -> str:
        """The name's spelling on the command line."""
        return self.name.replace("_", "-")

    @property
    def secret(self) -> bool:
        """Whether the value must not be shown. A path to a secret is none."""
        return self.name.endswith(("password", "token", "secret"))


@cache
def settings_of(factory: Callable[..., object]) -> Mapping[str, Setting]:
    """Return a collector's settings by name.

    Raises TypeError for a keyword of a kind that neither YAML nor a flag could give. Keywords
    that start with ``_`` are for tests.
    """
    found = {}
    meanings = _meanings(inspect.getdoc(factory) or "")
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name.startswith("_"):
            continue
        if parameter.annotation not in KINDS:
            raise TypeError(f"{factory}: setting {parameter.name} is of no known kind")
        found[parameter.name] = Setting(
            parameter.name,
            parameter.annotation,
            parameter.default,
            meanings.get(parameter.name, ""),
        )
    return found


def _meanings(docstring: str) -> Mapping[str, str]:
    """Return what a docstring says of each setting, on lines such as ``a, b: what they do``."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.splitlines()[1:]:
        if start := _MEANING.match(line):
            names = start[1].split(", ")
            found |= dict.fromkeys(names, start[2])
        elif not line.strip():
            names = []
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def number(text: str) -> float:
    """Return the number in a text; a duration, such as node_exporter's flags take, in seconds.

    Raises ValueError.
    """
    unit = next((unit for unit in ("ms", "s", "m", "h") if text.endswith(unit)), "")
    value = float(text.removesuffix(unit)) * {"ms": 1e-3, "m": 60.0, "h": 3600.0}.get(unit, 1.0)
    if not math.isfinite(value):
        raise ValueError
    return value
