"""Attributes held open."""

import os
import resource

import pytest

from gnomon_exporter.held import HeldAttributes


def open_files():
    """Return how many files this process has open."""
    return len(os.listdir("/dev/fd"))


def test_reads_the_present_text_each_time(tmp_path):
    """Nothing but the way to the file is remembered."""
    (tmp_path / "carrier").write_text("0\n")
    attributes = HeldAttributes(str(tmp_path), ("carrier",))
    assert attributes.read() == {"carrier": "0"}
    (tmp_path / "carrier").write_text("1\n")
    assert attributes.read() == {"carrier": "1"}


def test_leaves_out_what_is_missing_or_unreadable(tmp_path):
    """A missing file and one that fails when read harm no other."""
    (tmp_path / "mtu").write_text("1500\n")
    (tmp_path / "speed").mkdir()  # reading it fails, as the speed of a device that is down
    attributes = HeldAttributes(str(tmp_path), ("duplex", "speed", "mtu"))
    assert attributes.read() == {"mtu": "1500"}


def test_invalid_utf_8_is_replaced(tmp_path):
    """Bytes that are no text become the replacement character."""
    (tmp_path / "ifalias").write_bytes(b"\xffx\n")
    assert HeldAttributes(str(tmp_path), ("ifalias",)).read() == {
        "ifalias": "\N{REPLACEMENT CHARACTER}x"
    }


def test_closes_its_files_on_request_and_when_forgotten(tmp_path):
    """Neither a device that goes nor a new configuration leaves files open."""
    (tmp_path / "mtu").write_text("1500\n")
    before = open_files()
    attributes = HeldAttributes(str(tmp_path), ("mtu",))
    assert open_files() == before + 1
    attributes.close()
    assert open_files() == before
    assert attributes.read() == {}
    HeldAttributes(str(tmp_path), ("mtu",))
    assert open_files() == before


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_directory_is_an_error(tmp_path, name):
    """The error names it."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=name):
        HeldAttributes(str(tmp_path / name), ("mtu",))


def test_running_out_of_descriptors_is_an_error(tmp_path):
    """Else the attributes would seem not to exist; those opened before are closed."""
    names = [f"attribute{number}" for number in range(200)]
    for name in names:
        (tmp_path / name).touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = open_files()
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 100, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            HeldAttributes(str(tmp_path), names)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_files() == before
