"""The cpufreq collector."""

import shutil

import pytest

from gnomon_exporter.collectors.cpufreq import CpufreqCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def changeable(tmp_path, metal):
    """Return a copy of the physical machine's CPUs, as their folder and as paths."""
    cpus = tmp_path / "devices" / "system" / "cpu"
    shutil.copytree(metal.sys("devices/system/cpu"), cpus)
    return cpus, Paths(sysfs=str(tmp_path))


def test_reports_a_physical_machine(metal, exposed):
    """Kilohertz become hertz; CPU 3 is offline and left out."""
    assert exposed(CpufreqCollector(metal)) == [
        "# TYPE node_cpu_frequency_hertz gauge",
        'node_cpu_frequency_hertz{cpu="0"} 2100000000',
        "# TYPE node_cpu_frequency_min_hertz gauge",
        'node_cpu_frequency_min_hertz{cpu="0"} 800000000',
        'node_cpu_frequency_min_hertz{cpu="1"} 800000000',
        'node_cpu_frequency_min_hertz{cpu="2"} 800000000',
        "# TYPE node_cpu_frequency_max_hertz gauge",
        'node_cpu_frequency_max_hertz{cpu="0"} 3900000000',
        'node_cpu_frequency_max_hertz{cpu="1"} 3900000000',
        'node_cpu_frequency_max_hertz{cpu="2"} 3900000000',
        "# TYPE node_cpu_scaling_frequency_hertz gauge",
        'node_cpu_scaling_frequency_hertz{cpu="0"} 2100123000',
        'node_cpu_scaling_frequency_hertz{cpu="1"} 1000456000',
        'node_cpu_scaling_frequency_hertz{cpu="2"} 3700789000',
        "# TYPE node_cpu_scaling_frequency_min_hertz gauge",
        'node_cpu_scaling_frequency_min_hertz{cpu="0"} 1000000000',
        'node_cpu_scaling_frequency_min_hertz{cpu="1"} 1000000000',
        'node_cpu_scaling_frequency_min_hertz{cpu="2"} 1000000000',
        "# TYPE node_cpu_scaling_frequency_max_hertz gauge",
        'node_cpu_scaling_frequency_max_hertz{cpu="0"} 3900000000',
        'node_cpu_scaling_frequency_max_hertz{cpu="1"} 3900000000',
        'node_cpu_scaling_frequency_max_hertz{cpu="2"} 3900000000',
        "# TYPE node_cpu_scaling_governor gauge",
        'node_cpu_scaling_governor{cpu="0",governor="performance"} 0',
        'node_cpu_scaling_governor{cpu="0",governor="powersave"} 1',
        'node_cpu_scaling_governor{cpu="1",governor="performance"} 0',
        'node_cpu_scaling_governor{cpu="1",governor="powersave"} 1',
        'node_cpu_scaling_governor{cpu="2",governor="performance"} 0',
        'node_cpu_scaling_governor{cpu="2",governor="powersave"} 1',
    ]


def test_a_machine_that_cannot_scale_has_no_series(recorded, exposed):
    """A virtual machine's CPUs have no such folder: that is no failure."""
    assert exposed(CpufreqCollector(recorded)) == []


def test_what_cannot_be_read_is_absent(changeable, exposed):
    """An attribute without a number harms neither the CPU's others nor other CPUs."""
    cpus, paths = changeable
    for path in cpus.glob("cpu*/cpufreq/*"):
        if path.name not in ("scaling_cur_freq", "cpuinfo_avg_freq", "scaling_governor"):
            path.unlink()
    (cpus / "cpu0/cpufreq/scaling_cur_freq").write_text("<unknown>\n")
    (cpus / "cpu1/cpufreq/scaling_cur_freq").unlink()
    (cpus / "cpu1/cpufreq/cpuinfo_avg_freq").write_text("1234567\n")
    assert exposed(CpufreqCollector(paths)) == [
        "# TYPE node_cpu_frequency_avg_hertz gauge",
        'node_cpu_frequency_avg_hertz{cpu="1"} 1234567000',
        "# TYPE node_cpu_scaling_frequency_hertz gauge",
        'node_cpu_scaling_frequency_hertz{cpu="2"} 3700789000',
    ]


def test_without_the_list_of_offline_cpus_all_are_reported(changeable, exposed):
    """An absent list takes no CPU off the page."""
    cpus, paths = changeable
    (cpus / "offline").unlink()
    assert 'node_cpu_scaling_frequency_hertz{cpu="3"} 800000000' in exposed(CpufreqCollector(paths))


def test_without_cpus_the_collector_fails(tmp_path):
    """A /sys without CPUs is an error, not an empty page."""
    with pytest.raises(FileNotFoundError, match="cpu"):
        list(CpufreqCollector(Paths(str(tmp_path))).collect())
