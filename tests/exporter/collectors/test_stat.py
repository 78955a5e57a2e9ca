"""The stat collector."""

from gnomon_exporter.collectors.stat import StatCollector
from gnomon_exporter.paths import Paths


def test_reports_a_recorded_machine(recorded, exposed):
    """Counters and gauges of /proc/stat stand under node_exporter's names."""
    assert exposed(StatCollector(recorded)) == [
        "# TYPE node_intr_total counter",
        "node_intr_total 909251",
        "# TYPE node_context_switches_total counter",
        "node_context_switches_total 2044170",
        "# TYPE node_boot_time_seconds gauge",
        "node_boot_time_seconds 1795266353",
        "# TYPE node_forks_total counter",
        "node_forks_total 47179",
        "# TYPE node_procs_running gauge",
        "node_procs_running 3",
        "# TYPE node_procs_blocked gauge",
        "node_procs_blocked 0",
    ]


def test_softirqs_come_on_request(metal, exposed):
    """Each vector of the softirq line is a series when the setting asks for it."""
    page = exposed(StatCollector(metal, softirq=True))
    assert page[page.index("# TYPE node_softirqs_total counter") :] == [
        "# TYPE node_softirqs_total counter",
        'node_softirqs_total{vector="hi"} 1',
        'node_softirqs_total{vector="timer"} 2',
        'node_softirqs_total{vector="net_tx"} 3',
        'node_softirqs_total{vector="net_rx"} 4',
        'node_softirqs_total{vector="block"} 5',
        'node_softirqs_total{vector="block_iopoll"} 6',
        'node_softirqs_total{vector="tasklet"} 7',
        'node_softirqs_total{vector="sched"} 8',
        'node_softirqs_total{vector="hrtimer"} 9',
        'node_softirqs_total{vector="rcu"} 10',
    ]


def test_absent_and_unknown_lines_give_no_series(tmp_path, exposed):
    """A line that the kernel leaves out is absent, one that it adds is passed over."""
    (tmp_path / "stat").write_text("cpu  1 2\nctxt 5\nnew_in_linux_9 1 2 3\n\nprocs_blocked 0\n")
    assert exposed(StatCollector(Paths(procfs=str(tmp_path)), softirq=True)) == [
        "# TYPE node_context_switches_total counter",
        "node_context_switches_total 5",
        "# TYPE node_procs_blocked gauge",
        "node_procs_blocked 0",
    ]


def test_a_line_of_thousands_of_interrupts_gives_their_sum(tmp_path, exposed):
    """Only the first number of the interrupts' line counts, however long the line is."""
    (tmp_path / "stat").write_text("intr 18446744073709551615" + " 0" * 100_000 + "\n")
    assert exposed(StatCollector(Paths(procfs=str(tmp_path)))) == [
        "# TYPE node_intr_total counter",
        "node_intr_total 18446744073709551615",
    ]
