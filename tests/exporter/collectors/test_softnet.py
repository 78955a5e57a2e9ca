"""The softnet collector."""

import pytest

from gnomon_exporter.collectors.softnet import SoftnetCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def table(tmp_path):
    """Return where /proc/self/net/softnet_stat is to be written."""
    (tmp_path / "self/net").mkdir(parents=True)
    return tmp_path / "self/net/softnet_stat"


def collector(table):
    """Return a collector that reads ``table``."""
    return SoftnetCollector(Paths(procfs=str(table.parent.parent.parent)))


def test_reports_the_recorded_cpus(recorded, exposed):
    """Each CPU has each counter."""
    assert exposed(SoftnetCollector(recorded)) == [
        "# TYPE node_softnet_processed_total counter",
        'node_softnet_processed_total{cpu="0"} 13604',
        'node_softnet_processed_total{cpu="1"} 30162',
        "# TYPE node_softnet_dropped_total counter",
        'node_softnet_dropped_total{cpu="0"} 0',
        'node_softnet_dropped_total{cpu="1"} 0',
        "# TYPE node_softnet_times_squeezed_total counter",
        'node_softnet_times_squeezed_total{cpu="0"} 0',
        'node_softnet_times_squeezed_total{cpu="1"} 0',
        "# TYPE node_softnet_cpu_collision_total counter",
        'node_softnet_cpu_collision_total{cpu="0"} 0',
        'node_softnet_cpu_collision_total{cpu="1"} 0',
        "# TYPE node_softnet_received_rps_total counter",
        'node_softnet_received_rps_total{cpu="0"} 0',
        'node_softnet_received_rps_total{cpu="1"} 0',
        "# TYPE node_softnet_flow_limit_count_total counter",
        'node_softnet_flow_limit_count_total{cpu="0"} 0',
        'node_softnet_flow_limit_count_total{cpu="1"} 0',
        "# TYPE node_softnet_backlog_len gauge",
        'node_softnet_backlog_len{cpu="0"} 0',
        'node_softnet_backlog_len{cpu="1"} 0',
    ]


def test_each_column_stands_under_its_own_name(metal, exposed):
    """CPU 1 of three is offline, so the lines' numbers are not the CPUs'."""
    assert exposed(SoftnetCollector(metal)) == [
        "# TYPE node_softnet_processed_total counter",
        'node_softnet_processed_total{cpu="0"} 17',
        'node_softnet_processed_total{cpu="2"} 4294967295',
        "# TYPE node_softnet_dropped_total counter",
        'node_softnet_dropped_total{cpu="0"} 18',
        'node_softnet_dropped_total{cpu="2"} 34',
        "# TYPE node_softnet_times_squeezed_total counter",
        'node_softnet_times_squeezed_total{cpu="0"} 19',
        'node_softnet_times_squeezed_total{cpu="2"} 35',
        "# TYPE node_softnet_cpu_collision_total counter",
        'node_softnet_cpu_collision_total{cpu="0"} 24',
        'node_softnet_cpu_collision_total{cpu="2"} 40',
        "# TYPE node_softnet_received_rps_total counter",
        'node_softnet_received_rps_total{cpu="0"} 25',
        'node_softnet_received_rps_total{cpu="2"} 41',
        "# TYPE node_softnet_flow_limit_count_total counter",
        'node_softnet_flow_limit_count_total{cpu="0"} 26',
        'node_softnet_flow_limit_count_total{cpu="2"} 42',
        "# TYPE node_softnet_backlog_len gauge",
        'node_softnet_backlog_len{cpu="0"} 27',
        'node_softnet_backlog_len{cpu="2"} 43',
    ]


def test_an_older_kernel_lacks_what_it_does_not_count(table, exposed):
    """Linux before 2.6.39 has nine columns and does not name the CPU."""
    table.write_text("0000000a 00000001 00000002 0 0 0 0 0 00000003\n" * 2)
    assert exposed(collector(table)) == [
        "# TYPE node_softnet_processed_total counter",
        'node_softnet_processed_total{cpu="0"} 10',
        'node_softnet_processed_total{cpu="1"} 10',
        "# TYPE node_softnet_dropped_total counter",
        'node_softnet_dropped_total{cpu="0"} 1',
        'node_softnet_dropped_total{cpu="1"} 1',
        "# TYPE node_softnet_times_squeezed_total counter",
        'node_softnet_times_squeezed_total{cpu="0"} 2',
        'node_softnet_times_squeezed_total{cpu="1"} 2',
        "# TYPE node_softnet_cpu_collision_total counter",
        'node_softnet_cpu_collision_total{cpu="0"} 3',
        'node_softnet_cpu_collision_total{cpu="1"} 3',
    ]


def test_a_column_that_is_no_number_is_a_failure(table):
    """Something other than the kernel's table is not read as one."""
    table.write_text("0000000a nonsense\n")
    with pytest.raises(ValueError, match="nonsense"):
        list(collector(table).collect())


def test_a_missing_table_is_a_failure(table):
    """The error names the file."""
    with pytest.raises(FileNotFoundError, match="softnet_stat"):
        list(collector(table).collect())
