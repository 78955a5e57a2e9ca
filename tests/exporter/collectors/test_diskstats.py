"""The diskstats collector."""

import os

import pytest

from gnomon_exporter.collectors.diskstats import DiskstatsCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def host(tmp_path):
    """Return a function that gives the paths of a host with these diskstats."""

    def paths(*lines):
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc/diskstats").write_text("".join(line + "\n" for line in lines))
        return Paths(str(tmp_path))

    return paths


@pytest.fixture
def udev(tmp_path):
    """Return a function that writes udev's entry of a device, as udev does: by renaming."""
    folder = tmp_path / "run/udev/data"
    folder.mkdir(parents=True)

    def write(number, text):
        new = folder / "new"
        new.write_bytes(text.encode("latin-1"))
        new.rename(folder / number)

    return write


def _line(device="sda", columns=17, first=1):
    return f"   8       0 {device} " + " ".join(str(first + n) for n in range(columns))


def test_reports_every_column_of_a_disk(recorded, exposed):
    """The kernel's numbers in seconds and bytes; loops and RAM disks are left out."""
    counters = {
        "reads_completed_total": 35267,
        "reads_merged_total": 7318,
        "read_bytes_total": 2209141760,
        "read_time_seconds_total": 30.743,
        "writes_completed_total": 7674,
        "writes_merged_total": 17801,
        "written_bytes_total": 1349550080,
        "write_time_seconds_total": 6.528,
        "io_now": 0,
        "io_time_seconds_total": 13.98,
        "io_time_weighted_seconds_total": 37.618,
        "discards_completed_total": 3806,
        "discards_merged_total": 70,
        "discarded_sectors_total": 206752,
        "discard_time_seconds_total": 0.325,
        "flush_requests_total": 386,
        "flush_requests_time_seconds_total": 0.02,
    }
    expected = []
    for name, value in counters.items():
        kind = "gauge" if name == "io_now" else "counter"
        expected += [
            f"# TYPE node_disk_{name} {kind}",
            f'node_disk_{name}{{device="vda"}} {value}',
        ]
    assert exposed(DiskstatsCollector(recorded)) == [
        *expected,
        "# TYPE node_disk_info gauge",
        (
            'node_disk_info{device="vda",major="254",minor="0",path="",wwn="",model="",serial="",'
            'revision="",rotational="1"} 1'
        ),
    ]


def test_reports_what_udev_knows(metal, exposed):
    """Which disk it is, what is mapped, what it is formatted as, and what an ATA disk says."""
    lines = exposed(DiskstatsCollector(metal))
    start = lines.index("# TYPE node_disk_info gauge")
    assert lines[start:] == [
        "# TYPE node_disk_info gauge",
        (
            'node_disk_info{device="sda",major="8",minor="0",path="pci-0000:00:17.0-ata-1",'
            'wwn="0x5000000000000001",model="EXAMPLE_HDD_4T",serial="0001",revision="EX01",'
            'rotational="1"} 1'
        ),
        (
            'node_disk_info{device="nvme0n1",major="259",minor="0",path="pci-0000:01:00.0-nvme-1",'
            'wwn="eui.0000000000000002",model="EXAMPLE SSD 1T",serial="0002",revision="EX02",'
            'rotational="0"} 1'
        ),
        (
            'node_disk_info{device="dm-0",major="253",minor="0",path="",wwn="",model="",serial="",'
            'revision="",rotational="0"} 1'
        ),
        (
            'node_disk_info{device="md0",major="9",minor="0",path="",wwn="",model="",serial="",'
            'revision="",rotational="0"} 1'
        ),
        "# TYPE node_disk_filesystem_info gauge",
        (
            'node_disk_filesystem_info{device="dm-0",type="ext4",usage="filesystem",'
            'uuid="00000000-0000-4000-8000-000000000001",version="1.0"} 1'
        ),
        "# TYPE node_disk_device_mapper_info gauge",
        (
            'node_disk_device_mapper_info{device="dm-0",name="vg0-root",uuid="LVM-example",'
            'vg_name="vg0",lv_name="root",lv_layer=""} 1'
        ),
        "# TYPE node_disk_ata_write_cache gauge",
        'node_disk_ata_write_cache{device="sda"} 1.0',
        "# TYPE node_disk_ata_write_cache_enabled gauge",
        'node_disk_ata_write_cache_enabled{device="sda"} 0.0',
        "# TYPE node_disk_ata_rotation_rate_rpm gauge",
        'node_disk_ata_rotation_rate_rpm{device="sda"} 7200.0',
    ]


@pytest.mark.parametrize(
    ("columns", "last"),
    [(11, "io_time_weighted_seconds"), (15, "discard_time_seconds"), (17, "flush_requests_time")],
)
def test_reports_only_the_columns_that_the_kernel_has(host, exposed, columns, last):
    """Linux before 4.18 knows no discards, before 5.5 no flushes: neither appears as 0."""
    lines = exposed(DiskstatsCollector(host(_line(columns=columns))))
    counters = [line for line in lines if not line.startswith(("#", "node_disk_info"))]
    assert len(counters) == columns
    assert counters[-1].startswith(f"node_disk_{last}")


def test_ignores_columns_of_kernels_to_come(host, exposed):
    """More columns than known change nothing."""
    assert exposed(DiskstatsCollector(host(_line(columns=30)))) == exposed(
        DiskstatsCollector(host(_line(columns=17)))
    )


def test_skips_lines_that_are_no_disk(host, exposed):
    """Short lines, words for numbers and blank lines do not take the others along."""
    lines = exposed(
        DiskstatsCollector(host("", "8 0 short 1 2 3", "8 1 sdx " + "x " * 17, _line("sdb")))
    )
    assert [line for line in lines if "reads_completed_total{" in line] == [
        'node_disk_reads_completed_total{device="sdb"} 1'
    ]


@pytest.mark.parametrize(
    ("device", "shown"),
    [
        ("sda", True),
        ("sda1", False),
        ("sdaa", True),
        ("nvme0n1", True),
        ("nvme0n1p2", False),
        ("vda3", False),
        ("zram0", False),
        ("loop7", False),
        ("fd0", False),
        ("dm-0", True),
        ("md127", True),
        ("mmcblk0p1", True),
    ],
)
def test_leaves_out_partitions_and_memory(host, exposed, device, shown):
    """The default exclude is node_exporter's."""
    assert bool(exposed(DiskstatsCollector(host(_line(device))))) is shown


def test_an_include_replaces_the_default(host, exposed):
    """Partitions can be asked for."""
    collector = DiskstatsCollector(host(_line("sda"), _line("sda1")), device_include="^sda1$")
    assert {line.split('"')[1] for line in exposed(collector) if "{" in line} == {"sda1"}


def test_the_serial_is_the_printed_one_if_there_is_any(host, udev, exposed):
    """SCSI_IDENT_SERIAL before ID_SERIAL_SHORT before ID_SERIAL."""
    collector = DiskstatsCollector(host(_line()))

    def serial():
        (info,) = [line for line in exposed(collector) if line.startswith("node_disk_info{")]
        return info.split('serial="')[1].split('"')[0]

    assert serial() == ""
    udev("b8:0", "E:ID_SERIAL=long\n")
    assert serial() == "long"
    udev("b8:0", "E:ID_SERIAL=long\nE:ID_SERIAL_SHORT=short\n")
    assert serial() == "short"
    udev("b8:0", "E:ID_SERIAL=long\nE:ID_SERIAL_SHORT=short\nE:SCSI_IDENT_SERIAL=printed\n")
    assert serial() == "printed"


def test_odd_udev_entries_never_break_a_line(host, udev, exposed):
    """Quotes, bytes that are no UTF-8, lines without an equals sign, numbers that are none."""
    udev(
        "b8:0",
        'S:disk\nE:\nE:ID_ATA\nE:=x\nE:ID_MODEL=a"b\\x20=\tc\xe9\nE:ID_ATA=1\n'
        "E:ID_ATA_WRITE_CACHE=yes\nE:ID_ATA_ROTATION_RATE_RPM=0\n",
    )
    lines = exposed(DiskstatsCollector(host(_line())))
    assert any('model="a\\"b\\\\x20=\tc\ufffd"' in line for line in lines)
    assert [line for line in lines if "_ata_" in line] == [
        "# TYPE node_disk_ata_rotation_rate_rpm gauge",
        'node_disk_ata_rotation_rate_rpm{device="sda"} 0.0',
    ]


def test_a_slash_in_a_name_is_an_exclamation_mark_in_sys(host, tmp_path, exposed):
    """Old RAID controllers' disks are called cciss/c0d0."""
    queue = tmp_path / "sys/block/cciss!c0d0/queue"
    queue.mkdir(parents=True)
    (queue / "rotational").write_text("1\n")
    lines = exposed(DiskstatsCollector(host(_line("cciss/c0d0"))))
    assert any('device="cciss/c0d0"' in line and 'rotational="1"' in line for line in lines)


def test_reads_udev_again_only_after_a_change(host, udev, exposed, monkeypatch):
    """An unchanged entry costs a stat and no more."""
    udev("b8:0", "E:ID_MODEL=one\n")
    collector = DiskstatsCollector(host(_line()))
    exposed(collector)
    opened = []
    real = os.open

    def watched(path, *args, **kwargs):
        opened.append(str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", watched)
    exposed(collector)
    assert not [path for path in opened if "run/udev" in path]


def test_refuses_a_bad_expression():
    """The message begins with the setting."""
    with pytest.raises(ValueError, match="device_exclude: not a regular expression"):
        DiskstatsCollector(Paths(), device_exclude="(")


def test_no_diskstats_is_an_error(tmp_path):
    """A kernel without block devices has no such file."""
    with pytest.raises(FileNotFoundError):
        list(DiskstatsCollector(Paths(str(tmp_path))).collect())
