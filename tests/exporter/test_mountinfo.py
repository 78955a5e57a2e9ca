"""The host's mounts."""

import pytest

from gnomon_exporter.mountinfo import MountTable
from gnomon_exporter.paths import Paths


@pytest.fixture
def table(tmp_path):
    """Return a function that gives the mounts of a host whose process 1 has these lines."""

    def mounts(*lines, rootfs="/"):
        (tmp_path / "1").mkdir(exist_ok=True)
        (tmp_path / "1/mountinfo").write_bytes(b"".join(line + b"\n" for line in lines))
        return MountTable(Paths(rootfs, procfs=str(tmp_path))).mounts()

    return mounts


def test_reads_the_columns(table):
    """Device, place, type, numbers and mode stand where proc(5) says, optional fields or not."""
    first, second = table(
        b"36 35 98:0 /mnt1 /mnt2 ro,noatime master:1 shared:7 - ext3 /dev/root ro,errors=continue",
        b"37 35 0:40 / /srv rw - nfs4 server:/srv rw,vers=4.2",
    )
    assert (first.device, first.point, first.path) == ("/dev/root", "/mnt2", b"/mnt2")
    assert (first.fstype, first.major, first.minor) == ("ext3", "98", "0")
    assert first.readonly
    assert (second.device, second.point, second.fstype) == ("server:/srv", "/srv", "nfs4")
    assert not second.readonly


@pytest.mark.parametrize(
    ("options", "superblock"),
    [(b"ro", b"rw"), (b"rw", b"ro"), (b"rw,noexec", b"rw,emergency_ro")],
)
def test_read_only_by_any_of_its_options(table, options, superblock):
    """The mount's own option, the file system's, or the kernel's stop after an error."""
    (mount,) = table(b"36 35 98:0 / /mnt " + options + b" - ext4 /dev/sda1 " + superblock)
    assert mount.readonly


def test_a_word_that_only_contains_ro_is_not_read_only(table):
    """errors=remount-ro is a setting, no state."""
    (mount,) = table(b"36 35 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro")
    assert not mount.readonly


def test_decodes_the_escapes_of_mount_points(table):
    """Blank, tab, line end and backslash come as octal numbers; the path is the real one."""
    (mount,) = table(rb"36 35 0:4 / /a\040b\011c\012d\134e rw - tmpfs a\040b rw")
    assert mount.path == b"/a b\tc\nd\\e"
    assert mount.point == "/a b\tc\nd\\e"
    assert mount.device == r"a\040b"


def test_bytes_that_are_not_utf_8_stay_in_the_path(table):
    """The label shows one U+FFFD for each run of them."""
    (mount,) = table(b"36 35 0:4 / /caf\xe9/\xff\xfe rw - tmpfs t\xe9 rw")
    assert mount.path == b"/caf\xe9/\xff\xfe"
    assert mount.point == "/caf\ufffd/\ufffd"
    assert mount.device == "t\ufffd"


def test_an_empty_device_is_empty(table):
    """Some file systems have no source: its column is there all the same."""
    (mount,) = table(b"36 35 0:4 / /mnt rw - fuse  rw")
    assert (mount.device, mount.fstype) == ("", "fuse")


def test_skips_lines_in_another_format(table):
    """What cannot be understood does not take the rest along."""
    mounts = table(
        b"",
        b"garbage",
        b"36 35 98 / /no-minor rw - ext4 /dev/a rw",
        b"36 35 x:y / /no-number rw - ext4 /dev/a rw",
        b"36 35 98:0 / /no-separator rw ext4 /dev/a rw",
        b"36 35 98:0 / /cut rw - ext4",
        b"36 35 98:0 / /whole rw - ext4 /dev/a rw",
    )
    assert [mount.point for mount in mounts] == ["/whole"]


def test_seen_from_a_container(table):
    """A mount below the host's root is named as on the host and found where it lies here."""
    root, home, other = table(
        b"1 1 8:1 / /host rw - ext4 /dev/sda1 rw",
        b"2 1 8:2 / /host/home rw - ext4 /dev/sda2 rw",
        b"3 1 8:3 / /hostile rw - ext4 /dev/sda3 rw",
        rootfs="/host/",
    )
    assert (root.point, root.path) == ("/", b"/host/")
    assert (home.point, home.path) == ("/home", b"/host/home")
    assert (other.point, other.path) == ("/hostile", b"/host/hostile")


def test_parses_again_only_after_a_change(table, tmp_path):
    """The same object comes back while the table is the same."""
    table(b"1 1 8:1 / / rw - ext4 /dev/sda1 rw")
    mounts = MountTable(Paths(procfs=str(tmp_path)))
    before = mounts.mounts()
    assert mounts.mounts() is before
    table(b"1 1 8:1 / / ro - ext4 /dev/sda1 ro")
    assert mounts.mounts()[0].readonly


def test_falls_back_to_our_own_table(tmp_path):
    """Where process 1 is hidden, the exporter's own view is better than none."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("1 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    assert len(MountTable(Paths(procfs=str(tmp_path))).mounts()) == 1


def test_no_table_at_all(tmp_path):
    """An error, for no mount can be seen."""
    with pytest.raises(FileNotFoundError):
        MountTable(Paths(procfs=str(tmp_path))).mounts()
