"""The rapl collector."""

import errno

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors import rapl
from gnomon_exporter.collectors.rapl import RaplCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def zones(tmp_path):
    """Return a function that writes zones with their names and microjoules, and gives paths."""

    def write(**zones: tuple[str, str]) -> Paths:
        for entry, (name, energy) in zones.items():
            folder = tmp_path / "class" / "powercap" / entry
            folder.mkdir(parents=True)
            (folder / "name").write_text(f"{name}\n")
            (folder / "energy_uj").write_text(energy)
        return Paths(sysfs=str(tmp_path))

    return write


def _without_paths(page, paths):
    return [line.replace(f"{paths.sys('class/powercap')}/", "") for line in page]


def test_reports_a_physical_machine(metal, exposed):
    """Each kind of zone is a family; what has no number in its name is counted."""
    assert _without_paths(exposed(RaplCollector(metal)), metal) == [
        "# TYPE node_rapl_package_0_die_1_joules_total counter",
        'node_rapl_package_0_die_1_joules_total{index="0",path="intel-rapl-mmio:0"} 4.2',
        "# TYPE node_rapl_package_joules_total counter",
        'node_rapl_package_joules_total{index="0",path="intel-rapl:0"} 123456.789012',
        'node_rapl_package_joules_total{index="1",path="intel-rapl:1"} 223456.789012',
        "# TYPE node_rapl_core_joules_total counter",
        'node_rapl_core_joules_total{index="0",path="intel-rapl:0:0"} 0.987654',
        'node_rapl_core_joules_total{index="1",path="intel-rapl:1:0"} 1.987654',
        "# TYPE node_rapl_dram_joules_total counter",
        'node_rapl_dram_joules_total{index="0",path="intel-rapl:0:1"} 55.5',
        'node_rapl_dram_joules_total{index="1",path="intel-rapl:1:1"} 65.5',
    ]


def test_the_kind_can_be_a_label(zones, exposed):
    """The setting joins all zones in one family."""
    paths = zones(a=("package-0", "1000000\n"), b=("psys", "2500000\n"))
    collector = RaplCollector(paths, enable_zone_label=True)
    assert _without_paths(exposed(collector), paths) == [
        "# TYPE node_rapl_joules_total counter",
        'node_rapl_joules_total{index="0",path="a",rapl_zone="package"} 1.0',
        'node_rapl_joules_total{index="0",path="b",rapl_zone="psys"} 2.5',
    ]


def test_odd_names_make_valid_families(zones, exposed):
    """Each stretch that a metric's name cannot hold becomes one underscore."""
    paths = zones(a=('co_-"re"\N{MICRO SIGN}', "1000000\n"))
    assert _without_paths(exposed(RaplCollector(paths)), paths) == [
        "# TYPE node_rapl_co_re__joules_total counter",
        'node_rapl_co_re__joules_total{index="0",path="a"} 1.0',
    ]


def test_a_zone_that_cannot_be_read_is_absent(zones, exposed, tmp_path):
    """A zone without energy or name harms no other."""
    paths = zones(a=("core", "1\n"), b=("psys", "2000000\n"), c=("", "3\n"))
    (tmp_path / "class/powercap/a/energy_uj").unlink()
    assert _without_paths(exposed(RaplCollector(paths)), paths) == [
        "# TYPE node_rapl_psys_joules_total counter",
        'node_rapl_psys_joules_total{index="0",path="b"} 2.0',
    ]


def test_what_only_root_may_read_has_no_data(metal, monkeypatch):
    """Since Linux 5.10 others are refused: nothing to report, no failure."""

    def refuse(path: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(rapl, "read_value", refuse)
    with pytest.raises(NoData, match=r"Permission denied.*energy_uj"):
        list(RaplCollector(metal).collect())


def test_a_machine_without_powercap_has_no_data(recorded):
    """The reason names the folder."""
    with pytest.raises(NoData, match="class/powercap"):
        list(RaplCollector(recorded).collect())
