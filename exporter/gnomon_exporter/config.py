"""The configuration: exporter.yml and the command line, checked, as one frozen value."""

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gnomon_exporter.registry import Entry
from gnomon_exporter.settings import Setting, Value, number, settings_of
from gnomon_exporter.strict_yaml import (
    BOOL,
    DURATION,
    INT,
    TEXT,
    TEXTS,
    ConfigError,
    Kind,
    Section,
    load,
)

#: What a message calls the place of a setting that stands in no file.
COMMAND_LINE = "command line"

#: Seconds that a collector may take, unless said otherwise; Prometheus' own default is 10.
TIMEOUT = 5.0
#: Most series of one family. The largest hosts have some 6,000 of node_cpu_seconds_total.
SERIES_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """How one collector or target runs: its timeout in seconds, its settings, where they stand.

    settings: only those that were given. sections: where errors in them are found, the nearest
    first; the last resort is the command line.
    """

    timeout: float
    settings: Mapping[str, Value]
    sections: Sequence[Section] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Config:
    """What runs: the collectors that are on, by name, and the cap on the series of a family.

    targets: what runs when it is asked for alone, by collector and target.
    """

    collectors: Mapping[str, CollectorConfig]
    series_limit: int = SERIES_LIMIT
    targets: Mapping[tuple[str, str], CollectorConfig] = field(default_factory=dict)


def read(options: Namespace, registry: Mapping[str, Entry]) -> Config:
    """Return the configuration that the command line and the file it names give together.

    A flag wins over the file. A collector that the file names is on unless it says
    ``enabled: false`` there, or has targets, which are meant instead unless it says
    ``enabled: true``. Raises ConfigError with the file, the line and the key.
    """
    given = vars(options)
    path = given.get("config.file")
    top = load(path) if path else Section("", None)
    timeout = top.take("collector_timeout", _POSITIVE_DURATION, TIMEOUT)
    series_limit = top.take("series_limit", _POSITIVE, SERIES_LIMIT)
    by_default = not (
        top.take("disable_defaults", BOOL, default=False) or given["collector.disable_defaults"]
    )
    named = top.section("collectors")
    collectors = {}
    targets = {}
    for name, entry in registry.items():
        is_named = name in named
        section = named.section(name)
        enabled = given.get(f"collector.{name}", section.take("enabled", BOOL, None))
        if enabled is None:
            asked_for = is_named and "targets" not in section
            is_on = asked_for or (by_default and entry.default)
        else:
            is_on = enabled
        config = CollectorConfig(
            timeout=section.take("timeout", _POSITIVE_DURATION, timeout),
            settings={**_in_file(entry, section), **_on_command_line(name, entry, given)},
            sections=[section] if is_named else (),
        )
        if is_on:
            collectors[name] = config
        for target, its_config in _targets(entry, section, config):
            if enabled is not False:
                targets[name, target] = its_config
    top.finish()
    return Config(collectors, series_limit, targets)


def _targets(
    entry: Entry, section: Section, above: CollectorConfig
) -> Iterator[tuple[str, CollectorConfig]]:
    """Yield a collector's targets: each has the collector's settings but for those it gives."""
    if not settings_of(entry.factory):
        return  # they could not differ in anything, so the key stays unknown
    named = section.section("targets")
    for target in named:
        its_section = named.section(target)
        if not _TARGET.fullmatch(target):
            expected = "up to 64 letters, digits and . _ : - as a target's name"
            raise named.error(target, "such a name", expected)
        yield (
            target,
            CollectorConfig(
                timeout=its_section.take("timeout", _POSITIVE_DURATION, above.timeout),
                settings={**above.settings, **_in_file(entry, its_section)},
                sections=[its_section, *above.sections],
            ),
        )


def _in_file(entry: Entry, section: Section) -> Mapping[str, Value]:
    """Return the settings that stand in a section."""
    settings: dict[str, Value] = {}
    for setting in settings_of(entry.factory).values():
        value = section.take(setting.name, _kind(setting), None)
        if value is not None:
            settings[setting.name] = tuple(value) if isinstance(value, list) else value
    return settings


def _on_command_line(name: str, entry: Entry, given: Mapping[str, Any]) -> Mapping[str, Value]:
    """Return the settings of a collector that flags gave."""
    settings: dict[str, Value] = {}
    for setting in settings_of(entry.factory):
        value = given.get(f"collector.{name}.{setting}")
        if value is not None:
            settings[setting] = tuple(value) if isinstance(value, list) else value
    return settings


def settings_error(name: str, config: CollectorConfig, error: ValueError) -> ConfigError:
    """Return the complaint of a collector about its settings, with the place where they stand.

    Its text starts with the setting's name, as in "directory: not absolute".
    """
    key, colon, problem = str(error).partition(": ")
    if not colon or key not in config.settings:
        key, problem = "", str(error)
    for section in config.sections:
        if not key or key in section:
            return section.error(key, problem)
    return ConfigError(COMMAND_LINE, problem, key=f"--collector.{name}.{key.replace('_', '-')}")


def as_text(config: Config, registry: Mapping[str, Entry]) -> str:
    """Return a configuration as YAML that ``read`` accepts, but for its secrets."""
    lines = [
        f"series_limit: {config.series_limit}",
        "disable_defaults: true  # so that what follows is all that runs",
        "collectors:" if config.collectors or config.targets else "collectors: {}",
    ]
    for name, entry in registry.items():
        targets = {key[1]: target for key, target in config.targets.items() if key[0] == name}
        collector = config.collectors.get(name)
        if collector or targets:
            lines.append(f"  {name}:")
        if collector:
            lines += ["    enabled: true"] if targets else []
            lines += _settings_text(collector, entry, "    ")
        if targets:
            lines.append("    targets:")
        for target, its_config in targets.items():
            lines.append(f"      {_quoted(target)}:")
            lines += _settings_text(its_config, entry, "        ")
    return "\n".join(lines) + "\n"


def _settings_text(config: CollectorConfig, entry: Entry, indent: str) -> Iterator[str]:
    yield f"{indent}timeout: {config.timeout:g}s"
    for setting in settings_of(entry.factory).values():
        value = config.settings.get(setting.name, setting.default)
        yield f"{indent}{setting.name}: {_shown(setting, value)}"


def _shown(setting: Setting, value: Value) -> str:
    if setting.secret and value:
        return '"<secret>"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    return _quoted(value) if isinstance(value, str) else str(value).lower()


def _quoted(text: str) -> str:
    """Write a text as YAML's double-quoted scalar, less the password of an address in it."""
    import json  # noqa: PLC0415  # a page that few ask for need not weigh on all

    scheme, mark, rest = text.partition("://")
    credentials, at, host = rest.rpartition("@")
    if mark and at and "/" not in credentials:
        user, colon, _ = credentials.partition(":")
        text = f"{scheme}://{user}{colon and ':<secret>'}@{host}"
    return json.dumps(text, ensure_ascii=False)


def _read_number(node: Any) -> float:
    try:
        return number(TEXT.read(node))
    except ValueError:
        raise ValueError from None  # the value says enough; float's words are not a user's


def _read_positive(node: Any) -> int:
    if (value := INT.read(node)) < 1:
        raise ValueError
    return value


def _read_positive_duration(node: Any) -> float:
    if (value := DURATION.read(node)) <= 0:
        raise ValueError
    return value


# What an address in a URL and a label of Prometheus both show as it stands.
_TARGET = re.compile(r"[A-Za-z0-9._:-]{1,64}")

_NUMBER = Kind("a number, or a duration such as 5s", _read_number)
_POSITIVE = Kind("a whole number from 1 on", _read_positive)
_POSITIVE_DURATION = Kind(f"{DURATION.expected}, longer than 0", _read_positive_duration)
_KINDS: Mapping[Any, Kind[Any]] = {
    bool: BOOL,
    int: INT,
    float: _NUMBER,
    str: TEXT,
    tuple[str, ...]: TEXTS,
}


def _kind(setting: Setting) -> Kind[Any]:
    kind = _KINDS[setting.kind]
    return Kind(kind.expected, kind.read, secret=True) if setting.secret else kind
