"""The filesystem collector."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from gnomon_exporter.collectors.filesystem import FilesystemCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.guard import Guard
from gnomon_exporter.helpers import Helpers
from gnomon_exporter.paths import Paths

ROOT = 'device="/dev/vda",mountpoint="/",fstype="ext4",device_error=""'
TOOLS = 'device="tools",mountpoint="/mnt/tools",fstype="tmpfs",device_error=""'


def _answer(*, blocks=1000, free=400, avail=300, frsize=4096, bsize=4096):
    return os.statvfs_result((bsize, frsize, blocks, free, avail, 640, 320, 320, 0, 255))


@pytest.fixture
def host(tmp_path):
    """Return a function that gives the paths of a host with these lines of mountinfo."""

    def paths(*lines):
        (tmp_path / "1").mkdir(exist_ok=True)
        (tmp_path / "1/mountinfo").write_bytes(b"".join(line + b"\n" for line in lines))
        return Paths(procfs=str(tmp_path))

    return paths


@pytest.fixture
def dead():
    """An event on which a scripted statvfs hangs until the test is over."""
    answer = threading.Event()
    yield answer
    answer.set()


def test_reports_the_mounts_that_hold_files(recorded, exposed):
    """Every family of node_exporter, for the mounts that its defaults let through."""
    asked = []

    def statvfs(path):
        asked.append(os.path.relpath(path, os.fsencode(recorded.rootfs)))
        if path.endswith(b"tools"):
            return _answer(blocks=1, free=1, avail=1)
        return _answer(blocks=66053021, free=62500000, avail=20300000)

    assert exposed(FilesystemCollector(recorded, statvfs)) == [
        "# TYPE node_filesystem_avail_bytes gauge",
        f"node_filesystem_avail_bytes{{{ROOT}}} 83148800000",
        f"node_filesystem_avail_bytes{{{TOOLS}}} 4096",
        "# TYPE node_filesystem_device_error gauge",
        f"node_filesystem_device_error{{{ROOT}}} 0",
        f"node_filesystem_device_error{{{TOOLS}}} 0",
        "# TYPE node_filesystem_files gauge",
        f"node_filesystem_files{{{ROOT}}} 640",
        f"node_filesystem_files{{{TOOLS}}} 640",
        "# TYPE node_filesystem_files_free gauge",
        f"node_filesystem_files_free{{{ROOT}}} 320",
        f"node_filesystem_files_free{{{TOOLS}}} 320",
        "# TYPE node_filesystem_free_bytes gauge",
        f"node_filesystem_free_bytes{{{ROOT}}} 256000000000",
        f"node_filesystem_free_bytes{{{TOOLS}}} 4096",
        "# TYPE node_filesystem_mount_info gauge",
        'node_filesystem_mount_info{device="/dev/vda",major="254",minor="0",mountpoint="/"} 1',
        'node_filesystem_mount_info{device="tools",major="0",minor="25",mountpoint="/mnt/tools"} 1',
        "# TYPE node_filesystem_purgeable_bytes gauge",
        f"node_filesystem_purgeable_bytes{{{ROOT}}} 0",
        f"node_filesystem_purgeable_bytes{{{TOOLS}}} 0",
        "# TYPE node_filesystem_readonly gauge",
        f"node_filesystem_readonly{{{ROOT}}} 0",
        f"node_filesystem_readonly{{{TOOLS}}} 1",
        "# TYPE node_filesystem_size_bytes gauge",
        f"node_filesystem_size_bytes{{{ROOT}}} 270553174016",
        f"node_filesystem_size_bytes{{{TOOLS}}} 4096",
    ]
    assert asked == [b".", b"mnt/tools"]


def test_the_kernel_answers_the_same_as_statvfs():
    """On this machine the collector's size of / is the one that statvfs(2) gives."""
    families = {family.name: family for family in FilesystemCollector(Paths()).collect()}
    sizes = {
        sample.labels["mountpoint"]: sample.value
        for sample in families["node_filesystem_size_bytes"].samples
    }
    root = os.statvfs("/")
    # In a container / is an overlay, which the defaults leave out.
    assert sizes.get("/", root.f_blocks * root.f_frsize) == root.f_blocks * root.f_frsize


def test_counts_blocks_in_fragments(host, exposed):
    """Where the preferred size of transfers differs from a block's, the block's counts."""
    collector = FilesystemCollector(
        host(b"1 1 0:9 / /s rw - fuse.sshfs s rw"),
        lambda _: _answer(blocks=10, frsize=512, bsize=65536),
    )
    assert [line.rpartition(" ")[2] for line in exposed(collector) if "size_bytes{" in line] == [
        "5120"
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2, "no such file or directory"),
        (13, "permission denied"),
        (107, "transport endpoint is not connected"),
        (116, "stale NFS file handle"),
        (121, "remote I/O error"),
    ],
)
def test_a_mount_that_fails_says_why_and_nothing_else(host, exposed, number, text):
    """Its error stands in node_exporter's words; no size of it is made up."""

    def statvfs(path):
        if path == b"/bad":
            raise OSError(number, os.strerror(number))
        return _answer()

    lines = exposed(
        FilesystemCollector(
            host(b"1 1 8:1 / /bad ro - ext4 /dev/a rw", b"2 1 8:2 / /good rw - ext4 /dev/b rw"),
            statvfs,
        )
    )
    labels = f'{{device="/dev/a",mountpoint="/bad",fstype="ext4",device_error="{text}"}}'
    assert [line for line in lines if "/bad" in line] == [
        f"node_filesystem_device_error{labels} 1",
        f"node_filesystem_readonly{labels} 1",
    ]
    assert sum("/good" in line for line in lines) == 9


def test_a_stuck_mount_costs_the_others_nothing(host, exposed, dead):
    """It is reported as timed out, is not asked again, and comes back when it answers."""
    asked = []

    def statvfs(path):
        asked.append(path)
        if path == b"/nfs":
            dead.wait(60)
        return _answer()

    collector = FilesystemCollector(
        host(b"1 1 0:9 / /nfs rw - nfs4 srv:/ rw", b"2 1 8:2 / /home rw - ext4 /dev/b rw"),
        statvfs,
        mount_timeout=1.0,
    )
    stuck = 'fstype="nfs4",device_error="mountpoint timeout"'
    started = time.monotonic()
    for _ in range(3):
        lines = exposed(collector)
        assert [line for line in lines if stuck in line] == [
            'node_filesystem_device_error{device="srv:/",mountpoint="/nfs",' + stuck + "} 1",
            'node_filesystem_readonly{device="srv:/",mountpoint="/nfs",' + stuck + "} 0",
        ]
        assert sum("/home" in line for line in lines) == 9
    # Only the first run waits for its second.
    assert time.monotonic() - started < 5.0
    assert asked.count(b"/nfs") == 1
    dead.set()
    deadline = time.monotonic() + 10
    while any("timeout" in line for line in exposed(collector)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_thousand_scrapes_with_a_stuck_mount_stay_flat(host, dead):
    """Threads and file descriptors do not grow, and every scrape has the healthy mount."""

    def statvfs(path):
        if path == b"/nfs":
            dead.wait(60)
        return _answer()

    collector = FilesystemCollector(
        host(b"1 1 0:9 / /nfs rw - nfs4 srv:/ rw", b"2 1 8:2 / /home rw - ext4 /dev/b rw"),
        statvfs,
        mount_timeout=0.5,
    )
    guard = Guard("filesystem", collector, timeout=10, cap=1000, helpers=Helpers())
    guard.finish(guard.begin(), time.monotonic() + 10)
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        outcome = guard.finish(guard.begin(), time.monotonic() + 10)
        assert outcome.success
        assert b'mountpoint="/home"' in render(outcome.families)
    # One more may be a helper that took over during a pause, and has not ended yet.
    assert threading.active_count() <= threads + 1
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_ten_thousand_mounts(host):
    """They are all there, and a second run does not read the table anew."""
    collector = FilesystemCollector(
        host(*(b"%d 1 0:%d / /m/%d rw - nfs4 s:/%d rw" % (n, n, n, n) for n in range(10_000))),
        lambda _: _answer(),
        mount_timeout=60.0,
    )
    for _ in range(2):
        families = list(collector.collect())
        assert {len(family.samples) for family in families} == {10_000}


def test_hostile_names_never_break_a_line(host, exposed):
    """Quotes, line ends, backslashes and bytes that are no UTF-8 stay inside their label."""
    asked = []

    def statvfs(path):
        asked.append(path)
        return _answer()

    lines = exposed(
        FilesystemCollector(
            host(b'1 1 0:9 / /a"b\\012c\\134d\xff rw - fuse."} x\\040"y rw'), statvfs
        )
    )
    assert asked == [b'/a"b\nc\\d\xff']
    labels = 'device="x\\\\040\\"y",mountpoint="/a\\"b\\nc\\\\d\ufffd",fstype="fuse.\\"}"'
    assert f'node_filesystem_readonly{{{labels},device_error=""}} 0' in lines
    assert len(lines) == 18


def test_a_path_that_cannot_be_asked_is_an_error(host, exposed):
    """A zero byte, which no kernel writes, does not end the collector."""
    lines = exposed(FilesystemCollector(host(b"1 1 0:9 / /a\0b rw - ext4 /dev/a rw")))
    assert any("embedded null" in line for line in lines)


def test_one_mount_over_the_other_is_reported_once(host, exposed):
    """The same device twice at the same place would be the same series twice."""
    twice = host(b"1 1 0:9 / /m rw - tmpfs t rw", b"2 1 0:10 / /m rw - tmpfs t rw")
    lines = exposed(FilesystemCollector(twice, lambda _: _answer()))
    assert sum("size_bytes{" in line for line in lines) == 1


def test_filters_by_mount_point_and_type(host, exposed):
    """An include replaces the default exclude."""
    paths = host(
        b"1 1 0:9 / /dev/shm rw - tmpfs t rw",
        b"2 1 8:2 / /home rw - ext4 /dev/b rw",
        b"3 1 8:3 / /srv rw - xfs /dev/c rw",
    )

    def shown(**settings):
        lines = exposed(FilesystemCollector(paths, lambda _: _answer(), **settings))
        return [line.split('"')[3] for line in lines if "size_bytes{" in line]

    assert shown() == ["/home", "/srv"]
    assert shown(mount_points_include="^/dev") == ["/dev/shm"]
    assert shown(mount_points_exclude="^/srv$") == ["/dev/shm", "/home"]
    assert shown(fs_types_include="^xfs$") == ["/srv"]
    assert shown(fs_types_exclude="xfs") == ["/home"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mount_points_exclude": "("}, "mount_points_exclude: not a regular expression"),
        ({"fs_types_include": "["}, "fs_types_include: not a regular expression"),
        ({"fs_types_include": "a", "fs_types_exclude": "b"}, "exclude each other"),
        ({"mount_timeout": 0.0}, "mount_timeout: must be more than 0"),
    ],
)
def test_refuses_bad_settings(settings, message):
    """The message begins with the setting."""
    with pytest.raises(ValueError, match=message):
        FilesystemCollector(Paths(), **settings)


# Runs in a mount namespace of its own, so that no other program of this machine meets the mount.
HANGING = """
import ctypes, json, os, sys, time
from gnomon_exporter.collectors.filesystem import FilesystemCollector
from gnomon_exporter.paths import Paths

folder = sys.argv[1]
server = os.open("/dev/fuse", os.O_RDWR)  # which never answers: the kernel waits for its hello
options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"nobody", f"{folder}/point".encode(), b"fuse", 0, options):
    sys.exit(f"skip: mount: {os.strerror(ctypes.get_errno())}")
collector = FilesystemCollector(Paths(procfs=folder), mount_timeout=1.0)

def shown():
    started = time.monotonic()
    families = {family.name: family for family in collector.collect()}
    rows = families["node_filesystem_device_error"].rows
    return json.dumps([time.monotonic() - started < 5, *(labels[-1] for labels, _ in rows)])

print(shown())
print(shown())
os.close(server)
deadline = time.monotonic() + 10
while "timeout" in (last := shown()) and time.monotonic() < deadline:
    time.sleep(0.05)
print(last)
"""


def test_a_mount_that_really_hangs(tmp_path):
    """The kernel does not return from statvfs(2) on a FUSE mount whose server says nothing.

    When the server is gone, the call returns with an error, and that is what is shown then.
    """
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse") or not shutil.which("unshare"):
        pytest.skip("needs root, /dev/fuse and unshare (util-linux)")
    (tmp_path / "point").mkdir()
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mountinfo").write_text(
        f"1 0 0:90 / {tmp_path}/point rw - fuse nobody rw\n2 0 8:1 / / rw - ext4 /dev/root rw\n"
    )
    namespace = ["unshare", "--mount", "--propagation", "private"]
    run = subprocess.run(
        [*namespace, sys.executable, "-c", HANGING, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "skip: " in run.stderr or "unshare" in run.stderr:
        pytest.skip(f"cannot mount here: {run.stderr.strip()}")
    assert [json.loads(line) for line in run.stdout.splitlines()] == [
        [True, "mountpoint timeout", ""],
        [True, "mountpoint timeout", ""],
        [True, "transport endpoint is not connected", ""],
    ]


def test_no_mount_table_is_an_error(tmp_path):
    """Without it the host's mounts are unknown."""
    with pytest.raises(FileNotFoundError):
        list(FilesystemCollector(Paths(procfs=str(tmp_path))).collect())
