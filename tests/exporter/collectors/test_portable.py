"""The collectors for other systems than Linux, which psutil lets run here too."""

import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import psutil
import pytest

from gnomon_exporter.collectors import COLLECTORS, portable
from gnomon_exporter.exposition import write
from gnomon_exporter.paths import Paths
from gnomon_exporter.settings import settings_of

#: psutil's hundredths and milliseconds are the kernel's, but idle time may go back a little.
_SLACK = 0.1

#: The portable class, the Linux collector that it stands in for, and settings for both that make
#: one choice: on this host they are asked about the same disks and mounts.
_PAIRS = {
    portable.BoottimeCollector: ("stat", {}),
    portable.CpuCollector: ("cpu", {}),
    portable.DiskstatsCollector: (
        "diskstats",
        {"device_exclude": settings_of(COLLECTORS["diskstats"].factory)["device_exclude"].default},
    ),
    portable.FilesystemCollector: (
        "filesystem",
        {"mount_points_include": "^/$", "fs_types_include": "."},
    ),
    portable.LoadavgCollector: ("loadavg", {}),
    portable.MeminfoCollector: ("meminfo", {}),
    portable.NetdevCollector: ("netdev", {"device_include": "^lo$"}),
}


def _read(collector):
    """Return types by name, and values by name and labels."""
    families = list(collector.collect())
    for family in families:
        write(family)
    types = {family.name: family.type for family in families if len(family)}
    series = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in families
        for sample in family.samples
    ]
    assert max(Counter(key for key, _ in series).values()) == 1
    return types, dict(series)


@pytest.mark.parametrize("factory", _PAIRS, ids=lambda factory: factory.__name__)
def test_names_types_and_labels_are_those_of_linux(factory):
    """Every portable series exists on Linux too, with its type; counters lie between two reads."""
    name, settings = _PAIRS[factory]
    linux = COLLECTORS[name].factory(Paths(), **settings)
    _, before = _read(linux)
    types, series = _read(factory(Paths(), **settings))
    linux_types, after = _read(linux)
    assert types.items() <= linux_types.items()
    assert series.keys() <= after.keys()
    assert {key[1] for key in series} == {
        key[1] for key in after if key[0] in {name for name, _ in series}
    }
    for key, value in series.items():
        if types[key[0]] == "counter":
            assert before[key] - _SLACK <= value <= after[key] + _SLACK, key


@pytest.mark.parametrize(
    ("factory", "names"),
    [
        (portable.BoottimeCollector, ["node_boot_time_seconds"]),
        (portable.MeminfoCollector, ["node_memory_MemTotal_bytes", "node_memory_SwapTotal_bytes"]),
        (portable.FilesystemCollector, ["node_filesystem_size_bytes", "node_filesystem_files"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_stands_still_is_equal(factory, names):
    """Sizes and times that do not move are the same to the last digit."""
    name, settings = _PAIRS[factory]
    _, linux = _read(COLLECTORS[name].factory(Paths(), **settings))
    _, series = _read(factory(Paths(), **settings))
    still = {key: value for key, value in series.items() if key[0] in names}
    assert {key[0] for key in still} == set(names)
    assert still == {key: linux[key] for key in still}


def test_settings_are_those_of_linux():
    """A configuration means the same on both: no setting has another name or kind."""
    for factory, (name, _) in _PAIRS.items():
        linux = settings_of(COLLECTORS[name].factory)
        for setting in settings_of(factory).values():
            assert setting.kind == linux[setting.name].kind


def _answering(value):
    """Return a function of psutil's that gives one answer, whatever it is asked."""
    return lambda **_: value


def test_what_a_system_does_not_tell_is_absent(monkeypatch, exposed):
    """On macOS psutil tells less and dropped packets are always 0: no series for those."""
    answers = {
        "cpu_times": [SimpleNamespace(user=1.5, nice=0.0, system=2.5, idle=3.0)],
        "virtual_memory": SimpleNamespace(
            total=16, available=8, free=4, active=3, inactive=2, wired=1
        ),
        "swap_memory": SimpleNamespace(total=2, free=1),
        "disk_io_counters": {
            "disk0": SimpleNamespace(read_count=1, write_count=2, read_bytes=512, write_bytes=1024)
        },
        "net_io_counters": {
            "en0": SimpleNamespace(
                bytes_sent=1,
                bytes_recv=2,
                packets_sent=3,
                packets_recv=4,
                errin=5,
                errout=6,
                dropin=7,
                dropout=0,
            )
        },
    }
    for name, answer in answers.items():
        monkeypatch.setattr(psutil, name, _answering(answer))
    monkeypatch.setattr(portable.sys, "platform", "darwin")
    page = [
        line
        for collector in (
            portable.CpuCollector(Paths()),
            portable.MeminfoCollector(Paths()),
            portable.DiskstatsCollector(Paths()),
            portable.NetdevCollector(Paths()),
        )
        for line in exposed(collector)
        if not line.startswith("# TYPE")
    ]
    assert page == [
        'node_cpu_seconds_total{cpu="0",mode="user"} 1.5',
        'node_cpu_seconds_total{cpu="0",mode="nice"} 0.0',
        'node_cpu_seconds_total{cpu="0",mode="system"} 2.5',
        'node_cpu_seconds_total{cpu="0",mode="idle"} 3.0',
        "node_memory_MemTotal_bytes 16",
        "node_memory_MemFree_bytes 4",
        "node_memory_MemAvailable_bytes 8",
        "node_memory_Active_bytes 3",
        "node_memory_Inactive_bytes 2",
        "node_memory_SwapTotal_bytes 2",
        "node_memory_SwapFree_bytes 1",
        'node_disk_reads_completed_total{device="disk0"} 1.0',
        'node_disk_read_bytes_total{device="disk0"} 512.0',
        'node_disk_writes_completed_total{device="disk0"} 2.0',
        'node_disk_written_bytes_total{device="disk0"} 1024.0',
        'node_network_receive_bytes_total{device="en0"} 2',
        'node_network_receive_packets_total{device="en0"} 4',
        'node_network_receive_errs_total{device="en0"} 5',
        'node_network_receive_drop_total{device="en0"} 7',
        'node_network_transmit_bytes_total{device="en0"} 1',
        'node_network_transmit_packets_total{device="en0"} 3',
        'node_network_transmit_errs_total{device="en0"} 6',
    ]


def test_a_machine_without_disks_has_no_series(monkeypatch, exposed):
    """Where psutil has no disk to count for, it says None."""
    monkeypatch.setattr(psutil, "disk_io_counters", _answering(None))
    assert exposed(portable.DiskstatsCollector(Paths())) == []


def test_a_mount_that_fails_says_so_alone(monkeypatch, exposed, tmp_path):
    """A mount that cannot be asked has its error as label, the others have their sizes."""
    mounts = [
        SimpleNamespace(device=device, mountpoint=point, fstype=fstype, opts=options)
        for device, point, fstype, options in (
            ("/dev/disk1", str(tmp_path), "apfs", "ro,local"),
            ("//me@nas/share", f"{tmp_path}/gone", "smbfs", "rw,errors=ro"),
            ("devfs", "/dev", "devfs", "rw"),
        )
    ]
    monkeypatch.setattr(psutil, "disk_partitions", _answering(mounts))
    page = exposed(portable.FilesystemCollector(Paths()))
    there = f'device="/dev/disk1",mountpoint="{tmp_path}",fstype="apfs",device_error=""'
    gone = (
        f'device="//me@nas/share",mountpoint="{tmp_path}/gone",fstype="smbfs",'
        'device_error="No such file or directory"'
    )
    assert f"node_filesystem_device_error{{{there}}} 0" in page
    assert f"node_filesystem_device_error{{{gone}}} 1" in page
    assert f"node_filesystem_readonly{{{there}}} 1" in page
    assert f"node_filesystem_readonly{{{gone}}} 0" in page
    sizes = [line for line in page if line.startswith("node_filesystem_size_bytes")]
    assert [line.rpartition(" ")[0] for line in sizes] == [f"node_filesystem_size_bytes{{{there}}}"]


def _python(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_linux_does_without_psutil():
    """The registry on Linux imports nothing of psutil, whose memory it saves."""
    run = _python("import sys, gnomon_exporter.collectors; print('psutil' in sys.modules)")
    assert run.stdout == "False\n"


def test_other_systems_get_the_portable_registry():
    """There the dictionary holds the portable classes and what needs no Linux."""
    run = _python(
        "import psutil, sys; sys.platform = 'freebsd14'\n"
        "from gnomon_exporter.collectors import COLLECTORS\n"
        "from gnomon_exporter.paths import Paths\n"
        "for name, entry in COLLECTORS.items():\n"
        "    print(name, entry.factory(Paths()).__module__.rpartition('.')[2])\n"
    )
    assert dict(line.split() for line in run.stdout.splitlines()) == {
        "boottime": "portable",
        "cpu": "portable",
        "diskstats": "portable",
        "filesystem": "portable",
        "loadavg": "portable",
        "meminfo": "portable",
        "netdev": "portable",
        "os": "os",
        "time": "time",
        "uname": "uname",
    }


def test_without_psutil_the_message_names_the_extra():
    """Whoever lacks the extra is told which, and how to install it."""
    run = _python(
        "import sys; sys.platform = 'freebsd14'; sys.modules['psutil'] = None\n"
        "import gnomon_exporter.collectors"
    )
    assert run.returncode == 1
    assert "its extra 'exporter'" in run.stderr
    assert "pip install '.[exporter]'" in run.stderr
