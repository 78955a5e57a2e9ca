"""The configuration: exporter.yml and the command line, checked, as one frozen value."""

from argparse import Namespace
from collections.abc import Mapping
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
    """How one collector runs: its timeout in seconds, its settings, and where they stand.

    settings: only those that were given. section: where errors in them are found.
    """

    timeout: float
    settings: Mapping[str, Value]
    section: Section | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Config:
    """What runs: the collectors that are on, by name, and the cap on the series of a family."""

    collectors: Mapping[str, CollectorConfig]
    series_limit: int = SERIES_LIMIT


def read(options: Namespace, registry: Mapping[str, Entry]) -> Config:
    """Return the configuration that the command line and the file it names give together.

    A flag wins over the file. A collector that the file names is on unless it says
    ``enabled: false`` there. Raises ConfigError with the file, the line and the key.
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
    for name, entry in registry.items():
        is_named = name in named
        section = named.section(name)
        enabled = section.take("enabled", BOOL, is_named or (by_default and entry.default))
        config = CollectorConfig(
            timeout=section.take("timeout", _POSITIVE_DURATION, timeout),
            settings=_settings(name, entry, section, given),
            section=section if is_named else None,
        )
        if given.get(f"collector.{name}", enabled):
            collectors[name] = config
    top.finish()
    return Config(collectors, series_limit)


def _settings(
    name: str, entry: Entry, section: Section, given: Mapping[str, Any]
) -> Mapping[str, Value]:
    """Return the settings of one collector that were given, the command line's first."""
    settings: dict[str, Value] = {}
    for setting in settings_of(entry.factory).values():
        value = section.take(setting.name, _kind(setting), None)
        value = given.get(f"collector.{name}.{setting.name}", value)
        if value is not None:
            settings[setting.name] = tuple(value) if isinstance(value, list) else value
    return settings


def settings_error(name: str, config: CollectorConfig, error: ValueError) -> ConfigError:
    """Return the complaint of a collector about its settings, with the place where they stand.

    Its text starts with the setting's name, as in "directory: not absolute".
    """
    key, colon, problem = str(error).partition(": ")
    if not colon or key not in config.settings:
        key, problem = "", str(error)
    if config.section is not None and (not key or key in config.section):
        return config.section.error(key, problem)
    return ConfigError(COMMAND_LINE, problem, key=f"--collector.{name}.{key.replace('_', '-')}")


def as_text(config: Config, registry: Mapping[str, Entry]) -> str:
    """Return a configuration as YAML that ``read`` accepts, but for its secrets."""
    lines = [
        f"series_limit: {config.series_limit}",
        "disable_defaults: true  # so that what follows is all that runs",
        "collectors:" if config.collectors else "collectors: {}",
    ]
    for name, collector in config.collectors.items():
        lines += [f"  {name}:", f"    timeout: {collector.timeout:g}s"]
        for setting in settings_of(registry[name].factory).values():
            value = collector.settings.get(setting.name, setting.default)
            lines.append(f"    {setting.name}: {_shown(setting, value)}")
    return "\n".join(lines) + "\n"


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


_NUMBER = Kind("a number, or a duration such as 5s", _read_number)
_POSITIVE = Kind("a whole number from 1 on", _read_positive)
_POSITIVE_DURATION = Kind(f"more than nothing: {DURATION.expected}", _read_positive_duration)
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
