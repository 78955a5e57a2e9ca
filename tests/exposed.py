"""The names of all metrics that Gnomon's own parts expose, as far as their code tells."""

import re
import subprocess
import sys
from functools import cache

from rulebook import ROOT

#: Endings that a family's name gets on the page.
_ENDINGS = ("", "_total", "_bucket", "_count", "_sum")
_HISTOGRAM = ("", "_bucket", "_count", "_sum")
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
    named = re.findall(r"^\| `(\w+)` \| (\w*)", page, re.MULTILINE)
    return frozenset(
        name + ending
        for name, kind in named
        for ending in (_HISTOGRAM if kind == "histogram" else ("",))
    )


# In a process of its own: what an import may start belongs to no test.
_FAMILIES = """
import contextlib, importlib, pkgutil
import gnomon
from gnomon import subjects
for module in pkgutil.walk_packages(gnomon.__path__, "gnomon."):
    with contextlib.suppress(ImportError, RuntimeError):
        importlib.import_module(module.name)
print(*(family.name for family in subjects.counted()))
"""


@cache
def library() -> frozenset[str]:
    """Return every name that the library's code spells or makes, with the endings it can have."""
    spelt = {
        name
        for path in sorted((ROOT / "instrumentation/gnomon").rglob("*.py"))
        for name in _LITERAL.findall(path.read_text())
    }
    ran = subprocess.run(
        [sys.executable, "-c", _FAMILIES], capture_output=True, text=True, check=True, timeout=60
    )
    made = spelt | set(ran.stdout.split())
    return frozenset({name + ending for name in made for ending in _ENDINGS} | _PROCESS)
