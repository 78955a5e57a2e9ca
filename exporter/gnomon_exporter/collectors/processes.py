"""Groups of processes chosen by patterns, under process-exporter's names, from /proc.

Off by default, and without a group there is nothing to report: every scrape reads the stat of
every process, some 20 µs each, and more of those in groups.

Other than process-exporter, this one reports a group that has no process yet, leaves out what may
not be read (there it counts as 0), counts the main thread of several in ``states`` once, and
looks again at young processes, which may have exec'ed something else since the first look.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.filters import compiled
from gnomon_exporter.paths import Paths
from gnomon_exporter.process_files import TICKS, Details, GoneError, ProcessFiles, Stat

#: Seconds of a process' life in which it may still exec what it was started for.
_YOUNG = 60.0
_STATES = {"R": "Running", "S": "Sleeping", "D": "Waiting", "Z": "Zombie"}

_Identity = tuple[int, int]


@dataclass(slots=True)
class _Known:
    """A process that was seen: where it belongs, and its counters when it was last read.

    began: while we look, so that all that it has done counts.
    """

    comm: str
    group: str | None
    began: bool
    counts: dict[str, int] = field(default_factory=dict)
    switches: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
    """A group: what its processes have counted since we look, and what they have now.

    totals: never fall, whoever ends.
    unread: what cannot be summed up now, because one of the processes may not be read.
    """

    totals: dict[str, int]
    processes: int = 0
    now: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    oldest: int | None = None
    worst_ratio: float | None = None
    unread: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Forget what was true of the last scrape only."""
        self.processes = 0
        self.now = dict.fromkeys(_GAUGES, 0)
        self.states = dict.fromkeys((*_STATES.values(), "Other"), 0)
        self.oldest = self.worst_ratio = None
        self.unread = set()


_GAUGES = ("resident", "virtual", "swapped", "shared", "shared_swap", "descriptors", "threads")
_COUNTERS = ("user", "system", "read", "write", "major", "minor", "voluntary", "nonvoluntary")


class ProcessesCollector:
    """Groups of processes: CPU, memory, IO, threads, open files.

    groups: NAME=EXPRESSION; a process is in the first group whose regular expression is found in
    its command line (arguments joined by blanks; ``[name]`` for a kernel thread). The command
    line itself is never reported.
    names: processes by the exact name that top shows (at most 15 bytes), a group each.
    children: processes that match nothing belong where their parent does.
    threads: look at each thread, for context switches and states. Off, it costs less, and each
    process has one state.
    smaps: also report proportional memory. The kernel takes a millisecond and more for each GiB.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        groups: tuple[str, ...] = (),
        names: tuple[str, ...] = (),
        children: bool = True,
        threads: bool = True,
        smaps: bool = False,
    ) -> None:
        self._rules = []
        for entry in groups:
            name, equals, expression = entry.partition("=")
            if not (name and equals and expression):
                raise ValueError(f"groups: {entry!r}: write NAME=EXPRESSION")
            self._rules.append((name, compiled("groups", expression)))
        self._names = frozenset(names)
        self._children = children
        self._threads = threads
        self._smaps = smaps
        self._wanted = {"swap", "io", "descriptors"}
        self._wanted |= {"switches"} if threads else set()
        self._wanted |= {"shares"} if smaps else set()
        self._files = ProcessFiles(paths)
        self._boot_time: float | None = None
        self._groups = {
            name: _Group(dict.fromkeys(_COUNTERS, 0))
            for name in (*(name for name, _ in self._rules), *names)
        }
        self._known: dict[_Identity, _Known] = {}
        self._newest: int | None = None  # of those that were there when we first looked
        self._scrape_errors = self._read_errors = self._partial_errors = 0

    def collect(self) -> Iterator[Metric]:
        """Yield a sample for each group. NoData where none is configured.

        PermissionError when processes cannot be read, after what can be; without the groups when
        even process 1 is hidden (hidepid), for then a group may be large and seem empty.
        """
        if not self._groups:
            raise NoData("no groups are configured: set groups or names")
        hidden = 0
        try:
            if self._boot_time is None:
                self._boot_time = self._files.boot_time()
            stats, hidden = self._stats()
            if 1 not in stats:
                raise PermissionError("process 1 is hidden: /proc is mounted with hidepid")
            self._assign(stats)
            self._count(stats)
        except OSError:
            self._scrape_errors += 1
            yield from self._errors()
            raise
        yield from _families(self._groups, self._boot_time, smaps=self._smaps)
        yield from self._errors()
        if hidden:
            raise PermissionError(f"{hidden} processes cannot be read")

    def _stats(self) -> tuple[dict[int, Stat], int]:
        """Return the core of each process, and how many could not be read."""
        stats = {}
        hidden = 0
        for pid in self._files.pids():
            try:
                stats[pid] = self._files.stat(pid)
            except GoneError:
                continue
            except (OSError, ValueError):
                hidden += 1
        self._read_errors += hidden
        return stats, hidden

    def _assign(self, stats: Mapping[int, Stat]) -> None:
        """Say of each process which group it is in; forget those that have ended."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        before = self._known
        self._known = {}
        # Parents come first, so that children find them assigned.
        for stat in sorted(stats.values(), key=lambda stat: (stat.started, stat.pid)):
            known = before.get(stat.identity)
            is_young = now - stat.started / TICKS < _YOUNG
            if known is None:
                group = self._match(stat) or self._parents(stat, stats)
                began = self._newest is not None and stat.started > self._newest
                known = _Known(stat.comm, group, began)
            elif known.comm != stat.comm or is_young:
                known.comm = stat.comm
                known.group = self._match(stat) or (known.group if self._children else None)
                known.began = known.began and is_young
            self._known[stat.identity] = known
        if self._newest is None:
            self._newest = max(stat.started for stat in stats.values())

    def _match(self, stat: Stat) -> str | None:
        """Return the group that a process belongs to by itself."""
        if self._rules:
            try:
                line = self._files.command_line(stat)
            except GoneError:
                return None
            for name, expression in self._rules:
                if expression.search(line):
                    return name
        return stat.comm if stat.comm in self._names else None

    def _parents(self, stat: Stat, stats: Mapping[int, Stat]) -> str | None:
        """Return the group of a process' parent."""
        parent = stats.get(stat.parent)
        if not self._children or parent is None or parent.identity not in self._known:
            return None
        return self._known[parent.identity].group

    def _count(self, stats: Mapping[int, Stat]) -> None:
        """Add to each group what its processes have and have done."""
        for group in self._groups.values():
            group.begin()
        for stat in stats.values():
            known = self._known[stat.identity]
            if known.group is None:
                continue
            try:
                details = self._files.details(stat, threads=self._threads, shares=self._smaps)
            except GoneError:
                continue
            group = self._groups[known.group]
            _advance(group, known, stat, details)
            unread = _add(group, stat, details)
            group.unread |= unread
            self._partial_errors += bool(unread & self._wanted)

    def _errors(self) -> Iterator[Metric]:
        for name, documentation, value in (
            ("errors", "Scrapes that could not read /proc.", self._scrape_errors),
            ("procread_errors", "Processes that could not be read.", self._read_errors),
            (
                "partial_errors",
                "Processes in groups that could be read in part, such as without their IO.",
                self._partial_errors,
            ),
        ):
            yield CounterMetricFamily(f"namedprocess_scrape_{name}", documentation, value)


def _add(group: _Group, stat: Stat, details: Details) -> set[str]:
    """Add to a group what a process has now; return what of it could not be read."""
    group.processes += 1
    for key, value in (
        ("resident", stat.resident_bytes),
        ("virtual", stat.virtual_bytes),
        ("swapped", details.swap_bytes or 0),
        ("threads", stat.threads),
    ):
        group.now[key] += value
    for state in details.states:
        group.states[_STATES.get(state, "Other")] += 1
    if group.oldest is None or stat.started < group.oldest:
        group.oldest = stat.started
    if details.descriptors is not None:
        group.now["descriptors"] += details.descriptors
        if details.descriptor_limit:
            ratio = details.descriptors / details.descriptor_limit
            group.worst_ratio = max(group.worst_ratio or 0.0, ratio)
    if details.shares is not None:
        group.now["shared"] += details.shares[0]
        group.now["shared_swap"] += details.shares[1]
    parts = {
        "swap": details.swap_bytes,
        "io": details.io,
        "descriptors": details.descriptors,
        "switches": details.switches,
        "shares": details.shares,
    }
    return {name for name, part in parts.items() if part is None}


def _advance(group: _Group, known: _Known, stat: Stat, details: Details) -> None:
    """Add to a group what a process has done since it was last read."""
    counts = {
        "user": stat.user_ticks,
        "system": stat.system_ticks,
        "major": stat.major_faults,
        "minor": stat.minor_faults,
    }
    if details.io is not None:
        counts["read"], counts["write"] = details.io
    is_first = not known.counts
    for key, value in counts.items():
        before = known.counts.get(key, 0 if is_first and known.began else value)
        group.totals[key] += max(0, value - before)
    for thread, switches in (details.switches or {}).items():
        earlier = known.switches.get(thread, (0, 0) if known.began or not is_first else switches)
        if switches < earlier:  # another thread under the same number
            earlier = (0, 0)
        group.totals["voluntary"] += switches[0] - earlier[0]
        group.totals["nonvoluntary"] += max(0, switches[1] - earlier[1])
    known.counts |= counts
    known.switches = details.switches or known.switches


def _families(groups: Mapping[str, _Group], boot_time: float, *, smaps: bool) -> Iterator[Metric]:
    """Yield what is known of each group."""
    number = _gauge("num_procs", "Processes in the group.")
    cpu = _counter("cpu_seconds_total", "CPU time used.", "mode")
    reads = _counter("read_bytes_total", "Bytes fetched from storage.")
    writes = _counter("write_bytes_total", "Bytes sent to storage.")
    major = _counter("major_page_faults_total", "Page faults that needed storage.")
    minor = _counter("minor_page_faults_total", "Page faults that needed no storage.")
    switches = _counter("context_switches_total", "Context switches.", "ctxswitchtype")
    memory = _gauge("memory_bytes", "Memory by kind.", "memtype")
    descriptors = _gauge("open_filedesc", "Open files.")
    ratio = _gauge("worst_fd_ratio", "Open files as a share of the limit, where it is highest.")
    oldest = _gauge("oldest_start_time_seconds", "Unix time when the oldest process began.")
    threads = _gauge("num_threads", "Threads of the group.")
    states = _gauge("states", "Threads by state.", "state")
    for name, group in groups.items():
        totals, now = group.totals, group.now
        number.add_metric((name,), group.processes)
        for mode in ("user", "system"):
            cpu.add_metric((name, mode), totals[mode] / TICKS)
        major.add_metric((name,), totals["major"])
        minor.add_metric((name,), totals["minor"])
        if "io" not in group.unread:
            reads.add_metric((name,), totals["read"])
            writes.add_metric((name,), totals["write"])
        if "switches" not in group.unread:
            for kind in ("voluntary", "nonvoluntary"):
                switches.add_metric((name, kind), totals[kind])
        for kind in ("resident", "virtual"):
            memory.add_metric((name, kind), now[kind])
        if "swap" not in group.unread:
            memory.add_metric((name, "swapped"), now["swapped"])
        if smaps and "shares" not in group.unread:
            memory.add_metric((name, "proportionalResident"), now["shared"])
            memory.add_metric((name, "proportionalSwapped"), now["shared_swap"])
        if "descriptors" not in group.unread:
            descriptors.add_metric((name,), now["descriptors"])
            if group.worst_ratio is not None:
                ratio.add_metric((name,), group.worst_ratio)
        if group.oldest is not None:
            oldest.add_metric((name,), int(boot_time + group.oldest / TICKS))
        threads.add_metric((name,), now["threads"])
        for state, count in group.states.items():
            states.add_metric((name, state), count)
    yield from (number, cpu, reads, writes, major, minor, switches)
    yield from (memory, descriptors, ratio, oldest, threads, states)


def _gauge(name: str, documentation: str, *labels: str) -> Metric:
    labels = ("groupname", *labels)
    return GaugeMetricFamily(f"namedprocess_namegroup_{name}", documentation, labels=labels)


def _counter(name: str, documentation: str, *labels: str) -> Metric:
    labels = ("groupname", *labels)
    return CounterMetricFamily(f"namedprocess_namegroup_{name}", documentation, labels=labels)
