"""The tapestats collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.tapestats import TapestatsCollector
from gnomon_exporter.paths import Paths

PAGE = """\
# TYPE node_tape_io_now gauge
node_tape_io_now{device="st0"} 1
# TYPE node_tape_io_time_seconds_total counter
node_tape_io_time_seconds_total{device="st0"} 9247.01108772
# TYPE node_tape_io_others_total counter
node_tape_io_others_total{device="st0"} 1409
# TYPE node_tape_read_bytes_total counter
node_tape_read_bytes_total{device="st0"} 979383912
# TYPE node_tape_reads_completed_total counter
node_tape_reads_completed_total{device="st0"} 3741
# TYPE node_tape_read_time_seconds_total counter
node_tape_read_time_seconds_total{device="st0"} 33.788355744
# TYPE node_tape_residual_total counter
node_tape_residual_total{device="st0"} 19
# TYPE node_tape_written_bytes_total counter
node_tape_written_bytes_total{device="st0"} 1496246784000
# TYPE node_tape_writes_completed_total counter
node_tape_writes_completed_total{device="st0"} 53772916
# TYPE node_tape_write_time_seconds_total counter
node_tape_write_time_seconds_total{device="st0"} 5233.597394395
"""


def test_reports_the_drive_once(metal, exposed):
    """Not again under its other names, nst0 and st0a."""
    assert exposed(TapestatsCollector(metal)) == PAGE.splitlines()


def test_ignored_drives(metal, exposed):
    """By regular expression, on the drive's name."""
    assert exposed(TapestatsCollector(metal, ignored_devices="^st0$")) == []
    assert exposed(TapestatsCollector(metal, ignored_devices="^st1$")) == PAGE.splitlines()


def test_what_cannot_be_read_is_absent(tmp_path, exposed):
    """A drive without statistics, and one with a word for a number."""
    for drive in ("st0", "st1"):
        (tmp_path / "class/scsi_tape" / drive / "stats").mkdir(parents=True)
    stats = tmp_path / "class/scsi_tape/st1/stats"
    (stats / "read_cnt").write_text("5\n")
    (stats / "write_cnt").write_text("many\n")
    assert exposed(TapestatsCollector(Paths(sysfs=str(tmp_path)))) == [
        "# TYPE node_tape_reads_completed_total counter",
        'node_tape_reads_completed_total{device="st1"} 5',
    ]


def test_refuses_a_bad_expression():
    """The message begins with the setting."""
    with pytest.raises(ValueError, match="ignored_devices: not a regular expression"):
        TapestatsCollector(Paths(), ignored_devices="(")


def test_no_drives_no_data(tmp_path):
    """A machine without the driver has no such directory."""
    with pytest.raises(NoData, match="no tape drive"):
        list(TapestatsCollector(Paths(sysfs=str(tmp_path))).collect())
