"""The pressure collector."""

import errno

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors import pressure
from gnomon_exporter.collectors.pressure import PressureCollector
from gnomon_exporter.paths import Paths


def test_reports_a_recorded_machine(recorded, exposed):
    """Microseconds become seconds; a full stall of the CPU means nothing and is left out."""
    assert exposed(PressureCollector(recorded)) == [
        "# TYPE node_pressure_cpu_waiting_seconds_total counter",
        "node_pressure_cpu_waiting_seconds_total 52.230265",
        "# TYPE node_pressure_io_waiting_seconds_total counter",
        "node_pressure_io_waiting_seconds_total 26.017979",
        "# TYPE node_pressure_io_stalled_seconds_total counter",
        "node_pressure_io_stalled_seconds_total 23.872035",
        "# TYPE node_pressure_memory_waiting_seconds_total counter",
        "node_pressure_memory_waiting_seconds_total 0.0",
        "# TYPE node_pressure_memory_stalled_seconds_total counter",
        "node_pressure_memory_stalled_seconds_total 0.0",
    ]


def test_interrupts_are_reported_where_they_are_accounted(metal, exposed):
    """What a kernel leaves out is absent, the pressure of interrupts is reported if there."""
    assert exposed(PressureCollector(metal)) == [
        "# TYPE node_pressure_cpu_waiting_seconds_total counter",
        "node_pressure_cpu_waiting_seconds_total 2.5",
        "# TYPE node_pressure_irq_stalled_seconds_total counter",
        "node_pressure_irq_stalled_seconds_total 1.5",
    ]


def test_unknown_kinds_and_values_are_passed_over(tmp_path, exposed):
    """Lines of a new kind, without a total or with more values harm no other."""
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "io").write_text(
        "most avg10=0.00 total=1\nsome avg10=0.00\n\nfull avg10=0.00 total=1000000 peak=7\n"
    )
    assert exposed(PressureCollector(Paths(procfs=str(tmp_path)))) == [
        "# TYPE node_pressure_io_stalled_seconds_total counter",
        "node_pressure_io_stalled_seconds_total 1.0",
    ]


def test_an_old_kernel_has_no_data(tmp_path):
    """Without /proc/pressure there is nothing to report."""
    with pytest.raises(NoData, match="keeps no pressure"):
        list(PressureCollector(Paths(procfs=str(tmp_path))).collect())


def test_switched_off_has_no_data(recorded, monkeypatch):
    """With psi=0 the files are there and cannot be read: no failure, nothing to report."""

    def refuse(path: str) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported", path)

    monkeypatch.setattr(pressure, "fields", refuse)
    with pytest.raises(NoData, match="psi=0"):
        list(PressureCollector(recorded).collect())


def test_another_error_is_a_failure(tmp_path):
    """What cannot be read for another reason is not taken for absence."""
    (tmp_path / "pressure" / "cpu").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        list(PressureCollector(Paths(procfs=str(tmp_path))).collect())
