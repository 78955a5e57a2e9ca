"""docker-compose.yml, the files that are laid over it, and the exporter's image.

Where a Docker engine runs the stack (`docker compose up --build --wait exporter`), its numbers are
compared with those of an exporter outside; elsewhere that one test is skipped.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

import servers
from gnomon_stack.parts import PARTS

FILES = {
    "whole": [],
    "minimal": ["compose.minimal.yml"],
    "gpu": ["compose.gpu.yml"],
    "scale": ["compose.scale.yml"],
    "minimal-gpu": ["compose.minimal.yml", "compose.gpu.yml"],
    "scale-gpu": ["compose.scale.yml", "compose.gpu.yml"],
}
TEXT = (servers.ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = sorted(COMPOSE["services"])

#: The order in which the data flows.
ORDER = [
    *("setup", "exporter", "exchange", "demo", "worker", "load", "redis", "rabbitmq", "postgres"),
    *("blackbox", "prometheus", "alertmanager", "jaeger", "grafana"),
]

#: Capabilities, of whom they cannot be withheld: `setup` reads and gives away others' files.
CAPABILITIES = {"setup": ["CHOWN", "DAC_READ_SEARCH"]}


class _Loader(yaml.SafeLoader):
    """YAML with Compose's own tags, `!override` and `!reset`."""


def _untagged(loader, _tag, node):
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _untagged)


def _load(name):
    return yaml.load((servers.ROOT / name).read_text(), _Loader)


def _new():
    """Return the services that an override brings; what extends another has what that has."""
    return {
        name: service
        for name, service in _load("compose.scale.yml")["services"].items()
        if name not in COMPOSE["services"] and "extends" not in service
    }


ALL = {**COMPOSE["services"], **_new()}


def test_services_stand_in_the_order_the_data_flows():
    """Whoever reads from the top follows it."""
    assert list(COMPOSE["services"]) == ORDER


@pytest.mark.parametrize("name", sorted(ALL))
def test_no_service_may_more_than_it_needs(name):
    """No root, no way to more, nothing writable but its data, limits on memory and processes."""
    service = ALL[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"]
    assert not service.get("privileged")
    assert service.get("cap_add", []) == CAPABILITIES.get(name, [])
    assert "devices" not in service
    user, group = service["user"].split(":")
    assert user.isdecimal()
    assert group.isdecimal()
    assert (int(user) == 0) == (name == "setup")
    if name == "setup":
        assert service["network_mode"] == "none"
        assert service["restart"] == "no"


@pytest.mark.parametrize("name", sorted(ALL))
def test_nothing_of_the_engine_or_writable_of_the_host_is_mounted(name):
    """What is the host's is read-only; the engine's socket, which is root, is nobody's."""
    for volume in ALL[name].get("volumes", []):
        source, _, options = re.sub(r"\$\{[^}]+\}", "./x", volume).partition(":")
        assert "docker.sock" not in volume
        if source.startswith(("/", ".")):
            assert "ro" in options.partition(":")[2].split(","), volume
    assert ALL[name].get("pid") in {None, "host" if name == "exporter" else None}


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_port_is_published_on_loopback_and_can_be_moved(name):
    """None is open to the network, and the host's network is nobody's own."""
    service = ALL[name]
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{GNOMON_[A-Z0-9_]+_PORT:-\d+\}:\d+", port)
    assert service.get("network_mode") == ("none" if name == "setup" else None)


def test_ports_are_those_of_make_up():
    """The same variables move the same parts, and none is published twice."""
    published = dict(re.findall(r"127\.0\.0\.1:\$\{(GNOMON_\w+_PORT):-(\d+)\}:\d+", TEXT))
    parts = {p.variable: str(p.default_port) for p in PARTS if p.name in COMPOSE["services"]}
    assert len(parts) == 5
    assert parts.items() <= published.items()
    assert published["GNOMON_GRAFANA_PORT"] == "3000"
    assert published["GNOMON_JAEGER_PORT"] == "16686"
    assert len(set(published.values())) == len(published)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_image_is_pinned(name):
    """What is not built here has a whole version, and not the latest one, whichever that is."""
    service = ALL[name]
    if service["image"].startswith("gnomon-"):
        assert "build" in service or service["pull_policy"] == "never"
    else:
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"])
        assert "latest" not in service["image"]


@pytest.mark.parametrize("name", sorted(set(ALL) - {"setup"}))
def test_every_service_is_asked_whether_it_works(name):
    """By something that answers, and whoever waits for it waits for that."""
    check = ALL[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert check["interval"]
    assert check["timeout"]
    assert not re.search(r"\b(true|exit 0)\b", str(check["test"]))


@pytest.mark.parametrize("name", sorted(ALL))
def test_who_waits_waits_for_health(name):
    """Never merely for a start."""
    for other, how in ALL[name].get("depends_on", {}).items():
        done = "service_completed_successfully" if other == "setup" else "service_healthy"
        assert how == {"condition": done}
        assert other in ALL


def test_volumes_are_named_and_used():
    """None is anonymous, so none is lost when a container is made anew; none is left over."""
    used = set()
    for name, service in ALL.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if re.fullmatch(r"[a-z0-9-]+", source):
                used.add(source)
                assert source in {**COMPOSE["volumes"], **_load("compose.scale.yml")["volumes"]}
                assert ":" in volume, name
    assert set(COMPOSE["volumes"]) <= used


@pytest.mark.parametrize("name", ["demo", "rabbitmq", "postgres", "prometheus", "alertmanager"])
def test_what_must_be_kept_has_a_volume(name):
    """Data, silences, messages, samples: each in a volume of its service's name."""
    mounted = {each.split(":")[0] for each in COMPOSE["services"][name]["volumes"]}
    assert name in mounted


def test_nothing_grows_without_bound():
    """Logs, samples, silences; traces' bound stands in jaeger/jaeger.yml."""
    for name, service in ALL.items():
        assert service["logging"]["options"] == {"max-size": "5m", "max-file": "3"}, name
    words = " ".join(COMPOSE["services"]["prometheus"]["command"])
    assert "--storage.tsdb.retention.time=35d" in words
    assert "--storage.tsdb.retention.size=${GNOMON_PROMETHEUS_SIZE:-5GB}" in words
    assert "--data.retention=" in " ".join(COMPOSE["services"]["alertmanager"]["command"])
    stored = _load("compose.scale.yml")["x-vmstorage"]["command"]
    assert "-retentionPeriod=35d" in stored


def test_no_password_stands_in_any_file():
    """They are made on the first start; variables name files."""
    for path in [servers.ROOT / "docker-compose.yml", *servers.ROOT.glob("compose.*.yml")]:
        for line in path.read_text().splitlines():
            if re.search(r"passw|secret|token", line.partition("#")[0], re.IGNORECASE):
                assert re.search(
                    r"_FILE: /run/gnomon/|-secrets|secrets:|/run/gnomon/password", line
                )


def test_grafana_lets_nobody_in_without_a_password():
    """And tells nobody that it runs."""
    environ = COMPOSE["services"]["grafana"]["environment"]
    assert environ["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environ["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/gnomon/password"
    assert environ["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
    provisioned = "".join(
        path.read_text() for path in (servers.ROOT / "grafana/provisioning").rglob("*.yml")
    )
    assert set(re.findall(r"\$(GNOMON_\w+)", provisioned)) <= set(environ)


def test_grafana_finds_every_folder_of_its_provisioning():
    """Of one that is missing it writes an error into its log at each start."""
    folders = {path.parent.name for path in (servers.ROOT / "grafana/provisioning").rglob("*.*")}
    assert {"alerting", "dashboards", "datasources", "plugins"} <= folders


def test_files_that_are_mounted_exist():
    """Else the engine would make folders of their names."""
    for name, service in ALL.items():
        for volume in service.get("volumes", []):
            source = re.sub(r"^\$\{\w+:-([^}]+)\}", r"\1", volume).split(":")[0]
            if source.startswith("./"):
                assert (servers.ROOT / source).exists(), (name, source)


def test_the_minimal_form_leaves_out_what_it_does_not_need():
    """Exporter, Prometheus, Alertmanager and Grafana stay, with what prepares them."""
    left_out = {
        name
        for name, service in _load("compose.minimal.yml")["services"].items()
        if "profiles" in service
    }
    rest = set(COMPOSE["services"]) - left_out
    assert rest == {"setup", "exporter", "prometheus", "alertmanager", "grafana"}
    for name in rest:
        assert not COMPOSE["services"][name].get("depends_on", {}).keys() & left_out


def test_an_agent_is_not_told_to_judge():
    """Only the files that replace what it was told remain: rules and retention are others' now."""
    words = _load("compose.scale.yml")["services"]["prometheus"]["command"]
    assert "--agent" in words
    assert not [word for word in words if "tsdb" in word or "exemplar" in word]


@cache
def _docker_compose():
    """Return the words that run docker compose, where it is at hand."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]):
            done = subprocess.run([*words, "version"], capture_output=True, timeout=60, check=False)
            if done.returncode == 0:
                return words
    return None


@pytest.mark.parametrize("form", FILES)
def test_docker_compose_takes_each_form(form):
    """With its own rules for what is laid over what; ports stay on loopback in all of them."""
    words = _docker_compose()
    if words is None:
        pytest.skip("docker compose is not installed")
    files = [flag for name in ["docker-compose.yml", *FILES[form]] for flag in ("-f", name)]
    done = subprocess.run(
        [*words, *files, "config", "--format", "json"],
        cwd=servers.ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("GNOMON_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}, name
        for other in service.get("depends_on", {}):
            assert other in services
    if "gpu" in form:
        assert services["exporter"]["gpus"]
    if "scale" in form:
        assert "--storage.tsdb.path=/prometheus" not in services["prometheus"]["command"]
        assert services["alertmanager-2"]["command"][-2].endswith(":9094/")
        published = [p["published"] for s in services.values() for p in s.get("ports", [])]
        assert len(set(published)) == len(published)


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
