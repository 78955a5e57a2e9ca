"""Reading Prometheus' classic text format 0.0.4, as strictly as Prometheus itself does.

prometheus-client's own parser forgets whether a counter's name ended in ``_total``, and takes
half a line for a whole one. A drop-in for node_exporter must do neither.
"""

import re
from dataclasses import dataclass, field

from gnomon_exporter.families import Sample

# Quantifiers are possessive (++): a name must not give its last letter away as a value, and a
# megabyte must not be tried from every letter.
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_VALID_NAME = re.compile(_NAME)
_COMMENT = re.compile(r"[ \t]*#[ \t]*(HELP|TYPE)[ \t]+([^ \t]+)[ \t]*(.*)")
# Braces occur in the values of labels too, but nowhere behind the labels: the last one ends them.
_SAMPLE = re.compile(rf"[ \t]*({_NAME})[ \t]*(?:\{{(.*)\}}[ \t]*)?([^ \t{{}}]+)[ \t]*(.*)")
_LABEL = re.compile(
    r"[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"
    r'"([^"\\]*+(?:\\[\\n"][^"\\]*+)*+)"[ \t]*(?:,[ \t]*|\Z)'
)
_ESCAPE = re.compile(r'\\([\\n"])')

_KINDS = ("counter", "gauge", "histogram", "summary", "untyped")
_PARTS = {"summary": ("_count", "_sum"), "histogram": ("_bucket", "_count", "_sum")}


@dataclass(slots=True)
class Family:
    """A metric as it was written. ``help`` and ``kind`` are None where no line gives them."""

    name: str
    help: str | None = None
    kind: str | None = None
    samples: list[Sample] = field(default_factory=list)


def parse(text: str) -> list[Family]:
    """Return the families in their order, names to the letter; those without samples are left out.

    Raises ValueError with the number of the line for whatever is not in the format, for a last
    line without its end (the file is still being written), and for a timestamp, which would pass
    something old off as new.
    """
    if text and not text.endswith("\n"):
        raise ValueError("the last line has no end: the file is not whole")
    families: dict[str, Family] = {}
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip(" \t")
        try:
            if content.startswith("#"):
                _read_comment(content, families)
            elif content:
                _read_sample(content, families)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}: {line[:100]!r}") from None
    return [family for family in families.values() if family.samples]


def _read_comment(line: str, families: dict[str, Family]) -> None:
    if (match := _COMMENT.fullmatch(line)) is None:
        return
    keyword, name, rest = match.groups()
    if not _VALID_NAME.fullmatch(name):
        raise ValueError("not a metric name")
    family = families.get(name)
    if family is None:
        family = families[name] = Family(name)
    if not rest:
        return
    if keyword == "HELP":
        if family.help is not None:
            raise ValueError("a second HELP line")
        family.help = _unescaped(rest)
        return
    if family.kind is not None:
        raise ValueError("a second TYPE line")
    if family.samples:
        raise ValueError("a TYPE line behind the metric's samples")
    family.kind = rest.lower()
    if family.kind not in _KINDS:
        raise ValueError("not a type")


def _read_sample(line: str, families: dict[str, Family]) -> None:
    if (match := _SAMPLE.fullmatch(line)) is None:
        raise ValueError("neither a comment nor a sample")
    name, labels, number, rest = match.groups()
    # float() knows digits of other scripts, underscores between them and blanks of other kinds.
    if "_" in number or not (number.isascii() and number.isprintable()):
        raise ValueError("not a number")
    value = float(number)
    if rest:
        timestamp = rest.lstrip("-").isdecimal()
        raise ValueError("a timestamp is not supported" if timestamp else "text behind the value")
    family = _family(name, families)
    family.samples.append(Sample(name, _read_labels(labels) if labels else {}, value))


def _family(name: str, families: dict[str, Family]) -> Family:
    """Return the metric that a sample belongs to, a new one if none is there yet."""
    if (family := families.get(name)) is not None:
        return family
    base, _, part = name.rpartition("_")
    family = families.get(base)
    if family is not None and f"_{part}" in _PARTS.get(family.kind or "", ()):
        return family
    family = families[name] = Family(name)
    return family


def _read_labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    position = 0
    while position < len(text):
        if (match := _LABEL.match(text, position)) is None:
            raise ValueError("labels are not in the format")
        name, value = match.groups()
        if name in labels:
            raise ValueError("a label comes twice")
        if name == "__name__":
            raise ValueError("a label named __name__")
        labels[name] = _unescaped(value)
        position = match.end()
    return labels


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
