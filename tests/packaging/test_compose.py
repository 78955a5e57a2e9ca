"""docker-compose.yml and the exporter's image.

Where a Docker engine runs the stack (`docker compose up --build --wait exporter`), its numbers are
compared with those of an exporter outside; elsewhere that one test is skipped.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import servers

COMPOSE = yaml.safe_load((servers.ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (servers.ROOT / "packaging/exporter.Dockerfile").read_text()
SERVICES = sorted(COMPOSE["services"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_may_more_than_it_needs(name):
    """No capability, no way to one, nothing writable but its data, a limit on its memory."""
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["mem_limit"]
    assert not service.get("privileged")
    assert not service.get("cap_add")
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_published_on_loopback_alone(name):
    """None is open to the network, and the host's network is nobody's own."""
    service = COMPOSE["services"][name]
    for port in service.get("ports", []):
        assert str(port).startswith("127.0.0.1:")
    assert service.get("network_mode") is None


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name):
    """What is not built here has a version, and not the latest one, whichever that is."""
    service = COMPOSE["services"][name]
    if "build" not in service:
        assert re.search(r":v?\d+\.\d+\.\d+|@sha256:", service["image"])


def test_the_exporters_image_is_pinned_and_not_roots():
    """Its base is one version of Python, and it runs as a number that is not root's."""
    base = re.search(r"^ARG PYTHON=(.+)$", DOCKERFILE, re.MULTILINE)[1]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}"] * 2
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["65534:65534"]


def test_all_that_the_image_is_made_of_is_in_the_context():
    """Each COPY from the checkout exists, and the ignore file lets it through."""
    ignored = servers.ROOT / "packaging/exporter.Dockerfile.dockerignore"
    let_through = set(re.findall(r"^!(.+)$", ignored.read_text(), re.MULTILINE))
    copied = set()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        copied |= set(sources.split())
    assert copied == let_through
    assert all((servers.ROOT / source).exists() for source in copied)
    needed = yaml.safe_load(json.dumps(COMPOSE["services"]["exporter"]["build"]))
    assert needed == {"context": ".", "dockerfile": "packaging/exporter.Dockerfile"}


def test_the_healthcheck_scrapes(tmp_path):
    """It is fine with a page of this host, and neither with silence nor with another page."""
    check = COMPOSE["services"]["exporter"]["healthcheck"]["test"][3]
    port = servers.free_port()

    def healthy():
        words = [sys.executable, "-c", check.replace(":9840", f":{port}")]
        return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0

    def exporter(*flags):
        program = str(Path(sys.executable).with_name("gnomon-exporter"))
        words = [program, f"--web.listen-address=127.0.0.1:{port}", *flags]
        ready = f"http://127.0.0.1:{port}/-/ready"
        return servers.Server(words, ready=ready, log=tmp_path / "log")

    assert not healthy()
    with exporter():
        assert healthy()
    with exporter("--path.procfs=/nowhere"):
        assert not healthy()


@pytest.fixture
def container():
    """The address of the exporter that a Docker engine runs from this checkout."""
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker is not installed")
    words = [docker, "ps", "--filter", "label=com.docker.compose.service=exporter"]
    words += ["--filter", "label=com.docker.compose.project=gnomon", "--format", "{{.Ports}}"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if not found.stdout.strip():
        pytest.skip("no exporter runs in a container: docker compose up --build --wait exporter")
    # Published once, on loopback.
    [address] = re.findall(r"(\S+)->9840/tcp", found.stdout)
    assert address.startswith("127.0.0.1:")
    return f"http://{address}"


def test_the_containers_numbers_are_the_hosts(container, tmp_path):
    """Mounts, networks, memory, name: what an exporter outside says, series for series."""
    port = servers.free_port()
    program = str(Path(sys.executable).with_name("gnomon-exporter"))
    words = [program, f"--web.listen-address=127.0.0.1:{port}"]
    ready = f"http://127.0.0.1:{port}/-/ready"
    with servers.Server(words, ready=ready, log=tmp_path / "log"):
        inside, outside = (
            {
                name: float(value)
                for name, _, value in (
                    line.rpartition(" ")
                    for line in servers.fetch(f"{url}/metrics", 30).decode().splitlines()
                    if line[0] != "#"
                )
            }
            for url in (container, f"http://127.0.0.1:{port}")
        )
    # Neighbours come and go: the container itself is one. And each has a Python of its own.
    own = ("node_arp_entries", "gnomon_exporter_build_info")
    differing = {name for name in inside.keys() ^ outside.keys() if not name.startswith(own)}
    assert differing == set()
    steady = re.compile(
        r"node_filesystem_(size_bytes|readonly|device_error)|node_network_mtu_bytes"
        r"|node_memory_MemTotal_bytes|node_uname_info|node_boot_time_seconds"
    )
    assert {n: v for n, v in inside.items() if steady.match(n)} == {
        n: v for n, v in outside.items() if steady.match(n)
    }
    for name in (
        "node_memory_MemAvailable_bytes",
        "node_cpu_seconds_total",
        "node_network_receive",
    ):
        assert any(each.startswith(name) for each in inside)
    available = "node_memory_MemAvailable_bytes"
    assert inside[available] == pytest.approx(outside[available], rel=0.2)
