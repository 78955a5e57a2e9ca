"""A process as its files in /proc tell: proc_pid_stat(5), proc_pid_status(5) and others."""

import os
from dataclasses import dataclass

from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

#: Clock ticks in a second.
TICKS = os.sysconf("SC_CLK_TCK")

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SWITCHES = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")


class GoneError(Exception):
    """The process ended before it was read."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says.

    started: in clock ticks since boot. With the pid it names a process for ever; a pid alone is
    used again.
    """

    pid: int
    started: int
    comm: str
    state: str
    parent: int
    threads: int
    minor_faults: int
    major_faults: int
    user_ticks: int
    system_ticks: int
    virtual_bytes: int
    resident_bytes: int

    @property
    def identity(self) -> tuple[int, int]:
        """The pid and the time of its start."""
        return self.pid, self.started


@dataclass(frozen=True, slots=True)
class Details:
    """What other files say; None for what cannot be read.

    io: bytes read from and written to storage.
    switches: by thread, how often it let go of the CPU and how often it had to.
    states: of each thread, a letter.
    descriptors: open files, and how many there may be.
    shares: bytes of memory and of swap, each page divided by the number of processes that have it.
    """

    swap_bytes: int | None
    io: tuple[int, int] | None
    switches: dict[str, tuple[int, int]] | None
    states: list[str]
    descriptors: int | None
    descriptor_limit: int | None
    shares: tuple[int, int] | None


class ProcessFiles:
    """Reads processes below a /proc."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        # Of a recorded tree a directory's size says nothing.
        self._is_kernels = os.path.ismount(paths.proc(""))

    def pids(self) -> list[int]:
        """Return all processes that are visible. Raises OSError."""
        return [int(name) for name in os.listdir(self._paths.proc("")) if name.isdecimal()]

    def boot_time(self) -> float:
        """Return the Unix time of the boot. Raises OSError, ValueError."""
        for line in read(self._paths.proc("stat")).splitlines():
            if line.startswith("btime "):
                return float(line[6:])
        raise ValueError("no boot time in /proc/stat")

    def stat(self, pid: int) -> Stat:
        """Return the core of a process. Raises GoneError, OSError, ValueError."""
        try:
            text = read(self._paths.proc(f"{pid}/stat"))
        except (FileNotFoundError, ProcessLookupError):
            raise GoneError from None
        # The name may hold blanks and parentheses; the last one closes it.
        head, _, tail = text.rpartition(")")
        fields = tail.split()
        if len(fields) < 22:
            raise ValueError(f"/proc/{pid}/stat has {len(fields) + 2} fields")
        return Stat(
            pid=pid,
            started=int(fields[19]),
            comm=head.partition("(")[2],
            state=fields[0],
            parent=int(fields[1]),
            threads=int(fields[17]),
            minor_faults=int(fields[7]),
            major_faults=int(fields[9]),
            user_ticks=int(fields[11]),
            system_ticks=int(fields[12]),
            virtual_bytes=int(fields[20]),
            resident_bytes=int(fields[21]) * _PAGE,
        )

    def command_line(self, stat: Stat) -> str:
        """Return the arguments joined by blanks; a kernel thread's name in brackets."""
        text = self._text(stat, "cmdline") or ""
        return text.rstrip("\0").replace("\0", " ") or f"[{stat.comm}]"

    def details(self, stat: Stat, *, threads: bool, shares: bool) -> Details:
        """Return the rest. A zombie's is empty, for it has let go of all. Raises GoneError.

        threads: look at each of them; without, there are no switches and one state.
        shares: walk the page tables, which takes long for much memory.
        """
        if stat.state == "Z":
            return Details(0, (0, 0), {}, ["Z"], 0, None, (0, 0))
        status = self._table(stat, "status")
        tables = {str(stat.pid): status}
        if threads and stat.threads > 1:
            tables = self._threads(stat) or tables
        switches = {thread: _both(table, *_SWITCHES) for thread, table in tables.items()}
        known = {thread: counts for thread, counts in switches.items() if counts is not None}
        return Details(
            # A kernel thread has no such line, for it has no memory of its own.
            swap_bytes=_kilobytes(status.get("VmSwap", "0 kB")) if status else None,
            io=_both(self._table(stat, "io"), "read_bytes", "write_bytes"),
            switches=known if threads and len(known) == len(switches) else None,
            states=[table.get("State", "?")[:1] for table in tables.values()],
            descriptors=self._descriptors(stat),
            descriptor_limit=self._descriptor_limit(stat),
            shares=self._shares(stat) if shares else None,
        )

    def _threads(self, stat: Stat) -> dict[str, dict[str, str]]:
        """Return the status of each thread that is still there."""
        try:
            threads = os.listdir(self._paths.proc(f"{stat.pid}/task"))
        except OSError:
            self._still_there(stat)
            return {}
        found = {}
        for thread in threads:
            try:
                text = read(self._paths.proc(f"{stat.pid}/task/{thread}/status"))
            except OSError:
                continue  # this thread has ended meanwhile
            found[thread] = _table(text)
        return found

    def _descriptors(self, stat: Stat) -> int | None:
        path = self._paths.proc(f"{stat.pid}/fd")
        try:
            # From Linux 6.2 on the directory's size is their number, for everybody to see.
            if self._is_kernels and (count := os.stat(path).st_size):
                return count
            return len(os.listdir(path))
        except OSError:
            self._still_there(stat)
            return None

    def _descriptor_limit(self, stat: Stat) -> int | None:
        for line in (self._text(stat, "limits") or "").splitlines():
            if line.startswith("Max open files"):
                soft = line.split()[3]
                return int(soft) if soft.isdecimal() else None
        return None

    def _shares(self, stat: Stat) -> tuple[int, int] | None:
        table = self._table(stat, "smaps_rollup")
        memory, swap = _kilobytes(table.get("Pss", "")), _kilobytes(table.get("SwapPss", ""))
        return None if memory is None or swap is None else (memory, swap)

    def _table(self, stat: Stat, name: str) -> dict[str, str]:
        return _table(self._text(stat, name) or "")

    def _text(self, stat: Stat, name: str) -> str | None:
        """Return a file of a process, None where it cannot be read. Raises GoneError."""
        try:
            return read(self._paths.proc(f"{stat.pid}/{name}"))
        except OSError:
            self._still_there(stat)
            return None

    def _still_there(self, stat: Stat) -> None:
        """Raise GoneError if a file was missing because the whole process is."""
        if not os.path.exists(self._paths.proc(f"{stat.pid}/stat")):
            raise GoneError


def _table(text: str) -> dict[str, str]:
    """Return the lines ``key: value``."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs}


def _both(table: dict[str, str], first: str, second: str) -> tuple[int, int] | None:
    one, two = table.get(first, ""), table.get(second, "")
    return (int(one), int(two)) if one.isdecimal() and two.isdecimal() else None


def _kilobytes(text: str) -> int | None:
    number = text.removesuffix(" kB").strip()
    return int(number) * 1024 if number.isdecimal() else None
