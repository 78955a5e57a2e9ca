"""The systemd unit, and what it and a container hide from the exporter: nothing that it measures.

No systemd runs where the tests do, so the sandbox is made by the same system calls (unshare,
read-only remounts, no new privileges, no capabilities); its system call filter is not among them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import servers

UNIT = servers.ROOT / "packaging/gnomon-exporter.service"
SCRIPT = Path(__file__).with_name("sandboxed.sh")
NAMESPACES = ["--mount", "--pid", "--fork", "--mount-proc", "--net", "--uts"]

# What systemd-analyze may find the unit exposed to, of 10. Observing a whole host has its price:
# the host's network, processes and mounts must be seen.
EXPOSURE = 2.5

# The same at any moment, so that it is the same inside and outside.
STEADY = (
    "node_filesystem_size_bytes",
    "node_filesystem_readonly",
    "node_filesystem_device_error",
    "node_memory_MemTotal_bytes",
    "node_network_mtu_bytes",
    "node_uname_info",
    "node_boot_time_seconds",
    "gnomon_scrape_collector_success",
)


def analyze(*words):
    """Run systemd-analyze, or skip where there is none."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_unit_is_valid(tmp_path):
    """No unknown key, no bad value, no program that is missing, says systemd-analyze."""
    unit = tmp_path / UNIT.name
    # Installed here is only what the tests run.
    unit.write_text(re.sub(r"/opt/gnomon/bin/gnomon-exporter", "/bin/true", UNIT.read_text()))
    done = analyze("verify", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_hardened():
    """Its exposure by systemd's own measure stays low."""
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(UNIT))
    level = re.search(r"Overall exposure level .*: ([0-9.]+)", done.stdout)
    assert level, done.stderr
    assert float(level[1]) <= EXPOSURE
    assert done.returncode == 0


def test_the_unit_limits_what_the_exporter_takes():
    """Memory, threads, no capability, no new privileges; and none of what would hide the host."""
    lines = UNIT.read_text().splitlines()
    for line in (
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        "PrivateTmp=yes",
        "MemoryMax=128M",
        "TasksMax=256",
    ):
        assert line in lines
    keys = {line.partition("=")[0] for line in lines}
    hiding = {"PrivateNetwork", "PrivateUsers", "ProtectProc", "ProcSubset", "ProtectHostname"}
    assert not keys & (hiding | {"InaccessiblePaths", "TemporaryFileSystem", "PrivateDevices"})


@pytest.fixture(params=["unit", "container"])
def pages(request):
    """The page outside, inside, and inside after another mount, of a host made for the test."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make namespaces and mounts in them")
    probe = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"no namespaces can be made here: {probe.stderr.decode()}")
    # Not pytest's own folder, which other users may not enter, nor any in /tmp: the unit's exporter
    # has a /tmp of its own, and must see what lies in the folder.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        words = ["unshare", *NAMESPACES, "sh", str(SCRIPT), folder, sys.executable, request.param]
        done = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False)
        logs = [path.read_text() for path in Path(folder).glob("*.log")]
        assert done.returncode == 0, (done.stderr, logs)
        yield (
            folder,
            *(series(Path(folder, name)) for name in ("outside", "inside", "inside.later")),
        )


def series(path):
    """Return a page's values by series."""
    lines = path.read_text().splitlines()
    parts = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in parts}


def test_the_numbers_are_the_hosts(pages):
    """Behind read-only mounts, as nobody, with a network of its own: the same series and values."""
    folder, outside, inside, later = pages
    assert inside.keys() == outside.keys()
    steady = {name: value for name, value in outside.items() if name.startswith(STEADY)}
    assert {name: inside[name] for name in steady} == steady
    assert {name.partition("{")[0] for name in steady} == set(STEADY)
    assert 'nodename="gnomon-test-host"' in next(n for n in inside if n.startswith("node_uname"))

    # Read-only is what the host has so, though everything is inside.
    where = f'device="gnomon-%s",mountpoint="{folder}/%s",fstype="tmpfs",device_error=""'
    data, readonly, new = (where % (name, name) for name in ("data", "readonly", "later"))
    assert inside[f"node_filesystem_readonly{{{data}}}"] == 0
    assert inside[f"node_filesystem_readonly{{{readonly}}}"] == 1
    assert inside[f"node_filesystem_size_bytes{{{data}}}"] == 8 << 20
    free = inside[f"node_filesystem_free_bytes{{{data}}}"]
    assert free == outside[f"node_filesystem_free_bytes{{{data}}}"] <= (8 << 20) - 1_000_000

    # The host's network has carried what was sent in it.
    received = 'node_network_receive_bytes_total{device="lo"}'
    assert inside[received] >= outside[received] >= 100_000

    assert f"node_filesystem_size_bytes{{{new}}}" not in inside
    assert later[f"node_filesystem_size_bytes{{{new}}}"] == 2 << 20
