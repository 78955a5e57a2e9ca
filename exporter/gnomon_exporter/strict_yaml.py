"""YAML configuration that is checked key by key, with file and line in every complaint.

``load`` gives a ``Section``; the reader takes each key it knows with the kind it expects, then
calls ``finish``, which refuses whatever was not taken. So the code that reads a configuration
is also its schema:

    top = load("exporter.yml")
    address = top.take("listen_address", TEXT, "127.0.0.1:9840")
    web = top.section("web")
    timeout = web.take("timeout", DURATION, 10.0)
    top.finish()

Only PyYAML's composer is used: it gives nodes with their place in the file, runs no
constructor, and never expands an alias.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, overload

T = TypeVar("T")
D = TypeVar("D")

#: Longest configuration file that is read, in bytes.
SIZE_LIMIT = 4 << 20

_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_FLOAT_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SHOWN = 60
_REQUIRED: Any = object()


class ConfigError(Exception):
    """A configuration that cannot be used.

    Its text is ``FILE:LINE: KEY: what was wrong; expected WHAT``, less the parts that are not
    known (a file that cannot be read has no line).
    """

    def __init__(
        self, file: str, problem: str, *, line: int = 0, key: str = "", expected: str = ""
    ) -> None:
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem
        self.expected = expected
        place = f"{file}:{line}" if line else file
        subject = f"{key}: {problem}" if key else problem
        super().__init__(f"{place}: {subject}" + (f"; expected {expected}" if expected else ""))


class Node(Protocol):
    """What is read of PyYAML's nodes.

    id: scalar, sequence or mapping. value: the text, the nodes, the pairs of nodes. tag: the
    type that YAML gives it. start_mark: where it starts; its ``line`` counts from 0.
    """

    id: str
    tag: str
    value: Any
    start_mark: Any


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a value may be.

    expected: the rule in words, for the message.
    read: turns a node into the value; raises ValueError with what was wrong, or without a text
    when the value itself says enough.
    secret: no message shows the value.
    """

    expected: str
    read: Callable[[Node], T]
    secret: bool = False


class Section:
    """A mapping in the file, and which of its keys have been taken.

    Iterating gives the keys as they stand. One without a value (``key:``) is among them, but
    taken it is as if it were not there.
    """

    def __init__(self, file: str, node: Node | None, path: str = "", line: int = 1) -> None:
        self._file = file
        self._path = path
        self._line = line
        self._nodes: dict[str, Node] = {}
        self._lines: dict[str, int] = {}
        self._taken: set[str] = set()
        self._known: list[str] = []
        self._sections: list[Section] = []
        for key_node, value in node.value if node else ():
            self._enter(key_node, value)

    def _enter(self, key_node: Node, value: Node) -> None:
        line = key_node.start_mark.line + 1
        if key_node.id != "scalar":
            raise ConfigError(
                self._file, "a key that is a list or a mapping", line=line, expected="a text"
            )
        key = str(key_node.value)
        if key in self._lines:
            raise ConfigError(
                self._file,
                f"given twice, first in line {self._lines[key]}",
                line=line,
                key=self.path(key),
                expected="each key once",
            )
        self._lines[key] = line
        if value.tag != _NULL:
            self._nodes[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def path(self, key: str) -> str:
        """Return where a key stands in the file, as ``section.key``; "" is the section itself."""
        return ".".join(filter(None, (self._path, key)))

    def line(self, key: str) -> int:
        """Return the line of a key, or of the section where it has none."""
        return self._lines.get(key, self._line)

    def error(self, key: str, problem: str, expected: str = "") -> ConfigError:
        """Return a complaint about a key; the caller raises it."""
        return ConfigError(
            self._file, problem, line=self.line(key), key=self.path(key), expected=expected
        )

    @overload
    def take(self, key: str, kind: Kind[T]) -> T: ...

    @overload
    def take(self, key: str, kind: Kind[T], default: D) -> T | D: ...

    def take(self, key: str, kind: Kind[Any], default: Any = _REQUIRED) -> Any:
        """Return a key's value, or the default where the file does not have it.

        Raises ConfigError when the value is of another kind, or is missing and no default is
        given.
        """
        node = self._take(key)
        if node is not None:
            return self._read(key, node, kind)
        if default is _REQUIRED:
            raise self.error(key, "missing" if key not in self else "no value", kind.expected)
        return default

    def take_each(self, kind: Kind[T]) -> dict[str, T]:
        """Return all keys with their values: a mapping whose keys are the user's own names."""
        return {key: self.take(key, kind) for key in self._lines}

    def section(self, key: str) -> "Section":
        """Return the mapping below a key; an empty one where the file does not have it."""
        node = self._take(key)
        if node is not None and node.id != "mapping":
            raise self.error(key, "not a mapping", "keys with values below it")
        section = Section(self._file, node, self.path(key), self.line(key))
        self._sections.append(section)
        return section

    def sections(self, key: str) -> "Sequence[Section]":
        """Return the mappings of the list below a key; none where the file does not have it."""
        node = self._take(key)
        expected = "a list of mappings (lines that start with -)"
        if node is None:
            return []
        if node.id != "sequence":
            raise self.error(key, "not a list", expected)
        found = []
        for index, item in enumerate(node.value):
            path = f"{self.path(key)}[{index}]"
            line = item.start_mark.line + 1
            if item.id != "mapping":
                raise ConfigError(
                    self._file, "not a mapping", line=line, key=path, expected=expected
                )
            found.append(Section(self._file, item, path, line))
        self._sections += found
        return found

    def finish(self) -> None:
        """Raise ConfigError for the first key that nobody took, here or in a section below."""
        unknown = [(line, key) for key, line in self._lines.items() if key not in self._taken]
        if unknown:
            raise self.error(min(unknown)[1], *_unknown(min(unknown)[1], self._known))
        for section in self._sections:
            section.finish()

    def _take(self, key: str) -> Node | None:
        self._taken.add(key)
        self._known.append(key)
        return self._nodes.get(key)

    def _read(self, key: str, node: Node, kind: Kind[T]) -> T:
        try:
            return kind.read(node)
        except ValueError as error:
            problem = str(error) or _shown(node, secret=kind.secret)
            raise self.error(key, problem, kind.expected) from None


def load(path: str) -> Section:
    """Read a file's only document, a mapping; an empty file is an empty section.

    Raises ConfigError when it cannot be read or is no such YAML.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}") from error
    if len(content) > SIZE_LIMIT:
        raise ConfigError(path, f"larger than {SIZE_LIMIT >> 20} MiB", expected="a configuration")
    return parse(content, path)


def parse(content: bytes, file: str) -> Section:
    """Read YAML as ``load`` does; file is the name for the messages."""
    # Without a configuration file nobody pays for PyYAML: 1 MiB of a small budget.
    try:
        import yaml  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            file, "PyYAML is not installed; reinstall gnomon with its extra 'exporter'"
        ) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, "not UTF-8", line=line, expected="text in UTF-8") from None
    try:
        node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _syntax(file, text, error) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(file, "a control character", line=line, expected="printable text") from (
            None
        )
    except RecursionError:
        raise ConfigError(
            file, "nested too deeply", line=1, expected="a handful of levels"
        ) from None
    if node is None or node.tag == _NULL:
        return Section(file, None)
    if node.id != "mapping":
        line = node.start_mark.line + 1
        raise ConfigError(file, "not a mapping", line=line, expected="keys with values")
    return Section(file, node)


def one_of(*words: str) -> Kind[str]:
    """Return the kind of a text that is one of these words, to the letter."""

    def read(node: Node) -> str:
        word = _text(node)
        if word not in words:
            raise ValueError(_with_suggestion(_quoted(word), word, words))
        return word

    # A blank among the words is permitted, not recommended.
    return Kind(f"one of {', '.join(filter(None, words))}", read)


def list_of(kind: Kind[T]) -> Kind[list[T]]:
    """Return the kind of a list whose items are all of one kind."""

    def read(node: Node) -> list[T]:
        if node.id != "sequence":
            raise ValueError
        items = []
        for number, item in enumerate(node.value, 1):
            try:
                items.append(kind.read(item))
            except ValueError as error:
                problem = str(error) or _shown(item, secret=kind.secret)
                raise ValueError(f"item {number}: {problem}") from None
        return items

    return Kind(f"a list (lines that start with -), each {kind.expected}", read, kind.secret)


def _text(node: Node) -> str:
    # The text as it stands, whatever YAML 1.1 makes of it: `X-XSS-Protection: 0` and a country
    # code `no` are texts for whoever wrote them.
    if node.id != "scalar" or node.tag == _NULL:
        raise ValueError
    return str(node.value)


def _bool(node: Node) -> bool:
    if node.tag != _BOOL:
        raise ValueError
    return _TRUTH[node.value.lower()]


def _int(node: Node) -> int:
    if node.id != "scalar" or node.tag not in _FLOAT_TAGS:
        raise ValueError
    # int(), not YAML 1.1, which reads 010 as 8 and 1:30 as 90.
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", node.value):
        raise ValueError
    return int(node.value)


def _float(node: Node) -> float:
    if node.id != "scalar" or node.tag == _BOOL:
        raise ValueError
    # 1e3 is a text in YAML 1.1, which wants a point and a sign; Python's float is what people mean.
    if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", node.value):
        raise ValueError
    number = float(node.value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _duration(node: Node) -> float:
    text = _text(node).strip()
    if text == "0":
        return 0.0
    parts = list(_DURATION_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise ValueError
    return sum(float(part[1]) * _UNITS[part[2]] for part in parts)


BOOL = Kind("true or false", _bool)
INT = Kind("a whole number", _int)
FLOAT = Kind("a number", _float)
TEXT = Kind("a text", _text)
TEXTS = list_of(TEXT)
SECRET = Kind("a text", _text, secret=True)
#: Seconds, written as ``10s``, ``500ms``, ``1m30s``; a bare number but 0 is refused, for it
#: does not say its unit.
DURATION = Kind("a duration with its unit, such as 10s, 500ms or 1m30s", _duration)


def _shown(node: Node, *, secret: bool) -> str:
    if node.id == "mapping":
        return "a mapping"
    if node.id == "sequence":
        return "a list"
    if node.tag == _NULL:
        return "no value"
    return "this value" if secret else _quoted(str(node.value))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _unknown(key: str, known: Iterable[str]) -> tuple[str, str]:
    names = list(dict.fromkeys(known))
    expected = f"one of {', '.join(names)}" if names else "nothing here"
    return _with_suggestion("unknown key", key, names), expected


def _with_suggestion(problem: str, word: str, words: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  # nobody makes mistakes on most days

    near = difflib.get_close_matches(word, list(words), 1)
    return f"{problem} (did you mean {near[0]}?)" if near else problem


def _syntax(file: str, text: str, error: Any) -> ConfigError:
    """Put a syntax error into words; PyYAML's own quote the line, which may hold a secret."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    lines = text.splitlines()
    here = lines[mark.line] if mark and mark.line < len(lines) else ""
    problem = error.problem or "not YAML"
    # What else PyYAML quotes is its own grammar, such as ']'.
    if any(word in problem for word in ("alias", "anchor", "tag")):
        problem = _QUOTED.sub("…", problem)
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return ConfigError(file, "a tab in the indentation", line=line, expected="spaces")
    if "mapping values are not allowed" in problem:
        return ConfigError(
            file,
            "a colon where no key can be",
            line=line,
            expected="one key a line, indented like its neighbours; quotes around a text with ': '",
        )
    if "undefined alias" in problem:
        return ConfigError(
            file, "a value that starts with *", line=line, expected="quotes around such a text"
        )
    if "single document" in problem or "but found another document" in problem:
        return ConfigError(
            file, "a second document (after ---)", line=line, expected="one document"
        )
    return ConfigError(file, f"not YAML: {problem}", line=line)


def directory(path: str) -> str:
    """Return the folder that relative paths in a configuration file start from."""
    return os.path.dirname(path) or "."
