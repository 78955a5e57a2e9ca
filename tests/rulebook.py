"""The rule files as the tests see them: their rules, and what each reads."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RULES = sorted((ROOT / "prometheus/rules").glob("*.yml"))
#: Those that somebody wrote; the others are made, and tested with what reads them.
WRITTEN = [path for path in RULES if path.stem not in {"thresholds", "slo-objectives"}]

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_NOT_METRICS = re.compile(
    r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
)
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()")
_WORDS = frozenset({"and", "or", "unless", "offset", "bool", "inf", "nan"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a recording, or an alert where ``alert`` is true."""

    subject: str
    group: str
    name: str
    alert: bool
    expr: str
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> set[str]:
        """The names of the metrics in its expression."""
        return metrics(self.expr)


def metrics(expr: str) -> set[str]:
    """Return the names of the metrics that a PromQL expression selects by their names."""
    bare = _NOT_METRICS.sub(" ", _STRING.sub('""', expr))
    return {name for name in _NAME.findall(bare) if name.lower() not in _WORDS}


def _rules() -> Iterator[Rule]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield Rule(
                    subject=path.stem,
                    group=group["name"],
                    name=rule.get("alert") or rule["record"],
                    alert="alert" in rule,
                    expr=rule["expr"],
                    labels=rule.get("labels", {}),
                    annotations=rule.get("annotations", {}),
                )


EVERY = list(_rules())
ALERTS = [rule for rule in EVERY if rule.alert]
RECORDINGS = {rule.name: rule for rule in EVERY if not rule.alert}

# Objectives are recorded under one name by a rule each.
_MAKERS: dict[str, list[Rule]] = {}
for _rule in EVERY:
    if not _rule.alert:
        _MAKERS.setdefault(_rule.name, []).append(_rule)


def raw(rule: Rule) -> set[str]:
    """Return the scraped metrics that a rule depends on, those of its recordings too."""
    found: set[str] = set()
    for name in rule.reads:
        makers = _MAKERS.get(name)
        found |= {name} if makers is None else set().union(*map(raw, makers))
    return found - {"ALERTS"}


def cases(subject: str) -> list[dict[str, Any]]:
    """Return the test groups of prometheus/tests/<subject>.yml."""
    path = ROOT / f"prometheus/tests/{subject}.yml"
    tests: list[dict[str, Any]] = yaml.safe_load(path.read_text())["tests"]
    return tests
