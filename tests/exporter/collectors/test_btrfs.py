"""The btrfs collector."""

import os
import shutil
import subprocess
import threading
import time

import pytest

from gnomon_exporter.btrfs_devices import Device, devices
from gnomon_exporter.collectors.btrfs import BtrfsCollector
from gnomon_exporter.paths import Paths

FSID = "00000000-0000-4000-8000-00000000b7f5"
GROUPS = (("data", "single", 1), ("metadata", "raid1", 2), ("system", "dup", 2))


def _no_mount(_):
    raise OSError(2, "No such file or directory")


def _sysfs(root, *, fsid=FSID, disks=2, modes=("raid1",), **attributes):
    """Write a file system's directory and return the paths to it."""
    folder = root / "fs/btrfs" / fsid
    folder.mkdir(parents=True)
    for disk in range(disks):
        (folder / f"devices/sd{disk}").mkdir(parents=True)
        (folder / f"devices/sd{disk}/size").write_text("8\n")
    for mode in modes:
        (folder / f"allocation/data/{mode}").mkdir(parents=True)
        (folder / f"allocation/data/{mode}/total_bytes").write_text("100\n")
    for name, text in attributes.items():
        (folder / name).write_text(text)
    return Paths(procfs=str(root / "proc"), sysfs=str(root))


def test_reports_space_commits_and_devices(metal, exposed):
    """With the devices' own counters, asked once for two mounts of one file system."""
    asked = []

    def ask(path):
        asked.append(path)
        return FSID, [
            Device("sdb", "u-1", 314572800, 125829120, (1, 2, 3, 4, 5)),
            Device("sdc", "u-2", 314572800, 0, ()),  # the kernel has no counts for it
        ]

    fs = f'uuid="{FSID}"'
    expected = [
        "# TYPE node_btrfs_info gauge",
        f'node_btrfs_info{{{fs},label="backup"}} 1',
        "# TYPE node_btrfs_global_rsv_size_bytes gauge",
        f"node_btrfs_global_rsv_size_bytes{{{fs}}} 5767168",
        "# TYPE node_btrfs_reserved_bytes gauge",
    ]
    expected += [
        f'node_btrfs_reserved_bytes{{{fs},block_group_type="{group}"}} 0' for group, _, _ in GROUPS
    ]
    used = (20971520, 163840, 16384)
    size = (41943040, 33554432, 8388608)
    ratios = [copies for _, _, copies in GROUPS]
    for name, values in (("used_bytes", used), ("size_bytes", size), ("allocation_ratio", ratios)):
        expected.append(f"# TYPE node_btrfs_{name} gauge")
        expected += [
            f'node_btrfs_{name}{{{fs},block_group_type="{group}",mode="{mode}"}} {value}'
            for (group, mode, _), value in zip(GROUPS, values, strict=True)
        ]
    one = f'{{{fs},device="sdb",btrfs_dev_uuid="u-1"}}'
    two = f'{{{fs},device="sdc",btrfs_dev_uuid="u-2"}}'
    expected += [
        "# TYPE node_btrfs_commits_total counter",
        f"node_btrfs_commits_total{{{fs}}} 1",
        "# TYPE node_btrfs_last_commit_seconds gauge",
        f"node_btrfs_last_commit_seconds{{{fs}}} 1.5",
        "# TYPE node_btrfs_max_commit_seconds gauge",
        f"node_btrfs_max_commit_seconds{{{fs}}} 1.5",
        "# TYPE node_btrfs_commit_seconds_total counter",
        f"node_btrfs_commit_seconds_total{{{fs}}} 1.5",
        "# TYPE node_btrfs_device_size_bytes gauge",
        f"node_btrfs_device_size_bytes{one} 314572800",
        f"node_btrfs_device_size_bytes{two} 314572800",
        "# TYPE node_btrfs_device_unused_bytes gauge",
        f"node_btrfs_device_unused_bytes{one} 188743680",
        f"node_btrfs_device_unused_bytes{two} 314572800",
        "# TYPE node_btrfs_device_errors_total counter",
    ]
    kinds = ("write", "read", "flush", "corruption", "generation")
    first = 'device="sdb",btrfs_dev_uuid="u-1"'
    expected += [
        f'node_btrfs_device_errors_total{{{fs},type="{kind}",{first}}} {number}'
        for number, kind in enumerate(kinds, 1)
    ]
    assert exposed(BtrfsCollector(metal, ask)) == expected
    assert len(asked) == 1


def test_sizes_come_from_sys_where_the_mount_cannot_be_asked(metal, exposed):
    """Then the devices have a name and a size, no UUID and no errors."""
    lines = exposed(BtrfsCollector(metal, _no_mount))
    assert lines[-3:] == [
        "# TYPE node_btrfs_device_size_bytes gauge",
        f'node_btrfs_device_size_bytes{{uuid="{FSID}",device="sdb"}} 314572800',
        f'node_btrfs_device_size_bytes{{uuid="{FSID}",device="sdc"}} 314572800',
    ]


def test_a_mount_that_hangs_costs_a_second_once(metal, exposed):
    """Its numbers in /sys are reported all the same."""
    alive = threading.Event()

    def ask(_):
        alive.wait(60)
        return FSID, []

    collector = BtrfsCollector(metal, ask)
    started = time.monotonic()
    try:
        for _ in range(20):
            assert any("device_size_bytes{" in line for line in exposed(collector))
    finally:
        alive.set()
    assert time.monotonic() - started < 5.0


@pytest.mark.parametrize(
    ("mode", "disks", "ratio"),
    [
        ("single", 1, "1"),
        ("raid0", 2, "1"),
        ("dup", 1, "2"),
        ("raid10", 4, "2"),
        ("raid1c3", 3, "3"),
        ("raid1c4", 4, "4"),
        ("raid5", 4, repr(4 / 3)),
        ("raid6", 4, "2.0"),
        ("raid5", 1, None),
        ("raid99", 4, None),
    ],
)
def test_the_ratio_of_a_layout(tmp_path, exposed, mode, disks, ratio):
    """Parity costs by the number of devices; what is unknown has no ratio, not 0."""
    lines = exposed(BtrfsCollector(_sysfs(tmp_path, disks=disks, modes=[mode]), _no_mount))
    assert [line.split()[-1] for line in lines if "ratio{" in line] == ([ratio] if ratio else [])


def test_what_the_kernel_does_not_show_is_absent(tmp_path, exposed):
    """An old kernel: no commit statistics, no reserve. Nothing of it is 0."""
    lines = exposed(BtrfsCollector(_sysfs(tmp_path, modes=[]), _no_mount))
    assert [line for line in lines if not line.startswith("#")] == [
        f'node_btrfs_info{{uuid="{FSID}",label=""}} 1',
        f'node_btrfs_device_size_bytes{{uuid="{FSID}",device="sd0"}} 4096',
        f'node_btrfs_device_size_bytes{{uuid="{FSID}",device="sd1"}} 4096',
    ]


def test_odd_attributes(tmp_path, exposed):
    """A label with quotes, another UUID in the metadata, commit lines of other kernels."""
    paths = _sysfs(
        tmp_path,
        modes=[],
        disks=0,
        label='a "b"\n',
        metadata_uuid="other-uuid\n",
        commit_stats="commits 7\nlast_commit_ms x\nnew_thing 1\nodd line here\n",
    )
    lines = exposed(BtrfsCollector(paths, _no_mount))
    assert [line for line in lines if not line.startswith("#")] == [
        'node_btrfs_info{uuid="other-uuid",label="a \\"b\\""} 1',
        'node_btrfs_commits_total{uuid="other-uuid"} 7',
    ]


@pytest.mark.parametrize("machine", ["without the module", "without a file system"])
def test_nothing_without_btrfs(tmp_path, exposed, machine):
    """The collector succeeds with nothing, as node_exporter's."""
    if machine == "without a file system":
        (tmp_path / "fs/btrfs/features").mkdir(parents=True)
    assert exposed(BtrfsCollector(Paths(sysfs=str(tmp_path)))) == []


def test_another_file_system_is_refused():
    """The kernel's own answer to Btrfs' ioctl elsewhere is an OSError."""
    with pytest.raises(OSError, match=r"ioctl|supported"):
        devices(b"/proc")


def test_a_real_file_system(tmp_path):
    """The kernel names the device of a Btrfs made a moment ago, with its size and no errors."""
    if os.geteuid() != 0 or not shutil.which("mkfs.btrfs"):
        pytest.skip("needs root and mkfs.btrfs (btrfs-progs)")
    image, point = tmp_path / "image", tmp_path / "mount"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(200 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "-U", FSID, str(image)], check=True, capture_output=True)
    mount = subprocess.run(
        ["mount", "-o", "loop", str(image), str(point)], check=False, capture_output=True
    )
    if mount.returncode:
        pytest.skip(f"cannot mount a Btrfs here: {mount.stderr.decode().strip()}")
    try:
        fsid, (device,) = devices(os.fsencode(point))
        assert fsid == FSID
        assert device.size == 200 << 20
        assert 0 < device.used < device.size
        assert device.errors == (0, 0, 0, 0, 0)
        assert device.name.startswith("loop")
        assert any(
            sample.labels["device"] == device.name
            for family in BtrfsCollector(Paths()).collect()
            for sample in family.samples
            if sample.name == "node_btrfs_device_errors_total"
        )
    finally:
        subprocess.run(["umount", str(point)], check=True)
