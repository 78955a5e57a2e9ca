"""The names of all metrics that Gnomon's own parts expose, as far as their code tells."""

import re
from functools import cache

from rulebook import ROOT

#: Endings that a family's name gets on the page.
_ENDINGS = ("", "_total", "_bucket", "_count", "_sum")
_LITERAL = re.compile(r'"([a-z][a-z0-9]*(?:_[a-z0-9]+)+)"')

#: prometheus-client's own collector, which the library registers.
_PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}


@cache
def exporter() -> frozenset[str]:
    """Return the names in docs/metrics.md, which a test compares with the collectors."""
    page = (ROOT / "docs/metrics.md").read_text()
    return frozenset(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))


@cache
def library() -> frozenset[str]:
    """Return every name that the library's code spells, with the endings that it can have."""
    spelt = {
        name
        for path in sorted((ROOT / "instrumentation/gnomon").rglob("*.py"))
        for name in _LITERAL.findall(path.read_text())
    }
    return frozenset({name + ending for name in spelt for ending in _ENDINGS} | _PROCESS)
