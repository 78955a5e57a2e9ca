"""How much of the memory is in use."""

import os

import pytest

from gnomon.pressure import used_ratio

GIB = 1 << 30


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes files below a root, and gives the root."""

    def write(**files):
        for path, text in files.items():
            file = tmp_path / path.replace("__", "/").replace("_DOT_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return str(tmp_path)

    return write


@pytest.fixture
def host(tree):
    """A host with 8 GiB, of which 6 are available, and no control groups."""
    return tree(proc__meminfo="MemTotal: 8388608 kB\nMemFree: 5 kB\nMemAvailable: 6291456 kB\n")


def group(root, path, **files):
    """Write a control group's files."""
    folder = os.path.join(root, "sys/fs/cgroup", path)
    os.makedirs(folder, exist_ok=True)
    for name, text in files.items():
        with open(os.path.join(folder, f"memory.{name}"), "w", encoding="utf-8") as file:
            file.write(f"{text}\n")


def test_of_a_host(host):
    """What is not available is in use."""
    assert used_ratio(host) == pytest.approx(0.25)


def test_of_this_machine():
    """A share, and that of the host if nothing else limits this process."""
    ratio = used_ratio()
    assert ratio is not None
    assert 0 < ratio < 1.1


def test_of_a_container(host, tree):
    """Its limit counts, and the page cache that is easily dropped is left out."""
    tree(proc__self__cgroup="0::/\n")
    group(host, "", max=GIB, current=GIB * 3 // 4, stat=f"anon 5\ninactive_file {GIB // 4}\nslab 3")
    assert used_ratio(host) == pytest.approx(0.5)


def test_a_container_that_sees_the_hosts_path(host, tree):
    """Only the root of what it is told is there."""
    tree(proc__self__cgroup="0::/docker/abc\n")
    group(host, "", max=GIB, current=GIB // 2)
    assert used_ratio(host) == pytest.approx(0.5)


def test_the_fullest_group_above_counts(host, tree):
    """A service's slice may be tighter than the service."""
    tree(proc__self__cgroup="0::/app.slice/app.service\n")
    group(host, "", max="max", current=5 * GIB)
    group(host, "app.slice", max=2 * GIB, current=GIB * 3 // 2)
    group(host, "app.slice/app.service", max=4 * GIB, current=GIB)
    assert used_ratio(host) == pytest.approx(0.75)


@pytest.mark.parametrize("limit", ["max", 64 * GIB])
def test_a_limit_that_the_host_cannot_give(host, tree, limit):
    """Then the host's own memory is what runs out."""
    tree(proc__self__cgroup="0::/a\n")
    group(host, "a", max=limit, current=GIB)
    assert used_ratio(host) == pytest.approx(0.25)


def test_the_first_version_of_control_groups(host, tree):
    """Its files have other names, and no limit is a number close to 2^63."""
    tree(proc__self__cgroup="9:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n")
    group(host, "memory", limit_in_bytes=9223372036854771712, usage_in_bytes=7 * GIB)
    group(
        host,
        "memory/docker/abc",
        limit_in_bytes=2 * GIB,
        usage_in_bytes=GIB,
        stat=f"cache 9\ninactive_file 7\ntotal_inactive_file {GIB // 2}",
    )
    assert used_ratio(host) == pytest.approx(0.25)


def test_where_nothing_tells_nothing_is_said(tmp_path, tree):
    """Not even 0."""
    assert used_ratio(str(tmp_path)) is None
    root = tree(proc__meminfo="MemTotal: 5 kB\n", proc__self__cgroup="nonsense\n\n0::/a\n")
    assert used_ratio(root) is None
