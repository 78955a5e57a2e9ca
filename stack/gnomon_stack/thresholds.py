"""The numbers at which alerts change their mind: thresholds.yml, made into recordings.

Each threshold becomes one recording with exactly the labels of the level that it judges, so that
a rule is ``level > threshold`` without any matching, a dashboard draws both, and an override for
one machine or service needs no rule of its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gnomon_exporter.strict_yaml import FLOAT, TEXT, ConfigError, Section, load

#: From the checkout's root.
SOURCE = Path("prometheus/thresholds.yml")
TARGET = Path("prometheus/rules/thresholds.yml")

_NAME = re.compile(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_INTERVAL = re.compile(r"[1-9][0-9]*[smh]")

_HEAD = """\
# Made by `make rules` from prometheus/thresholds.yml. Edit that file, not this one.
#
# Each recording has the labels of the level that it is for; overrides come first.

groups:
"""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One number, for one level.

    name: what the recording is called after ``threshold:``, as KNOB:UNIT. level: the metric that
    is compared. overrides: label matchers with the number that holds where they match; the first
    that matches wins.
    """

    name: str
    level: str
    value: float
    meaning: str
    overrides: tuple[tuple[dict[str, str], float], ...] = ()

    @property
    def record(self) -> str:
        """The name of the recording."""
        return f"threshold:{self.name}"

    @property
    def expr(self) -> str:
        """The expression of the recording."""
        parts = [
            f"clamp({self.level}{_selector(where)}, {_number(value)}, {_number(value)})"
            for where, value in (*self.overrides, ({}, self.value))
        ]
        return "\n  or ".join(parts)


@dataclass(frozen=True, slots=True)
class Group:
    """The thresholds of one subject, and how often they are looked at."""

    subject: str
    interval: str
    thresholds: tuple[Threshold, ...]


def read(path: Path) -> list[Group]:
    """Return what a file says. Raises ConfigError, which names the line and the remedy."""
    top = load(str(path))
    groups = [_group(subject, top.section(subject)) for subject in top]
    top.finish()
    _refuse_doubles(path, [t for group in groups for t in group.thresholds])
    return groups


def rules(groups: Sequence[Group]) -> str:
    """Return the rule file."""
    lines = [_HEAD.rstrip("\n")]
    for group in groups:
        lines += [f"  - name: {group.subject}-thresholds", f"    interval: {group.interval}"]
        lines.append("    rules:")
        for threshold in group.thresholds:
            lines += [f"      # {threshold.meaning}", f"      - record: {threshold.record}"]
            lines.append("        expr: |")
            lines += [f"          {line}" for line in threshold.expr.splitlines()]
    return "\n".join(lines) + "\n"


def _group(subject: str, section: Section) -> Group:
    interval = section.take("interval", TEXT, "30s")
    if not _INTERVAL.fullmatch(interval):
        raise section.error("interval", repr(interval), "a number with s, m or h, such as 30s")
    found = [_threshold(section, name) for name in section if name != "interval"]
    if not found:
        raise section.error("", "no threshold", "NAME:UNIT with level, value and meaning below it")
    return Group(subject, interval, tuple(found))


def _threshold(above: Section, name: str) -> Threshold:
    if not _NAME.fullmatch(name):
        raise above.error(name, "not a threshold's name", "KNOB:UNIT, as memory_high:ratio")
    section = above.section(name)
    level = section.take("level", TEXT)
    if not _METRIC.fullmatch(level):
        raise section.error("level", repr(level), "the bare name of a metric or recording")
    overrides = []
    for override in section.sections("overrides"):
        where = override.section("where")
        labels = where.take_each(TEXT)
        if not labels:
            raise override.error("where", "empty", "label: value, or label: =~pattern")
        for label in labels:
            if not _LABEL.fullmatch(label):
                raise where.error(label, "not a label's name", "letters, digits and _")
        overrides.append((labels, override.take("value", FLOAT)))
    meaning = " ".join(section.take("meaning", TEXT).split())
    return Threshold(name, level, section.take("value", FLOAT), meaning, tuple(overrides))


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _selector(where: dict[str, str]) -> str:
    """Return label matchers; a value that begins with =~ is a pattern."""
    parts = []
    for label, value in where.items():
        sign, text = ("=~", value[2:]) if value.startswith("=~") else ("=", value)
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        parts.append(f'{label}{sign}"{escaped}"')
    return "{" + ", ".join(parts) + "}" if parts else ""


def _refuse_doubles(path: Path, found: Sequence[Threshold]) -> None:
    seen: set[str] = set()
    for threshold in found:
        if threshold.name in seen:
            raise ConfigError(str(path), "given twice", key=threshold.name, expected="one of each")
        seen.add(threshold.name)
