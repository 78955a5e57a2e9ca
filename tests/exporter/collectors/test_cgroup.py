"""The cgroup collector."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.cgroup import CgroupCollector
from gnomon_exporter.paths import Paths

API = '{id="/system.slice/api.service"}'
POD = (
    '{id="/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b.slice'
    '/cri-containerd-c0ffee.scope"}'
)


def of(lines, ident):
    """Return the series of one cgroup, without the label that says which."""
    mark = f'id="{ident}"'
    series = (line.rpartition(" ") for line in lines if mark in line)
    return {
        name.replace(mark, "").replace("{,", "{").replace("{}", ""): float(value)
        for name, _, value in series
    }


def test_reports_a_limited_service_of_version_1(recorded, exposed):
    """A real service that was throttled, and whose child was killed for want of memory."""
    lines = exposed(CgroupCollector(recorded))
    assert of(lines, "/system.slice/worker.service") == {
        'container_cpu_usage_seconds_total{cpu="total"}': 0.515438157,
        "container_cpu_user_seconds_total": 0.43,
        "container_cpu_system_seconds_total": 0.07,
        "container_spec_cpu_period": 100_000,
        "container_spec_cpu_quota": 20_000,
        "container_cpu_cfs_periods_total": 29,
        "container_cpu_cfs_throttled_periods_total": 25,
        "container_cpu_cfs_throttled_seconds_total": 1.899852056,
        "container_memory_usage_bytes": 37_167_104,
        "container_memory_working_set_bytes": 37_167_104,
        "container_memory_rss": 34_545_664,
        "container_memory_cache": 2_179_072,
        "container_memory_mapped_file": 0,
        "container_memory_swap": 0,
        "container_memory_max_usage_bytes": 52_428_800,
        "container_memory_failcnt": 133,
        "container_oom_events_total": 1,
        "container_spec_memory_limit_bytes": 52_428_800,
        "container_threads": 1,
        "container_threads_max": 20,
    }
    assert "# TYPE container_oom_events_total counter" in lines
    assert "# TYPE container_memory_failcnt counter" in lines
    assert "# TYPE container_memory_usage_bytes gauge" in lines


def test_says_nothing_of_a_quota_that_is_not_there(recorded, exposed):
    """Without a quota no periods are counted; no memory limit is 0, as in cAdvisor."""
    slice_ = of(exposed(CgroupCollector(recorded)), "/system.slice")
    assert slice_["container_spec_cpu_period"] == 100_000
    assert slice_["container_spec_memory_limit_bytes"] == 0
    assert slice_["container_threads_max"] == 0
    assert not [name for name in slice_ if "quota" in name or "cfs" in name]


def test_reports_version_2(metal, exposed):
    """A limited service, written by hand after the kernel's documentation."""
    lines = exposed(CgroupCollector(metal))
    assert of(lines, "/system.slice/api.service") == {
        'container_cpu_usage_seconds_total{cpu="total"}': 1234.56789,
        "container_cpu_user_seconds_total": 1000,
        "container_cpu_system_seconds_total": 234.56789,
        "container_spec_cpu_period": 100_000,
        "container_spec_cpu_quota": 150_000,
        "container_cpu_cfs_periods_total": 6000,
        "container_cpu_cfs_throttled_periods_total": 150,
        "container_cpu_cfs_throttled_seconds_total": 7.5,
        "container_memory_usage_bytes": 402_653_184,
        "container_memory_working_set_bytes": 402_653_184 - 83_886_080,
        "container_memory_rss": 268_435_456,
        "container_memory_cache": 117_440_512,
        "container_memory_mapped_file": 33_554_432,
        "container_memory_swap": 8_388_608,
        "container_memory_max_usage_bytes": 536_870_912,
        "container_memory_events_high_total": 0,
        "container_memory_events_max_total": 4321,
        "container_oom_events_total": 2,
        "container_spec_memory_limit_bytes": 536_870_912,
        "container_threads": 17,
        "container_threads_max": 64,
    }
    # The root has no limits, and tells of the CPU and of kinds of memory only.
    assert of(lines, "/") == {
        'container_cpu_usage_seconds_total{cpu="total"}': 86_400,
        "container_cpu_user_seconds_total": 64_800,
        "container_cpu_system_seconds_total": 21_600,
        "container_memory_rss": 2_147_483_648,
        "container_memory_cache": 4_294_967_296,
        "container_memory_mapped_file": 536_870_912,
    }


def idents(lines):
    """Return the cgroups that are on a page."""
    return {line.partition('id="')[2].partition('"')[0] for line in lines if 'id="' in line}


def test_reports_where_work_is_done(metal, exposed):
    """By default services, containers and pods; neither mounts nor logins, nor a pod's insides."""
    pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b.slice"
    assert idents(exposed(CgroupCollector(metal))) == {
        "/",
        "/system.slice",
        "/system.slice/api.service",
        f"{pod}/cri-containerd-c0ffee.scope",
    }
    everything = exposed(CgroupCollector(metal, cgroups_exclude="", depth=9))
    assert idents(everything) > {
        "/system.slice/boot.mount",
        "/user.slice/user-1000.slice/session-3.scope",
        f"{pod}/cri-containerd-c0ffee.scope/init",
    }


def test_chooses_by_path_and_depth(metal, exposed):
    """cgroups_include keeps what it matches, whatever lies above; depth bounds the way down."""
    assert idents(exposed(CgroupCollector(metal, cgroups_include="cri-containerd"))) == {
        POD.removeprefix('{id="').removesuffix('"}')
    }
    assert idents(exposed(CgroupCollector(metal, depth=1))) == {"/", "/system.slice"}


def test_reports_stalls_on_request(metal, exposed):
    """With pressure the stalls of each resource, in seconds."""
    lines = exposed(CgroupCollector(metal, pressure=True))
    assert f"container_pressure_cpu_waiting_seconds_total{API} 9.0" in lines
    assert f"container_pressure_memory_stalled_seconds_total{API} 1.25" in lines
    assert f"container_pressure_io_waiting_seconds_total{API} 0.012" in lines
    assert not [line for line in lines if "pressure" in line and "kubepods" in line]
    assert not [line for line in exposed(CgroupCollector(metal)) if "pressure" in line]


def tree(root, files):
    """Write files below sys/fs/cgroup of a host."""
    for path, text in files.items():
        file = Path(os.fsdecode(os.fsencode(root) + b"/sys/fs/cgroup/" + os.fsencode(path)))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Paths(str(root))


def test_reads_controllers_that_are_mounted_together(tmp_path, exposed):
    """cpu,cpuacct is one directory on most hosts; a controller that is not mounted is absent."""
    paths = tree(
        tmp_path,
        {
            "cpu,cpuacct/web/cpuacct.usage": "1500000000\n",
            "cpu,cpuacct/web/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/web/cpu.cfs_period_us": "100000\n",
        },
    )
    assert of(exposed(CgroupCollector(paths)), "/web") == {
        'container_cpu_usage_seconds_total{cpu="total"}': 1.5,
        "container_spec_cpu_period": 100_000,
    }


def test_a_host_without_controllers_has_no_data(tmp_path):
    """Without cgroups there is nothing of the subject."""
    with pytest.raises(NoData):
        list(CgroupCollector(Paths(str(tmp_path))).collect())


def test_odd_files_cost_their_own_series_only(tmp_path, exposed):
    """Empty files, other words, missing and extra columns: what can be read is reported."""
    paths = tree(
        tmp_path,
        {
            "cgroup.controllers": "",
            "a/memory.current": "",
            "a/memory.max": "a lot\n",
            "a/memory.stat": "anon\n",
            "a/memory.events": "oom_kill many\nhigh 3 4\nmax 5\n",
            "a/cpu.stat": "usage_usec -5\nuser_usec 1000000\n",
            "a/cpu.max": "max\n",
            "a/pids.current": "12",
            "a/pids.max": "\xff",
            "a/memory.peak/directory": "",
        },
    )
    assert of(exposed(CgroupCollector(paths)), "/a") == {
        "container_cpu_user_seconds_total": 1,
        "container_memory_events_max_total": 5,
        "container_threads": 12,
    }


def test_hostile_names_stay_apart(tmp_path, exposed):
    """Quotes, newlines and bytes that are not UTF-8 make one series each."""
    names = ['quote"', "new\nline", "back\\slash", "a b", "unit\\x2dname.service"]
    names += [os.fsdecode(b"\xff"), os.fsdecode(b"\xfe")]
    paths = tree(
        tmp_path,
        {"cgroup.controllers": "", **{f"{name}/pids.current": "1" for name in names}},
    )
    lines = exposed(CgroupCollector(paths))
    assert sum(line.startswith("container_threads{") for line in lines) == len(names)
    assert 'container_threads{id="/quote\\""} 1' in lines
    assert 'container_threads{id="/new\\nline"} 1' in lines
    assert 'container_threads{id="/\\\\xff"} 1' in lines


def test_more_cgroups_than_the_limit_are_left_out_and_told(tmp_path):
    """Those nearest to the root are reported, and the run fails with the remedy."""
    files = {f"{i}/pids.current": "1" for i in range(9)} | {"0/deep/pids.current": "1"}
    paths = tree(tmp_path, {"cgroup.controllers": "", **files})
    families = []
    with pytest.raises(OSError, match="more than 10 cgroups: lower depth or raise limit"):
        families.extend(CgroupCollector(paths, limit=10).collect())
    families = {}
    with contextlib.suppress(OSError):
        for family in CgroupCollector(paths, limit=10).collect():
            families[family.name] = [labels for labels, _ in family.rows]
    assert families["container_threads"] == [(f"/{i}",) for i in range(9)]


def test_a_bad_expression_is_named(metal):
    """The complaint begins with the setting."""
    with pytest.raises(ValueError, match=r"^cgroups_include: not a regular expression"):
        CgroupCollector(metal, cgroups_include="(")


@pytest.fixture
def limited():
    """A real cgroup of this machine with 50 MB of memory; its path and the file for its pids."""
    name = f"gnomon-test-{os.getpid()}"
    for mount, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        path = Path("/sys/fs/cgroup", mount, name)
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            (path / limit).write_text(str(50 << 20))
        except OSError:
            path.rmdir()
            continue
        yield f"/{name}", path / "cgroup.procs"
        end = time.monotonic() + 10
        while True:  # the kernel lets go of a cgroup a moment after its last process
            try:
                path.rmdir()
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
            else:
                return
    pytest.skip("no cgroup with a memory limit can be made here")


def test_sees_the_kernel_kill_a_process(limited, exposed):
    """A process that takes more memory than its cgroup may is counted as killed."""
    ident, processes = limited
    collector = CgroupCollector(Paths(), cgroups_include=f"^{ident}$")
    before = of(exposed(collector), ident)
    assert before["container_oom_events_total"] == 0
    assert before["container_spec_memory_limit_bytes"] == 50 << 20
    greedy = f"open({str(processes)!r}, 'w').write('0'); b'x' * (200 << 20)"
    assert subprocess.run([sys.executable, "-c", greedy], check=False).returncode == -9
    after = of(exposed(collector), ident)
    assert after["container_oom_events_total"] == 1
    assert after["container_memory_max_usage_bytes"] > 40 << 20
