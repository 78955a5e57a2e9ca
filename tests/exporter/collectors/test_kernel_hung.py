"""The kernel_hung collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.kernel_hung import KernelHungCollector
from gnomon_exporter.paths import Paths


def test_reports_a_recorded_machine(recorded, exposed):
    """The count since boot."""
    assert exposed(KernelHungCollector(recorded)) == [
        "# TYPE node_kernel_hung_tasks_total counter",
        "node_kernel_hung_tasks_total 0",
    ]


def test_an_older_kernel_has_no_data(tmp_path):
    """A kernel that does not count says nothing, not 0."""
    with pytest.raises(NoData, match="does not count"):
        list(KernelHungCollector(Paths(procfs=str(tmp_path))).collect())
