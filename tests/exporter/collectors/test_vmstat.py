"""The vmstat collector."""

import pytest

from gnomon_exporter.collectors.vmstat import VmstatCollector
from gnomon_exporter.paths import Paths


def test_reports_the_default_fields(recorded, exposed):
    """Paging, faults and kills are reported, untyped as node_exporter's."""
    assert exposed(VmstatCollector(recorded)) == [
        "# TYPE node_vmstat_pgpgin untyped",
        "node_vmstat_pgpgin 5185813",
        "# TYPE node_vmstat_pgpgout untyped",
        "node_vmstat_pgpgout 3013948",
        "# TYPE node_vmstat_pswpin untyped",
        "node_vmstat_pswpin 0",
        "# TYPE node_vmstat_pswpout untyped",
        "node_vmstat_pswpout 0",
        "# TYPE node_vmstat_pgfault untyped",
        "node_vmstat_pgfault 8490912",
        "# TYPE node_vmstat_pgmajfault untyped",
        "node_vmstat_pgmajfault 3975",
        "# TYPE node_vmstat_oom_kill untyped",
        "node_vmstat_oom_kill 0",
    ]


def test_the_setting_chooses_fields(recorded, exposed):
    """Another expression gives other fields, found anywhere in their names."""
    assert exposed(VmstatCollector(recorded, fields="_kill$|^numa_other")) == [
        "# TYPE node_vmstat_numa_other untyped",
        "node_vmstat_numa_other 0",
        "# TYPE node_vmstat_oom_kill untyped",
        "node_vmstat_oom_kill 0",
    ]


def test_a_bad_expression_is_refused():
    """The message names the setting."""
    with pytest.raises(ValueError, match=r"^fields: "):
        VmstatCollector(Paths(), fields="pg(")


def test_lines_that_are_not_chosen_may_be_anything(tmp_path, exposed):
    """A line without a number harms nothing unless it is reported."""
    (tmp_path / "vmstat").write_text("odd\n\nnr_odd x y\npgfault 12\n")
    assert exposed(VmstatCollector(Paths(procfs=str(tmp_path)))) == [
        "# TYPE node_vmstat_pgfault untyped",
        "node_vmstat_pgfault 12",
    ]
