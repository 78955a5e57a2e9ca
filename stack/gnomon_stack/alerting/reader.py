"""Reads alerting.yml key by key, each key overridden by its environment variable."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import yaml

from gnomon_exporter.strict_yaml import ConfigError, Kind, Section
from gnomon_stack.trouble import Trouble

PREFIX = "GNOMON_ALERT_"

T = TypeVar("T")

_RESOLVER: Any = yaml.SafeLoader("")


class Reader:
    """One mapping of the file, with the environment over it.

    ``email: {to: [...]}`` is also ``GNOMON_ALERT_EMAIL_TO``; a list is written with commas there.
    Below `teams`, whose names are the user's, only the file counts.
    """

    def __init__(
        self,
        section: Section,
        environ: Mapping[str, str],
        *,
        prefix: str | None = PREFIX,
        known: set[str] | None = None,
    ) -> None:
        self._section = section
        self._environ = environ
        self._prefix = prefix
        self._known: set[str] = set() if known is None else known

    def __iter__(self) -> Iterator[str]:
        """Give the keys that the file has here."""
        return iter(list(self._section))

    def take(self, key: str, kind: Kind[T], default: T) -> T:
        """Return what the variable says, else the file, else the default.

        Raise ConfigError (of the file) or Trouble (of the variable) for a value of another kind.
        """
        in_file = self._section.take(key, kind, default)
        name = self._variable(key)
        text = self._environ.get(name, "").strip() if name else ""
        if not text:
            return in_file
        try:
            return kind.read(_node(text, listed=isinstance(default, list)))
        except ValueError as error:
            problem = str(error) or ("this value" if kind.secret else repr(text))
            raise Trouble(f"{name}: {problem}; expected {kind.expected}", code=2) from None

    def section(self, key: str, *, variables: bool = True) -> "Reader":
        """Return the mapping below a key. variables: whether the environment may say its values."""
        prefix = f"{self._prefix}{key.upper()}_" if self._prefix and variables else None
        return Reader(self._section.section(key), self._environ, prefix=prefix, known=self._known)

    def sections(self, key: str) -> "list[Reader]":
        """Return the mappings of the list below a key, which only the file can have."""
        return [Reader(each, {}, prefix=None) for each in self._section.sections(key)]

    def error(self, key: str, problem: str, expected: str = "") -> ConfigError:
        """Return the error that this key has that problem."""
        return self._section.error(key, problem, expected)

    def finish(self) -> None:
        """Raise for the first key, or variable with the prefix, that nobody has taken."""
        self._section.finish()
        for name, text in sorted(self._environ.items()):
            if name.startswith(PREFIX) and name not in self._known and text.strip():
                near = difflib.get_close_matches(name, self._known, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise Trouble(
                    f"{name}: unknown variable{hint}; docs/alerting.md lists them", code=2
                )

    def _variable(self, key: str) -> str | None:
        if self._prefix is None:
            return None
        name = f"{self._prefix}{key.upper()}"
        self._known.add(name)
        return name


def _node(text: str, *, listed: bool) -> Any:
    """Return the node that the text would be in a file, less YAML's own punctuation."""
    if listed:
        items = [_node(item.strip(), listed=False) for item in text.split(",") if item.strip()]
        return yaml.SequenceNode("tag:yaml.org,2002:seq", items)
    return yaml.ScalarNode(_RESOLVER.resolve(yaml.ScalarNode, text, (True, False)), text)
