"""The schedstat collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.schedstat import SchedstatCollector
from gnomon_exporter.paths import Paths


def test_reports_each_cpu(metal, exposed):
    """Nanoseconds become seconds; the lines of the domains are passed over."""
    assert exposed(SchedstatCollector(metal)) == [
        "# TYPE node_schedstat_running_seconds_total counter",
        'node_schedstat_running_seconds_total{cpu="0"} 5.0',
        'node_schedstat_running_seconds_total{cpu="1"} 7.0',
        'node_schedstat_running_seconds_total{cpu="2"} 1.5',
        "# TYPE node_schedstat_waiting_seconds_total counter",
        'node_schedstat_waiting_seconds_total{cpu="0"} 0.25',
        'node_schedstat_waiting_seconds_total{cpu="1"} 0.125',
        'node_schedstat_waiting_seconds_total{cpu="2"} 0.0',
        "# TYPE node_schedstat_timeslices_total counter",
        'node_schedstat_timeslices_total{cpu="0"} 4000',
        'node_schedstat_timeslices_total{cpu="1"} 6000',
        'node_schedstat_timeslices_total{cpu="2"} 2500',
    ]


def test_columns_that_a_newer_kernel_appends_are_passed_over(tmp_path, exposed):
    """The three known columns stay where they are when more follow; short lines are left out."""
    (tmp_path / "schedstat").write_text(
        "version 99\ncpu0 1 2 3 4 5 6 1000000000 2000000000 3 44 55\ncpu1 1 2\n\n"
    )
    assert exposed(SchedstatCollector(Paths(procfs=str(tmp_path)))) == [
        "# TYPE node_schedstat_running_seconds_total counter",
        'node_schedstat_running_seconds_total{cpu="0"} 1.0',
        "# TYPE node_schedstat_waiting_seconds_total counter",
        'node_schedstat_waiting_seconds_total{cpu="0"} 2.0',
        "# TYPE node_schedstat_timeslices_total counter",
        'node_schedstat_timeslices_total{cpu="0"} 3',
    ]


def test_a_kernel_without_statistics_has_no_data(recorded):
    """Without the file there is nothing to report."""
    with pytest.raises(NoData, match="no scheduler statistics"):
        list(SchedstatCollector(recorded).collect())
