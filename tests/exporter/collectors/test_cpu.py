"""The cpu collector."""

import os
import shutil

import pytest

from gnomon_exporter.collectors.cpu import CpuCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def stat(tmp_path):
    """Return a function that writes /proc/stat below tmp_path."""

    def write(*lines: str) -> None:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc" / "stat").write_text("\n".join(lines) + "\n")

    return write


@pytest.fixture
def changeable(tmp_path, metal):
    """Return a copy of the physical machine, as its folder and as paths."""
    root = tmp_path / "host"
    shutil.copytree(metal.root("/"), root, symlinks=True)
    return root, Paths(str(root))


def _values(page, family):
    """Return a family's lines without its name."""
    return [line.removeprefix(family) for line in page if line.startswith(family + "{")]


def test_reports_a_virtual_machine(recorded, exposed):
    """Times by mode, those of guests apart; nothing of what this machine does not have."""
    assert exposed(CpuCollector(recorded)) == [
        "# TYPE node_cpu_seconds_total counter",
        'node_cpu_seconds_total{cpu="0",mode="user"} 105.3',
        'node_cpu_seconds_total{cpu="0",mode="nice"} 0.0',
        'node_cpu_seconds_total{cpu="0",mode="system"} 41.34',
        'node_cpu_seconds_total{cpu="0",mode="idle"} 2031.84',
        'node_cpu_seconds_total{cpu="0",mode="iowait"} 3.89',
        'node_cpu_seconds_total{cpu="0",mode="irq"} 0.0',
        'node_cpu_seconds_total{cpu="0",mode="softirq"} 0.58',
        'node_cpu_seconds_total{cpu="0",mode="steal"} 0.37',
        'node_cpu_seconds_total{cpu="1",mode="user"} 160.33',
        'node_cpu_seconds_total{cpu="1",mode="nice"} 0.0',
        'node_cpu_seconds_total{cpu="1",mode="system"} 62.58',
        'node_cpu_seconds_total{cpu="1",mode="idle"} 1935.64',
        'node_cpu_seconds_total{cpu="1",mode="iowait"} 24.56',
        'node_cpu_seconds_total{cpu="1",mode="irq"} 0.0',
        'node_cpu_seconds_total{cpu="1",mode="softirq"} 1.77',
        'node_cpu_seconds_total{cpu="1",mode="steal"} 0.54',
        "# TYPE node_cpu_guest_seconds_total counter",
        'node_cpu_guest_seconds_total{cpu="0",mode="user"} 0.0',
        'node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.0',
        'node_cpu_guest_seconds_total{cpu="1",mode="user"} 0.0',
        'node_cpu_guest_seconds_total{cpu="1",mode="nice"} 0.0',
    ]


def test_reports_a_physical_machine(metal, exposed):
    """Throttling comes once for each core and package; CPU 3 is offline and has no times."""
    assert exposed(CpuCollector(metal)) == [
        "# TYPE node_cpu_seconds_total counter",
        'node_cpu_seconds_total{cpu="0",mode="user"} 5.0',
        'node_cpu_seconds_total{cpu="0",mode="nice"} 0.1',
        'node_cpu_seconds_total{cpu="0",mode="system"} 2.0',
        'node_cpu_seconds_total{cpu="0",mode="idle"} 300.0',
        'node_cpu_seconds_total{cpu="0",mode="iowait"} 1.0',
        'node_cpu_seconds_total{cpu="0",mode="irq"} 0.05',
        'node_cpu_seconds_total{cpu="0",mode="softirq"} 0.09',
        'node_cpu_seconds_total{cpu="0",mode="steal"} 0.0',
        'node_cpu_seconds_total{cpu="1",mode="user"} 4.0',
        'node_cpu_seconds_total{cpu="1",mode="nice"} 0.1',
        'node_cpu_seconds_total{cpu="1",mode="system"} 3.0',
        'node_cpu_seconds_total{cpu="1",mode="idle"} 300.0',
        'node_cpu_seconds_total{cpu="1",mode="iowait"} 0.8',
        'node_cpu_seconds_total{cpu="1",mode="irq"} 0.04',
        'node_cpu_seconds_total{cpu="1",mode="softirq"} 0.06',
        'node_cpu_seconds_total{cpu="1",mode="steal"} 0.0',
        'node_cpu_seconds_total{cpu="2",mode="user"} 6.0',
        'node_cpu_seconds_total{cpu="2",mode="nice"} 0.1',
        'node_cpu_seconds_total{cpu="2",mode="system"} 2.0',
        'node_cpu_seconds_total{cpu="2",mode="idle"} 300.0',
        'node_cpu_seconds_total{cpu="2",mode="iowait"} 0.7',
        'node_cpu_seconds_total{cpu="2",mode="irq"} 0.02',
        'node_cpu_seconds_total{cpu="2",mode="softirq"} 0.04',
        'node_cpu_seconds_total{cpu="2",mode="steal"} 0.0',
        "# TYPE node_cpu_guest_seconds_total counter",
        'node_cpu_guest_seconds_total{cpu="0",mode="user"} 3.0',
        'node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.05',
        'node_cpu_guest_seconds_total{cpu="1",mode="user"} 1.0',
        'node_cpu_guest_seconds_total{cpu="1",mode="nice"} 0.0',
        'node_cpu_guest_seconds_total{cpu="2",mode="user"} 0.0',
        'node_cpu_guest_seconds_total{cpu="2",mode="nice"} 0.0',
        "# TYPE node_cpu_isolated gauge",
        'node_cpu_isolated{cpu="2"} 1',
        "# TYPE node_cpu_package_throttles_total counter",
        'node_cpu_package_throttles_total{package="0"} 7',
        'node_cpu_package_throttles_total{package="1"} 0',
        "# TYPE node_cpu_core_throttles_total counter",
        'node_cpu_core_throttles_total{package="0",core="0"} 12',
        'node_cpu_core_throttles_total{package="1",core="0"} 3',
        "# TYPE node_cpu_online gauge",
        'node_cpu_online{cpu="0"} 1',
        'node_cpu_online{cpu="1"} 1',
        'node_cpu_online{cpu="2"} 1',
        'node_cpu_online{cpu="3"} 0',
    ]


def test_guests_can_be_left_out(recorded, exposed):
    """The setting takes the guests' family off the page."""
    page = exposed(CpuCollector(recorded, guest=False))
    assert "# TYPE node_cpu_guest_seconds_total counter" not in page


def test_a_counter_that_falls_a_little_stays(tmp_path, stat, exposed):
    """Idle and iowait go back by rounding: Prometheus must not take that for a restart."""
    collector = CpuCollector(Paths(str(tmp_path)))
    stat("cpu0 1000 0 0 5000 300 0 0 0 0 0")
    exposed(collector)
    stat("cpu0 1001 0 0 4999 299 0 0 0 0 0")
    assert _values(exposed(collector), "node_cpu_seconds_total") == [
        '{cpu="0",mode="user"} 10.01',
        '{cpu="0",mode="nice"} 0.0',
        '{cpu="0",mode="system"} 0.0',
        '{cpu="0",mode="idle"} 50.0',
        '{cpu="0",mode="iowait"} 3.0',
        '{cpu="0",mode="irq"} 0.0',
        '{cpu="0",mode="softirq"} 0.0',
        '{cpu="0",mode="steal"} 0.0',
    ]


@pytest.mark.parametrize(("idle", "user"), [(4701, "10.0"), (4700, "0.01")])
def test_a_cpu_whose_idle_time_falls_by_3_seconds_starts_anew(tmp_path, stat, exposed, idle, user):
    """A CPU that was unplugged and plugged in again counts from its new beginning."""
    collector = CpuCollector(Paths(str(tmp_path)))
    stat("cpu0 1000 0 0 5000 0 0 0 0 0 0")
    exposed(collector)
    stat(f"cpu0 1 0 0 {idle} 0 0 0 0 0 0")
    assert _values(exposed(collector), "node_cpu_seconds_total")[0] == (
        f'{{cpu="0",mode="user"}} {user}'
    )


def test_a_cpu_that_goes_offline_leaves_no_series(tmp_path, stat, exposed):
    """What is no longer there is absent, and returns with its own numbers."""
    collector = CpuCollector(Paths(str(tmp_path)), guest=False)
    user = 'node_cpu_seconds_total{cpu="1",mode="user"}'
    stat("cpu0 100 0 0 0", "cpu1 200 0 0 0")
    assert f"{user} 2.0" in exposed(collector)
    stat("cpu0 100 0 0 0")
    assert len(_values(exposed(collector), "node_cpu_seconds_total")) == 4
    stat("cpu0 100 0 0 0", "cpu1 150 0 0 0")
    assert f"{user} 1.5" in exposed(collector)


def test_columns_are_taken_as_they_come(tmp_path, stat, exposed):
    """An old kernel's missing columns are absent, those that a newer one adds are passed over."""
    stat("cpu  1", "cpu0 100 200 300 400", "cpu1 1 2 3 4 5 6 7 8 9 10 11 12", "cpu2 7", "cpu_new 7")
    page = exposed(CpuCollector(Paths(str(tmp_path))))
    times = _values(page, "node_cpu_seconds_total")
    assert times[:4] == [
        '{cpu="0",mode="user"} 1.0',
        '{cpu="0",mode="nice"} 2.0',
        '{cpu="0",mode="system"} 3.0',
        '{cpu="0",mode="idle"} 4.0',
    ]
    assert times[4:] == [
        f'{{cpu="1",mode="{mode}"}} {number / 100}'
        for number, mode in enumerate(
            ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"), start=1
        )
    ]
    assert _values(page, "node_cpu_guest_seconds_total") == [
        '{cpu="1",mode="user"} 0.09',
        '{cpu="1",mode="nice"} 0.1',
    ]


def test_a_core_without_package_counts_keeps_its_own(changeable, exposed):
    """Some CPUs count for cores only."""
    root, paths = changeable
    for cpu in range(3):
        (root / f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/package_throttle_count").unlink()
    page = exposed(CpuCollector(paths))
    assert "# TYPE node_cpu_package_throttles_total counter" not in page
    assert len(_values(page, "node_cpu_core_throttles_total")) == 2


def test_a_core_answers_by_its_first_thread_that_can_be_read(changeable, exposed):
    """When CPU 0 goes offline its sibling answers for the core; back again, it does itself."""
    root, paths = changeable
    collector = CpuCollector(paths)
    exposed(collector)
    cpu = root / "sys/devices/system/cpu/cpu0"
    for folder in ("thermal_throttle", "topology"):
        os.rename(cpu / folder, cpu / f"away_{folder}")
    assert _values(exposed(collector), "node_cpu_core_throttles_total") == [
        '{package="1",core="0"} 3',
        '{package="0",core="0"} 11',
    ]
    for folder in ("thermal_throttle", "topology"):
        os.rename(cpu / f"away_{folder}", cpu / folder)
    assert _values(exposed(collector), "node_cpu_core_throttles_total") == [
        '{package="0",core="0"} 12',
        '{package="1",core="0"} 3',
    ]


@pytest.mark.parametrize(
    ("isolated", "cpus"),
    [("\n", []), ("1-2,0\n", ["1", "2", "0"]), ("-\n", []), ("x,3-y,2\n", ["2"])],
)
def test_isolated_cpus_are_a_list_of_ranges(changeable, exposed, isolated, cpus):
    """Ranges are spelt out, what is no range is passed over."""
    root, paths = changeable
    (root / "sys/devices/system/cpu/isolated").write_text(isolated)
    assert _values(exposed(CpuCollector(paths)), "node_cpu_isolated") == [
        f'{{cpu="{cpu}"}} 1' for cpu in cpus
    ]


def test_where_the_first_cpu_cannot_be_switched_online_is_absent(changeable, exposed):
    """As with node_exporter, the family is there only if CPU 0 has the file too."""
    root, paths = changeable
    (root / "sys/devices/system/cpu/cpu0/online").unlink()
    assert _values(exposed(CpuCollector(paths)), "node_cpu_online") == []


def test_info_describes_each_cpu(metal, exposed):
    """Model and frequency come from /proc/cpuinfo, flags and bugs from its first CPU."""
    collector = CpuCollector(
        metal, info=True, info_flags_include="^(vmx|aes)$", info_bugs_include="spectre"
    )
    assert exposed(collector)[:13] == [
        "# TYPE node_cpu_info gauge",
        (
            'node_cpu_info{package="0",core="0",cpu="0",vendor="GenuineIntel",family="6",model="85",'
            'model_name="Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz",microcode="0x5003604",'
            'stepping="7",cachesize="28160 KB"} 1'
        ),
        (
            'node_cpu_info{package="1",core="0",cpu="1",vendor="GenuineIntel",family="6",model="85",'
            'model_name="Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz",microcode="0x5003604",'
            'stepping="7",cachesize="28160 KB"} 1'
        ),
        "# TYPE node_cpu_frequency_hertz gauge",
        'node_cpu_frequency_hertz{package="0",core="0",cpu="0"} 2800000000.0',
        'node_cpu_frequency_hertz{package="1",core="0",cpu="1"} 1000500000.0',
        "# TYPE node_cpu_flag_info gauge",
        'node_cpu_flag_info{flag="vmx"} 1',
        'node_cpu_flag_info{flag="aes"} 1',
        "# TYPE node_cpu_bug_info gauge",
        'node_cpu_bug_info{bug="spectre_v1"} 1',
        'node_cpu_bug_info{bug="spectre_v2"} 1',
        "# TYPE node_cpu_seconds_total counter",
    ]


@pytest.mark.parametrize("setting", ["info_flags_include", "info_bugs_include"])
def test_a_bad_expression_is_refused(setting):
    """The message names the setting."""
    with pytest.raises(ValueError, match=f"^{setting}: "):
        CpuCollector(Paths(), **{setting: "(aes"})


def test_without_stat_the_collector_fails(tmp_path):
    """A host without /proc/stat is an error, not an empty page."""
    with pytest.raises(FileNotFoundError, match="stat"):
        list(CpuCollector(Paths(str(tmp_path))).collect())
