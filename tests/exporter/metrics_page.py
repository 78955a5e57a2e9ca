"""docs/metrics.md: every family that a collector yields on the recorded hosts. ``make docs``."""

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.families import Metric
from gnomon_exporter.guard import Guard
from gnomon_exporter.options import summary
from gnomon_exporter.paths import Paths
from gnomon_exporter.scrape import runs
from gnomon_exporter.settings import settings_of

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
_HOSTS = [Path(__file__).parent / "fixtures" / name for name in ("debian-12-vm", "metal")]
_HEAD = """\
# Metrics

Made by `make docs` from the collectors, run on the recorded hosts in `tests/exporter/fixtures`;
CI checks that nothing differs. A kernel or device that has more (another line in
`/proc/meminfo`, another sensor) gives more families of the same kind.
"""


def page() -> str:
    """Return the text of docs/metrics.md."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for name, entry in sorted(COLLECTORS.items()):
        state = "" if entry.default else " Off unless asked for."
        yield f"## {name}\n\n{summary(entry)}.{state}\n"
        settings = settings_of(entry.factory)
        if settings:
            yield f"Settings: {', '.join(f'`{name}`' for name in settings)}.\n"
        families = {}
        for host in _HOSTS:
            for family in _families(name, Paths(str(host))):
                families.setdefault(family.name, family)
        yield _table(families.values())
    yield "## The exporter itself\n"
    yield _table(_own())


def _families(name: str, paths: Paths) -> Iterator[Metric]:
    try:
        for family in COLLECTORS[name].factory(paths).collect():
            if len(family):
                yield family
    except (NoData, OSError):
        return  # this host has none, or a part of it is not recorded


class _One:
    """A node collector that succeeds, so that every series about a run appears."""

    def collect(self) -> Iterator[Metric]:
        yield from ()


def _own() -> Iterator[Metric]:
    guard = Guard("one", _One(), timeout=5, cap=1)
    outcome = guard.finish(guard.begin(), time.monotonic() + 5)
    for text in runs([(guard, outcome)], ["one"]):
        header, kind = text.splitlines()[:2]
        family = Metric(kind.split()[2], header.split(maxsplit=3)[3], kind.split()[3])
        family.labels = ["collector"]
        family.rows = [(["one"], 1)]
        yield family


def _table(families: Iterable[Metric]) -> str:
    rows = [
        f"| `{family.name}` | {family.type} | {_labels(family)} | {family.documentation} |"
        for family in sorted(families, key=lambda family: family.name)
    ]
    if not rows:
        return "Nothing on the recorded hosts.\n"
    return "\n".join(["| family | type | labels | what |", "|---|---|---|---|", *rows, ""])


def _labels(family: Metric) -> str:
    return ", ".join(f"`{label}`" for label in family.samples[0].labels)


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.name}: {page().count('| `')} families\n")
