"""The processes collector."""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.processes import ProcessesCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.paths import Paths

PAGE = os.sysconf("SC_PAGE_SIZE")
STATES = ("Running", "Sleeping", "Waiting", "Zombie", "Other")


class Host:
    """A /proc of the test's own, in which processes come, work and go."""

    def __init__(self, root):
        self.root = root
        self.paths = Paths(str(root))
        self._write("stat", "cpu  1 2 3\nbtime 1700000000\n")
        self.add(1, "systemd", started=1)

    def add(self, pid, comm, *, started, line="", parent=1, state="S", threads=1):
        """Begin a process, or make it another one. line: its arguments, blanks between them."""
        words = f"{pid} ({comm}) {state} {parent} " + " ".join(["0"] * 15)
        self._write(f"{pid}/stat", f"{words} {threads} 0 {started} 8192000 500 0\n")
        self._write(f"{pid}/cmdline", line.replace(" ", "\0") + "\0" * bool(line))
        status = "Name:\tx\nState:\tS (sleeping)\nVmSwap:\t     40 kB\n"
        switches = "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n"
        self._write(f"{pid}/status", status + switches)
        self._write(f"{pid}/io", "rchar: 9\nwchar: 9\nread_bytes: 0\nwrite_bytes: 0\n")
        head = "Limit                     Soft Limit           Hard Limit           Units\n"
        self._write(f"{pid}/limits", head + "Max open files            4          8    files\n")
        descriptors = self.root / f"proc/{pid}/fd"
        descriptors.mkdir(exist_ok=True)
        for number in range(3):
            (descriptors / str(number)).touch()

    def work(self, pid, *, user=0, system=0, major=0, minor=0, read=0, write=0, switches=(0, 0)):
        """Set what a process has done since its start."""
        path = self.root / f"proc/{pid}/stat"
        head, _, tail = path.read_text().rpartition(")")
        fields = tail.split()
        for index, value in ((7, minor), (9, major), (11, user), (12, system)):
            fields[index] = str(value)
        path.write_text(f"{head}) {' '.join(fields)}\n")
        self._write(f"{pid}/io", f"read_bytes: {read}\nwrite_bytes: {write}\n")
        voluntary, forced = switches
        self._write(
            f"{pid}/status",
            f"State:\tS (sleeping)\nvoluntary_ctxt_switches:\t{voluntary}\n"
            f"nonvoluntary_ctxt_switches:\t{forced}\n",
        )

    def end(self, pid):
        """End a process."""
        subprocess.run(["rm", "-r", str(self.root / f"proc/{pid}")], check=True)

    def unreadable(self, pid, name):
        """Make a file of a process one that cannot be read, also by root."""
        path = self.root / f"proc/{pid}/{name}"
        if path.is_dir():
            subprocess.run(["rm", "-r", str(path)], check=True)
            path.touch()
        else:
            path.unlink()
            path.mkdir()

    def _write(self, path, text):
        file = self.root / "proc" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def host(tmp_path):
    """An empty host."""
    return Host(tmp_path)


class Page:
    """What a collector yielded, by line, and how it ended."""

    def __init__(self, collector):
        families = []
        self.error = ""
        try:
            for family in collector.collect():
                families.append(family)  # noqa: PERF402  # what came before an error stays
        except OSError as error:
            self.error = str(error)
        self.lines = render(families).decode().splitlines()
        series = [line.rpartition(" ") for line in self.lines if not line.startswith("#")]
        self.values = {name: float(value) for name, _, value in series}
        assert len(self.values) == len(series)

    def get(self, name, group="web", **labels):
        """Return one series of a group, None where it is absent."""
        pairs = {"groupname": group, **labels}
        text = ",".join(f'{label}="{value}"' for label, value in pairs.items())
        return self.values.get(f"namedprocess_namegroup_{name}{{{text}}}")


def test_reports_a_group(host, exposed):
    """Every family has process-exporter's name, type, labels and unit."""
    collector = ProcessesCollector(host.paths, groups=("web=uvicorn ",))
    exposed(collector)
    host.add(20, "python3", started=500, line="python3 -m uvicorn app:app --port 80")
    host.work(20, user=150, system=50, major=2, minor=300, read=4096, write=8192, switches=(7, 3))
    assert exposed(collector) == [
        "# TYPE namedprocess_namegroup_num_procs gauge",
        'namedprocess_namegroup_num_procs{groupname="web"} 1',
        "# TYPE namedprocess_namegroup_cpu_seconds_total counter",
        'namedprocess_namegroup_cpu_seconds_total{groupname="web",mode="user"} 1.5',
        'namedprocess_namegroup_cpu_seconds_total{groupname="web",mode="system"} 0.5',
        "# TYPE namedprocess_namegroup_read_bytes_total counter",
        'namedprocess_namegroup_read_bytes_total{groupname="web"} 4096',
        "# TYPE namedprocess_namegroup_write_bytes_total counter",
        'namedprocess_namegroup_write_bytes_total{groupname="web"} 8192',
        "# TYPE namedprocess_namegroup_major_page_faults_total counter",
        'namedprocess_namegroup_major_page_faults_total{groupname="web"} 2',
        "# TYPE namedprocess_namegroup_minor_page_faults_total counter",
        'namedprocess_namegroup_minor_page_faults_total{groupname="web"} 300',
        "# TYPE namedprocess_namegroup_context_switches_total counter",
        'namedprocess_namegroup_context_switches_total{groupname="web",ctxswitchtype="voluntary"} 7',  # noqa: E501
        'namedprocess_namegroup_context_switches_total{groupname="web",ctxswitchtype="nonvoluntary"} 3',  # noqa: E501
        "# TYPE namedprocess_namegroup_memory_bytes gauge",
        f'namedprocess_namegroup_memory_bytes{{groupname="web",memtype="resident"}} {500 * PAGE}',
        'namedprocess_namegroup_memory_bytes{groupname="web",memtype="virtual"} 8192000',
        'namedprocess_namegroup_memory_bytes{groupname="web",memtype="swapped"} 0',
        "# TYPE namedprocess_namegroup_open_filedesc gauge",
        'namedprocess_namegroup_open_filedesc{groupname="web"} 3',
        "# TYPE namedprocess_namegroup_worst_fd_ratio gauge",
        'namedprocess_namegroup_worst_fd_ratio{groupname="web"} 0.75',
        "# TYPE namedprocess_namegroup_oldest_start_time_seconds gauge",
        'namedprocess_namegroup_oldest_start_time_seconds{groupname="web"} 1700000005',
        "# TYPE namedprocess_namegroup_num_threads gauge",
        'namedprocess_namegroup_num_threads{groupname="web"} 1',
        "# TYPE namedprocess_namegroup_states gauge",
        'namedprocess_namegroup_states{groupname="web",state="Running"} 0',
        'namedprocess_namegroup_states{groupname="web",state="Sleeping"} 1',
        'namedprocess_namegroup_states{groupname="web",state="Waiting"} 0',
        'namedprocess_namegroup_states{groupname="web",state="Zombie"} 0',
        'namedprocess_namegroup_states{groupname="web",state="Other"} 0',
        "# TYPE namedprocess_scrape_errors counter",
        "namedprocess_scrape_errors 0",
        "# TYPE namedprocess_scrape_procread_errors counter",
        "namedprocess_scrape_procread_errors 0",
        "# TYPE namedprocess_scrape_partial_errors counter",
        "namedprocess_scrape_partial_errors 0",
    ]


def test_a_group_is_there_before_its_first_process(host):
    """0 processes and counters at 0 are reported from the start, so that increases show."""
    page = Page(ProcessesCollector(host.paths, groups=("web=uvicorn",), names=("nginx",)))
    for group in ("web", "nginx"):
        assert page.get("num_procs", group) == 0
        assert page.get("cpu_seconds_total", group, mode="user") == 0
        assert page.get("open_filedesc", group) == 0
        assert page.get("oldest_start_time_seconds", group) is None
        assert page.get("worst_fd_ratio", group) is None


def test_counts_from_the_first_look_on(host):
    """What an older process did before is not ours; a younger one's counts from its start."""
    host.add(20, "web", started=50)
    host.work(20, user=1000, switches=(100, 0))
    collector = ProcessesCollector(host.paths, names=("web",))
    assert Page(collector).get("cpu_seconds_total", mode="user") == 0
    host.work(20, user=1100, switches=(130, 5))
    host.add(21, "web", started=60)
    host.work(21, user=25, switches=(4, 1))
    page = Page(collector)
    assert page.get("cpu_seconds_total", mode="user") == 1.25
    assert page.get("context_switches_total", ctxswitchtype="voluntary") == 34
    assert page.get("context_switches_total", ctxswitchtype="nonvoluntary") == 6


def test_counters_stay_when_a_process_ends(host):
    """A process that ends takes its gauges along and leaves what it has counted."""
    collector = ProcessesCollector(host.paths, names=("web",))
    Page(collector)
    host.add(20, "web", started=60)
    host.work(20, user=300, read=5000)
    before = Page(collector)
    assert before.get("num_procs") == 1
    host.end(20)
    after = Page(collector)
    assert after.get("num_procs") == 0
    assert after.get("memory_bytes", memtype="resident") == 0
    assert after.get("cpu_seconds_total", mode="user") == 3
    assert after.get("read_bytes_total") == 5000


def test_a_pid_that_is_used_again_is_another_process(host):
    """Under the same pid a later start is another process, in a group of its own or in none."""
    collector = ProcessesCollector(host.paths, names=("web", "db"))
    Page(collector)
    host.add(20, "web", started=60)
    host.work(20, user=500)
    assert Page(collector).get("cpu_seconds_total", mode="user") == 5
    host.add(20, "db", started=90)
    host.work(20, user=700)
    page = Page(collector)
    assert page.get("cpu_seconds_total", mode="user") == 5
    assert page.get("cpu_seconds_total", "db", mode="user") == 7
    assert (page.get("num_procs"), page.get("num_procs", "db")) == (0, 1)
    host.add(20, "web", started=99)  # the same name again, with less on the clock
    host.work(20, user=100)
    page = Page(collector)
    assert page.get("cpu_seconds_total", mode="user") == 6
    assert page.get("cpu_seconds_total", "db", mode="user") == 7


def test_the_first_group_that_matches_has_the_process(host):
    """Groups come in their order, then names; what matches nothing is in no group."""
    host.add(20, "python3", started=9, line="python3 -m celery worker")
    host.add(21, "python3", started=9, line="python3 tool.py")
    host.add(22, "kworker/0:1", started=9)
    host.add(23, "sh", started=9, line="sh")
    collector = ProcessesCollector(
        host.paths,
        groups=("celery=celery", "python=^python", "kernel=^\\[kworker"),
        names=("python3",),
    )
    page = Page(collector)
    counts = {group: page.get("num_procs", group) for group in ("celery", "python", "kernel")}
    assert counts == {"celery": 1, "python": 1, "kernel": 1}
    assert page.get("num_procs", "python3") == 0


def test_children_belong_to_their_parents_group(host):
    """A process that matches nothing is where its parent is, also after that has ended."""
    host.add(20, "web", started=9)
    host.add(30, "helper", started=12, parent=20)
    host.add(31, "helper", started=13, parent=30)
    host.add(32, "helper", started=13, parent=1)
    collector = ProcessesCollector(host.paths, names=("web",))
    assert Page(collector).get("num_procs") == 3
    host.end(20)
    assert Page(collector).get("num_procs") == 2
    without = ProcessesCollector(host.paths, names=("helper", "web"), children=False)
    assert Page(without).get("num_procs", "helper") == 3


def test_a_new_name_after_an_exec_changes_the_group(host):
    """A process that execs something else moves; what it has counted stays where it was."""
    host.add(20, "sh", started=9)
    collector = ProcessesCollector(host.paths, names=("sh", "web"))
    Page(collector)
    host.work(20, user=100)
    assert Page(collector).get("cpu_seconds_total", "sh", mode="user") == 1
    host.add(20, "web", started=9)
    host.work(20, user=150)
    page = Page(collector)
    assert (page.get("num_procs", "sh"), page.get("num_procs")) == (0, 1)
    assert page.get("cpu_seconds_total", "sh", mode="user") == 1
    assert page.get("cpu_seconds_total", mode="user") == 0.5


def test_what_may_not_be_read_is_absent_and_counted(host):
    """Without the IO of one process the group has no IO, not 0; the error is counted each time."""
    collector = ProcessesCollector(host.paths, names=("web", "db"))
    host.add(20, "web", started=60)
    host.add(21, "web", started=60)
    host.add(22, "db", started=60)
    host.unreadable(20, "io")
    host.unreadable(20, "fd")
    page = Page(collector)
    assert page.error == ""
    for name in ("read_bytes_total", "write_bytes_total", "open_filedesc", "worst_fd_ratio"):
        assert page.get(name) is None, name
        assert page.get(name, "db") is not None, name
    assert page.get("cpu_seconds_total", mode="user") == 0
    assert page.get("num_procs") == 2
    assert page.values["namedprocess_scrape_partial_errors"] == 1
    assert Page(collector).values["namedprocess_scrape_partial_errors"] == 2


def test_a_counter_comes_back_without_what_was_not_seen(host):
    """IO that becomes readable later counts from then on."""
    collector = ProcessesCollector(host.paths, names=("web",))
    Page(collector)
    host.add(20, "web", started=1)  # as old as our first look
    host.unreadable(20, "io")
    assert Page(collector).get("read_bytes_total") is None
    (host.root / "proc/20/io").rmdir()
    host.work(20, read=7000)
    assert Page(collector).get("read_bytes_total") == 0
    host.work(20, read=7500)
    assert Page(collector).get("read_bytes_total") == 500


def test_a_hidden_proc_is_an_error_and_no_empty_group(host):
    """Where other users' processes are hidden, a group must not look empty."""
    host.end(1)
    host.add(20, "web", started=9)
    page = Page(ProcessesCollector(host.paths, names=("web",)))
    assert "hidepid" in page.error
    assert page.get("num_procs") is None
    assert page.values["namedprocess_scrape_errors"] == 1


def test_a_process_that_cannot_be_read_is_told_and_costs_no_other(host):
    """A broken stat is counted, the rest is reported, and the run fails."""
    host.add(20, "web", started=9)
    host.add(21, "web", started=9)
    (host.root / "proc/21/stat").write_text("21 (web) S\n")
    page = Page(ProcessesCollector(host.paths, names=("web",)))
    assert page.get("num_procs") == 1
    assert page.error == "1 processes cannot be read"
    assert page.values["namedprocess_scrape_procread_errors"] == 1


def test_no_group_is_no_data(host):
    """Without groups there is nothing of the subject."""
    with pytest.raises(NoData):
        list(ProcessesCollector(host.paths).collect())


@pytest.mark.parametrize("entry", ["web", "=x", "web=", ""])
def test_a_group_without_name_or_expression_is_refused(host, entry):
    """The complaint begins with the setting and says what to write."""
    with pytest.raises(ValueError, match=r"^groups: .*NAME=EXPRESSION"):
        ProcessesCollector(host.paths, groups=(entry,))
    with pytest.raises(ValueError, match=r"^groups: not a regular expression"):
        ProcessesCollector(host.paths, groups=("web=(",))


def test_hostile_names_and_command_lines_are_never_shown(host):
    """Parentheses, newlines and a megabyte of arguments match or not; labels are ours alone."""
    host.add(20, ") S 1 (x", started=60, line="web secret-token " + "y" * 1_000_000)
    host.add(21, "a\nb) R 1", started=60, line="\xff\udcff".encode("utf-8", "replace").decode())
    host.add(22, "", started=60)
    page = Page(ProcessesCollector(host.paths, groups=("web=^web ",), names=(") S 1 (x",)))
    assert page.error == ""
    assert page.get("num_procs") == 1
    assert "secret" not in "\n".join(page.lines)


def test_a_zombie_is_counted_and_holds_nothing(host):
    """A zombie is a process in state Zombie, without files, and no error."""
    collector = ProcessesCollector(host.paths, names=("web",))
    host.add(20, "web", started=60, state="Z")
    for name in ("io", "fd", "limits"):
        host.unreadable(20, name)
    page = Page(collector)
    assert page.get("states", state="Zombie") == 1
    assert page.get("open_filedesc") == 0
    assert page.values["namedprocess_scrape_partial_errors"] == 0


def test_sees_threads_come_and_go(host):
    """Switches are those of all threads; an ended thread's stay, a new one's are added."""
    collector = ProcessesCollector(host.paths, names=("web",))
    Page(collector)
    host.add(20, "web", started=60, threads=2)

    def thread(number, state, voluntary):
        host._write(
            f"20/task/{number}/status",
            f"State:\t{state} (x)\nvoluntary_ctxt_switches:\t{voluntary}\n"
            "nonvoluntary_ctxt_switches:\t1\n",
        )

    thread(20, "S", 10)
    thread(21, "R", 100)
    page = Page(collector)
    assert page.get("context_switches_total", ctxswitchtype="voluntary") == 110
    assert page.get("states", state="Running") == 1
    assert page.get("states", state="Sleeping") == 1
    assert page.get("num_threads") == 2
    subprocess.run(["rm", "-r", str(host.root / "proc/20/task/21")], check=True)
    thread(20, "S", 15)
    thread(22, "D", 5)
    page = Page(collector)
    assert page.get("context_switches_total", ctxswitchtype="voluntary") == 120
    assert page.get("context_switches_total", ctxswitchtype="nonvoluntary") == 3
    assert page.get("states", state="Waiting") == 1
    off = Page(ProcessesCollector(host.paths, names=("web",), threads=False))
    assert off.get("context_switches_total", ctxswitchtype="voluntary") is None
    assert off.values["namedprocess_scrape_partial_errors"] == 0


def test_reads_proportional_memory_on_request(host):
    """Smaps adds two kinds of memory; without it they are absent."""
    host.add(20, "web", started=60)
    host._write("20/smaps_rollup", "00-ff ---p 0 0 0 [rollup]\nPss:  100 kB\nSwapPss:  4 kB\n")
    page = Page(ProcessesCollector(host.paths, names=("web",), smaps=True))
    assert page.get("memory_bytes", memtype="proportionalResident") == 102_400
    assert page.get("memory_bytes", memtype="proportionalSwapped") == 4096
    page = Page(ProcessesCollector(host.paths, names=("web",)))
    assert page.get("memory_bytes", memtype="proportionalResident") is None


# The kernel's own /proc.

_WORKER = """
import sys, threading, time
event = threading.Event()
threading.Thread(target=event.wait, daemon=True).start()
file = open("/dev/null")
print("up", flush=True)
for line in sys.stdin:
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    print("done", flush=True)
"""


@contextlib.contextmanager
def worker(mark, **keywords):
    """A real process with a thread, that works when told."""
    words = [sys.executable, "-c", _WORKER, mark]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **keywords
    ) as process:
        assert process.stdout.readline() == "up\n"
        yield process
        process.stdin.close()


def test_follows_a_real_process():
    """CPU time, threads and open files of a real process, and its counters after its end."""
    mark = f"gnomon-test-{os.getpid()}-follow"
    collector = ProcessesCollector(Paths(), groups=(f"web={mark}",))
    assert Page(collector).get("num_procs") == 0
    with worker(mark) as process:
        process.stdin.write("work\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        page = Page(collector)
        assert page.error == ""
        assert page.get("num_procs") == 1
        assert page.get("num_threads") == 2
        assert page.get("open_filedesc") == len(os.listdir(f"/proc/{process.pid}/fd"))
        assert 0 < page.get("worst_fd_ratio") < 1
        used = sum(page.get("cpu_seconds_total", mode=mode) for mode in ("user", "system"))
        assert 0.25 < used < 30
        assert page.get("memory_bytes", memtype="resident") > 1_000_000
        assert abs(page.get("oldest_start_time_seconds") - time.time()) < 60
        assert page.get("context_switches_total", ctxswitchtype="voluntary") > 0
        assert sum(page.get("states", state=state) for state in STATES) == 2
    after = Page(collector)
    assert after.get("num_procs") == 0
    assert sum(after.get("cpu_seconds_total", mode=mode) for mode in ("user", "system")) >= used


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_users_files_are_absent_and_no_zeros():
    """As nobody, the IO of root's process may not be read: absent and counted, not 0."""
    mark = f"gnomon-test-{os.getpid()}-permission"
    code = f"""
import json, os, sys
sys.path[:0] = {sys.path!r}
from gnomon_exporter.collectors.processes import ProcessesCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.paths import Paths
collector = ProcessesCollector(Paths(), groups=("web={mark}$",))
render(collector.collect())
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(json.dumps(render(collector.collect()).decode().splitlines()))
"""
    with worker(mark):
        answer = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
    lines = json.loads(answer.stdout)
    assert 'namedprocess_namegroup_num_procs{groupname="web"} 1' in lines
    assert any(line.startswith("namedprocess_namegroup_cpu_seconds_total{") for line in lines)
    assert not [line for line in lines if line.startswith("namedprocess_namegroup_read_bytes")]
    (errors,) = [line for line in lines if line.startswith("namedprocess_scrape_partial_errors ")]
    assert int(errors.split()[1]) >= 1
