"""The filefd collector."""

import pytest

from gnomon_exporter.collectors.filefd import FilefdCollector
from gnomon_exporter.paths import Paths


def _paths(root, text):
    folder = root / "sys" / "fs"
    folder.mkdir(parents=True)
    (folder / "file-nr").write_text(text)
    return Paths(procfs=str(root))


def test_reports_a_recorded_machine(recorded, exposed):
    """Handles in use and the limit."""
    assert exposed(FilefdCollector(recorded)) == [
        "# TYPE node_filefd_allocated gauge",
        "node_filefd_allocated 819",
        "# TYPE node_filefd_maximum gauge",
        "node_filefd_maximum 2465620",
    ]


def test_the_largest_limit_is_written_whole(tmp_path, exposed):
    """A limit of 2^63 - 1, as systemd sets it, loses no digit."""
    assert exposed(FilefdCollector(_paths(tmp_path, "64\t0\t9223372036854775807\n"))) == [
        "# TYPE node_filefd_allocated gauge",
        "node_filefd_allocated 64",
        "# TYPE node_filefd_maximum gauge",
        "node_filefd_maximum 9223372036854775807",
    ]


@pytest.mark.parametrize("text", ["", "64\n", "64\t0\n", "a\tb\tc\n"])
def test_a_line_without_the_numbers_is_a_failure(tmp_path, text):
    """A number that is missing is never taken from another column."""
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        list(FilefdCollector(_paths(tmp_path, text)).collect())
