"""The page: Prometheus' classic text format 0.0.4, names to the letter."""

import re
import zlib
from collections.abc import Iterable
from functools import lru_cache
from math import inf, isnan
from typing import NamedTuple

from gnomon_exporter.families import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Longest label value that is written whole, in characters (a path's PATH_MAX is 4096 bytes).
LABEL_VALUE_LIMIT = 1024

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Names repeat from scrape to scrape, so what follows from them is made once. The bound is for a
# flood of ever new ones.
_REMEMBERED = 4096
_remembered = lru_cache(maxsize=_REMEMBERED)


class _Form(NamedTuple):
    """What is the same for every series of a family: its two header lines and its line."""

    header: str
    line: str


def write(family: Metric) -> str:
    """Return a family as classic text; nothing for one without series.

    Raises ValueError when a name cannot be written, ValueError or TypeError when a row has
    other labels than its family, or something that is no text or number.
    """
    if not len(family):
        return ""
    header, line = _form(family.name, family.documentation, family.type, tuple(family.labels))
    lines = [header]
    add = lines.append
    known = _known.get
    if family.labels:
        for values, value in family.rows:
            texts = [known(text) or _escaped(text) for text in values]
            add(line % (*texts, _number(value)))
    else:
        for _, value in family.rows:
            add(line % _number(value))
    for sample in family.others:
        texts = [known(text) or _escaped(text) for text in sample.labels.values()]
        number = _number(sample.value)
        if sample.timestamp is not None:
            number = f"{number} {int(sample.timestamp * 1000)}"
        add(_line(sample.name, tuple(sample.labels)) % (*texts, number))
    return "".join(lines)


def render(families: Iterable[Metric]) -> bytes:
    """Return the page of families that have a name each; raises as ``write``."""
    return encode(map(write, families))


def encode(texts: Iterable[str]) -> bytes:
    """Return the page of what ``write`` has written."""
    return "".join(texts).encode("utf-8", "replace")


@_remembered
def _form(name: str, documentation: str, kind: str, labels: tuple[str, ...]) -> _Form:
    text = documentation.replace("\\", r"\\").replace("\n", r"\n")
    return _Form(f"# HELP {name} {text}\n# TYPE {name} {kind}\n", _line(name, labels))


@_remembered
def _line(name: str, labels: tuple[str, ...]) -> str:
    """Return the line of a series, with a %s for each label's value and one for the number."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a metric name: {name[:80]!r}")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise ValueError(f"not a label name: {label[:80]!r}")
    if not labels:
        return f"{name} %s\n"
    return name + "{" + ",".join([f'{label}="%s"' for label in labels]) + "} %s\n"


def _number(value: float) -> str:
    if type(value) is int:
        return str(value)
    if isnan(value):
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))


#: Label values as they are written. They repeat from scrape to scrape.
_known: dict[str, str] = {}


def _escaped(text: str) -> str:
    if len(text) > LABEL_VALUE_LIMIT:
        # Two long values may share their beginning: the checksum keeps their series apart.
        checksum = zlib.crc32(text.encode("utf-8", "surrogatepass"))
        return _escaped(f"{text[: LABEL_VALUE_LIMIT - 9]}…{checksum:08x}")
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    if len(_known) >= _REMEMBERED:
        _known.clear()
    _known[text] = escaped
    return escaped
