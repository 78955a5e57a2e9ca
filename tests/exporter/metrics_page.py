"""docs/metrics.md and the README's table, made from the collectors: ``make docs``.

The families are those that the collectors yield on the recorded hosts, so the page says what is,
not what was once written down.
"""

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import recorded_servers
from gnomon_exporter.collector import Collector, NoData
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.exporter import Exporter
from gnomon_exporter.families import Metric
from gnomon_exporter.guard import Guard
from gnomon_exporter.nvml import Driver
from gnomon_exporter.options import parse, summary
from gnomon_exporter.paths import Paths
from gnomon_exporter.scrape import runs
from gnomon_exporter.settings import Setting, settings_of
from gnomon_exporter.version import families as build_families
from scripted_nvml import ScriptedNvml

ROOT = Path(__file__).parents[2]
METRICS = ROOT / "docs/metrics.md"
README = ROOT / "README.md"

_HOSTS = [Path(__file__).parent / "fixtures" / name for name in ("debian-12-vm", "metal")]
_MARKS = ("<!-- collectors: made by `make docs` -->\n", "<!-- end of collectors -->\n")
_HEAD = """\
# Metrics

Made by `make docs` from the collectors, run on the recorded hosts in `tests/exporter/fixtures`;
CI checks that nothing differs. Another kernel or device may have fewer, or more of the same kind.
"""
_NONE = """\
None on the recorded hosts: these need a server to talk to. Their tests compare them with a real
one, under the names of that server's usual exporter.
"""


def metrics() -> str:
    """Return the text of docs/metrics.md."""
    return "\n".join([_HEAD, *_sections()])


def readme() -> str:
    """Return the README with its table of collectors as it has to be."""
    rows = ["| collector | what | |", "|---|---|---|"]
    for name, entry in sorted(COLLECTORS.items()):
        state = "" if entry.default else "off by default"
        rows.append(f"| [{name}](docs/metrics.md#{name}) | {summary(entry)} | {state} |")
    first, last = _MARKS
    table = first + "\n" + "\n".join(rows) + "\n\n" + last
    return re.sub(
        re.escape(first) + ".*" + re.escape(last),
        lambda _: table,
        README.read_text(),
        flags=re.DOTALL,
    )


def _sections() -> Iterator[str]:
    for name, entry in sorted(COLLECTORS.items()):
        state = "" if entry.default else " Off by default."
        yield f"## {name}\n\n{summary(entry)}.{state}\n"
        settings = settings_of(entry.factory)
        if settings:
            rows = [
                f"| `{setting.name}` | {_default(setting)} | {setting.meaning} |"
                for setting in settings.values()
            ]
            yield "\n".join(["| setting | default | what |", "|---|---|---|", *rows, ""])
        yield _table(_families(name)) or _NONE
    yield "## The exporter itself\n"
    own = Exporter(parse([], COLLECTORS), COLLECTORS)
    yield _table([*_own(), *build_families(), *own._reloads()])


def _default(setting: Setting) -> str:
    if setting.default in ("", ()):
        return ""
    text = " ".join(setting.default) if isinstance(setting.default, tuple) else setting.default
    return f"`{text}`".replace("|", "\\|")


def _families(name: str) -> Iterable[Metric]:
    """Return each family that a collector yields on any of the hosts."""
    found: dict[str, Metric] = {}
    for collector in _collectors(name):
        try:
            for family in collector.collect():
                if len(family):
                    found.setdefault(family.name, family)
        except (NoData, OSError):
            continue  # this host has none, or a part of it is not recorded
    return found.values()


def _collectors(name: str) -> Iterator[Collector]:
    if name == "gpu":
        for script in ("two-gpus.yml", "mig.yml"):
            yield from _gpus(script)
        return
    if name in ("celery", "memcached", "processes", "redis", "rq"):
        yield from recorded_servers.collectors(name)
        return
    for host in _HOSTS:
        try:
            yield COLLECTORS[name].factory(Paths(str(host)))
        except ValueError:
            return  # it has to be told where its server is


def _gpus(script: str) -> Iterator[Collector]:
    """Yield a collector of scripted GPUs twice, for what only a second run can tell.

    This process is at work on all of them: processes count that have a name.
    """
    nvml = ScriptedNvml(script)
    for gpu in nvml.gpus:
        for process in gpu.get("nvmlDeviceGetComputeRunningProcesses", ()):
            process["pid"] = os.getpid()
    driver = Driver(lambda: nvml, lambda: True)
    collector = GpuCollector(Paths(), dcgm=True, processes=True, _driver=driver)
    # Their numbers are ours, whatever namespace this is.
    collector._processes.comparable = lambda: True  # type: ignore[union-attr,method-assign]
    times = iter(range(0, 3600, 10))
    collector._mig._clock = lambda: float(next(times))
    yield collector
    yield collector


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
        return ""
    return "\n".join(["| family | type | labels | what |", "|---|---|---|---|", *rows, ""])


def _labels(family: Metric) -> str:
    names = dict.fromkeys(label for sample in family.samples for label in sample.labels)
    return ", ".join(f"`{label}`" for label in names)


if __name__ == "__main__":
    METRICS.write_text(metrics())
    README.write_text(readme())
    sys.stdout.write(f"{METRICS.name} and the table in {README.name} are written\n")
