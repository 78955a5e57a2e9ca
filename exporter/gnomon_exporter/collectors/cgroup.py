"""Control groups: what each may use and does use, under cAdvisor's names, from /sys/fs/cgroup.

Off by default: ten small files for each cgroup cost about 0.2 ms of CPU, so a host with a
hundred services would pay more for this collector than for all of node_exporter's together. It
is worth that where services or containers have limits.

Version 1 and 2 of cgroups, also both at once as old systemd mounts them.
https://docs.kernel.org/admin-guide/cgroup-v2.html,
https://docs.kernel.org/admin-guide/cgroup-v1/index.html
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.filters import NameFilter
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read_value

#: systemd makes cgroups for all its units, and one for each login, whose number never returns.
_NOT_WORK = r"\.(automount|device|mount|path|socket|swap|target|timer)$|/session-[^/]*\.scope$"

#: Files of a cgroup by name; None where there is no such file or it cannot be read.
_Files = Callable[[str], str | None]
_Values = Iterator[tuple[str, float]]
_Reader = Callable[[_Files], _Values]

_CPU_USAGE = "container_cpu_usage_seconds_total"
# Type and help by name, in the order of the page.
_FAMILIES = {
    _CPU_USAGE: (CounterMetricFamily, "CPU time used."),
    "container_cpu_user_seconds_total": (CounterMetricFamily, "CPU time used outside the kernel."),
    "container_cpu_system_seconds_total": (CounterMetricFamily, "CPU time used by the kernel."),
    "container_spec_cpu_period": (GaugeMetricFamily, "Period of the quota in microseconds."),
    "container_spec_cpu_quota": (
        GaugeMetricFamily,
        "Quota: CPU time in a period, microseconds.",
    ),
    "container_cpu_cfs_periods_total": (
        CounterMetricFamily,
        "Periods of the quota so far.",
    ),
    "container_cpu_cfs_throttled_periods_total": (
        CounterMetricFamily,
        "Periods in which the quota was used up.",
    ),
    "container_cpu_cfs_throttled_seconds_total": (
        CounterMetricFamily,
        "Time that threads were kept from the CPU because the quota was used up.",
    ),
    "container_memory_usage_bytes": (GaugeMetricFamily, "Memory used, page cache included."),
    "container_memory_working_set_bytes": (
        GaugeMetricFamily,
        "Memory used less the page cache that was not touched lately.",
    ),
    "container_memory_rss": (GaugeMetricFamily, "Anonymous memory in bytes."),
    "container_memory_cache": (GaugeMetricFamily, "Page cache in bytes."),
    "container_memory_mapped_file": (
        GaugeMetricFamily,
        "Page cache that processes have mapped.",
    ),
    "container_memory_swap": (GaugeMetricFamily, "Swap used in bytes."),
    "container_memory_max_usage_bytes": (GaugeMetricFamily, "Most memory ever used."),
    "container_memory_failcnt": (CounterMetricFamily, "Times the memory limit was hit."),
    "container_memory_events_high_total": (
        CounterMetricFamily,
        "Times memory.high was passed.",
    ),
    "container_memory_events_max_total": (CounterMetricFamily, "Times the memory limit was hit."),
    "container_oom_events_total": (CounterMetricFamily, "Processes killed for want of memory."),
    "container_spec_memory_limit_bytes": (GaugeMetricFamily, "Memory limit, 0 for none."),
    "container_threads": (GaugeMetricFamily, "Threads."),
    "container_threads_max": (GaugeMetricFamily, "Most threads allowed, 0 for any number."),
    **{
        f"container_pressure_{resource}_{kind}_seconds_total": (CounterMetricFamily, documentation)
        for resource in ("cpu", "memory", "io")
        for kind, documentation in (
            ("waiting", f"Time during which at least one task waited for {resource}."),
            ("stalled", f"Time during which every task that could have run waited for {resource}."),
        )
    },
}
#: Version 1 writes a number close to 2^63 for "no limit".
_NO_LIMIT = 1 << 62


class CgroupCollector:
    """Limits and use of control groups: services, containers, pods.

    depth: levels below the root. systemd's services are on level 2, Docker's containers, too,
    those of Kubernetes on 4.
    cgroups_include: regular expression of the paths to report, such as ``/docker-``; found
    anywhere in the path. Excludes cgroups_exclude.
    cgroups_exclude: regular expression of the paths not to report.
    limit: most cgroups to look at, those nearest to the root first.
    pressure: also report stalls by CPU, memory and IO (version 2).
    """

    def __init__(
        self,
        paths: Paths,
        *,
        depth: int = 4,
        cgroups_include: str = "",
        cgroups_exclude: str = _NOT_WORK,
        limit: int = 1000,
        pressure: bool = False,
    ) -> None:
        self._filter = NameFilter(
            "cgroups", include=cgroups_include, exclude=cgroups_exclude, default=_NOT_WORK
        )
        self._mount = paths.sys("fs/cgroup")
        self._depth = depth
        self._limit = limit
        self._pressure = pressure

    def collect(self) -> Iterator[Metric]:
        """Yield what can be read of each cgroup. NoData where none are mounted.

        OSError at the end when there are more cgroups than ``limit``.
        """
        families: dict[str, Metric] = {
            name: kind(name, documentation, labels=("id",))
            for name, (kind, documentation) in _FAMILIES.items()
        }
        # cAdvisor can tell the CPUs apart, so it has a label for all of them together.
        families[_CPU_USAGE].labels = ("id", "cpu")
        found = too_many = False
        for root, readers in self._hierarchies():
            found = True
            looked_at = 0
            for ident, files in self._cgroups(root):
                looked_at += 1
                if looked_at > self._limit:
                    too_many = True
                    break
                if not self._filter.keeps(ident):
                    continue
                for reader in readers:
                    for name, value in reader(files):
                        labels = (ident, "total") if name == _CPU_USAGE else (ident,)
                        families[name].add_metric(labels, value)
        if not found:
            raise NoData("no cgroup controllers are mounted")
        yield from families.values()
        if too_many:
            raise OSError(f"more than {self._limit} cgroups: lower depth or raise limit")

    def _hierarchies(self) -> Iterator[tuple[str, Sequence[_Reader]]]:
        """Yield the root of each hierarchy and what there is to read in it."""
        if os.path.exists(f"{self._mount}/cgroup.controllers"):
            pressure = (_pressure,) if self._pressure else ()
            yield self._mount, (_cpu, _memory, _pids, *pressure)
            return
        for names, reader in (
            (("cpu", "cpu,cpuacct"), _cpu_v1),
            (("cpuacct", "cpu,cpuacct"), _cpuacct_v1),
            (("memory",), _memory_v1),
            (("pids",), _pids),
        ):
            for name in names:
                if os.path.isdir(root := f"{self._mount}/{name}"):
                    yield root, (reader,)
                    break

    def _cgroups(self, root: str) -> Iterator[tuple[str, _Files]]:
        """Yield path and files of each cgroup, level by level. One may vanish at any moment."""
        queue = deque([("/", 0)])
        while queue:
            ident, level = queue.popleft()
            try:
                directory = os.open(root + ident, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                yield _shown(ident), partial(_file, directory)
                # Each subdirectory is a link. A leaf's sixty files need not be listed.
                if level < self._depth and os.fstat(directory).st_nlink != 2:
                    parent = ident.rstrip("/")
                    queue.extend((f"{parent}/{name}", level + 1) for name in _children(directory))
            finally:
                os.close(directory)


def _file(directory: int, name: str) -> str | None:
    try:
        return read_value(name, dir_fd=directory)
    except OSError:
        return None


def _children(directory: int) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _shown(path: str) -> str:
    """Return a path as a label, bytes that are not UTF-8 in hexadecimal."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _cpu(files: _Files) -> _Values:
    usage = _table(files("cpu.stat"))
    for field, name in (
        ("usage_usec", _CPU_USAGE),
        ("user_usec", "container_cpu_user_seconds_total"),
        ("system_usec", "container_cpu_system_seconds_total"),
    ):
        if field in usage:
            yield name, usage[field] / 1e6
    quota, _, period = (files("cpu.max") or "").partition(" ")
    yield from _bandwidth(_number(quota), _number(period), usage, "throttled_usec", 1e6)


def _cpu_v1(files: _Files) -> _Values:
    quota = _number(files("cpu.cfs_quota_us"))
    period = _number(files("cpu.cfs_period_us"))
    usage = _table(files("cpu.stat"))
    yield from _bandwidth(quota, period, usage, "throttled_time", 1e9)


def _bandwidth(
    quota: int | None, period: int | None, usage: dict[str, int], throttled: str, unit: float
) -> _Values:
    """Yield the quota, and how often and how long it held tasks back; nothing without a quota."""
    if period is not None:
        yield "container_spec_cpu_period", period
    if quota is None or quota < 0:
        return
    yield "container_spec_cpu_quota", quota
    if "nr_periods" in usage:
        yield "container_cpu_cfs_periods_total", usage["nr_periods"]
    if "nr_throttled" in usage:
        yield "container_cpu_cfs_throttled_periods_total", usage["nr_throttled"]
    if throttled in usage:
        yield "container_cpu_cfs_throttled_seconds_total", usage[throttled] / unit


def _cpuacct_v1(files: _Files) -> _Values:
    if (total := _number(files("cpuacct.usage"))) is not None:
        yield _CPU_USAGE, total / 1e9
    usage = _table(files("cpuacct.stat"))
    for mode in ("user", "system"):
        if mode in usage:
            # In ticks for user space, of which every Linux has 100 a second.
            yield f"container_cpu_{mode}_seconds_total", usage[mode] / 100


def _memory(files: _Files) -> _Values:
    usage = _number(files("memory.current"))
    details = _table(files("memory.stat"))
    yield from _memory_use(usage, details, ("anon", "file", "file_mapped", "inactive_file"))
    if (swap := _number(files("memory.swap.current"))) is not None:
        yield "container_memory_swap", swap
    if (most := _number(files("memory.peak"))) is not None:
        yield "container_memory_max_usage_bytes", most
    events = _table(files("memory.events"))
    for field, name in (
        ("high", "container_memory_events_high_total"),
        ("max", "container_memory_events_max_total"),
        ("oom_kill", "container_oom_events_total"),
    ):
        if field in events:
            yield name, events[field]
    if (limit := _limit(files("memory.max"))) is not None:
        yield "container_spec_memory_limit_bytes", limit


def _memory_v1(files: _Files) -> _Values:
    usage = _number(files("memory.usage_in_bytes"))
    details = _table(files("memory.stat"))
    # Those of the cgroups below it included, as everywhere in version 2.
    fields = ("total_rss", "total_cache", "total_mapped_file", "total_inactive_file")
    yield from _memory_use(usage, details, fields)
    if "total_swap" in details:
        yield "container_memory_swap", details["total_swap"]
    if (most := _number(files("memory.max_usage_in_bytes"))) is not None:
        yield "container_memory_max_usage_bytes", most
    if (failures := _number(files("memory.failcnt"))) is not None:
        yield "container_memory_failcnt", failures
    control = _table(files("memory.oom_control"))
    if "oom_kill" in control:  # from Linux 4.13 on
        yield "container_oom_events_total", control["oom_kill"]
    if (limit := _number(files("memory.limit_in_bytes"))) is not None:
        yield "container_spec_memory_limit_bytes", limit if limit < _NO_LIMIT else 0


def _memory_use(usage: int | None, details: dict[str, int], fields: Sequence[str]) -> _Values:
    rss, cache, mapped, inactive = fields
    if usage is not None:
        yield "container_memory_usage_bytes", usage
        if inactive in details:
            yield "container_memory_working_set_bytes", max(0, usage - details[inactive])
    for field, name in (
        (rss, "container_memory_rss"),
        (cache, "container_memory_cache"),
        (mapped, "container_memory_mapped_file"),
    ):
        if field in details:
            yield name, details[field]


def _pids(files: _Files) -> _Values:
    if (threads := _number(files("pids.current"))) is not None:
        yield "container_threads", threads
    if (limit := _limit(files("pids.max"))) is not None:
        yield "container_threads_max", limit


def _pressure(files: _Files) -> _Values:
    for resource in ("cpu", "memory", "io"):
        # some avg10=0.00 avg60=0.00 avg300=0.00 total=1234
        for line in (files(f"{resource}.pressure") or "").splitlines():
            kind = {"some": "waiting", "full": "stalled"}.get(line[:4])
            total = _number(line.rpartition("total=")[2])
            if kind and total is not None:
                yield f"container_pressure_{resource}_{kind}_seconds_total", total / 1e6


def _number(text: str | None) -> int | None:
    """Return the whole number in a file, None for no file, for "max" and for anything else."""
    try:
        return int(text or "")
    except ValueError:
        return None


def _limit(text: str | None) -> int | None:
    """Return a limit, 0 for "max" as cAdvisor does."""
    return 0 if text == "max" else _number(text)


def _table(text: str | None) -> dict[str, int]:
    """Return the numbers in lines of a name and a number; lines of another kind are left out."""
    pairs = (line.partition(" ") for line in (text or "").splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdecimal()}
