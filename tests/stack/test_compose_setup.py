"""What `setup` makes: passwords once, configurations each time, each for one reader."""

import os
import re
import stat
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import yaml

import servers
from gnomon_stack.alerting import version
from gnomon_stack.compose import passwords, scrape, setup
from gnomon_stack.trouble import Trouble

COMPOSE = yaml.safe_load((servers.ROOT / "docker-compose.yml").read_text())
SOURCE = (servers.ROOT / "prometheus/prometheus.yml").read_text()
ENVIRON = {"ALERTMANAGER_IMAGE": "prom/alertmanager:v0.28.1"}


@pytest.fixture
def owners(monkeypatch):
    """Who was given what, by path; so that the tests need not be root."""
    found = {}
    monkeypatch.setattr(os, "chown", lambda path, user, _group: found.update({str(path): user}))
    return found


@pytest.fixture
def places(checkout, tmp_path, owners):  # noqa: ARG001  # nothing is really given away
    """A checkout without receivers, and empty volumes."""
    to = tmp_path / "to"
    for name in ("jaeger-data", "secrets"):
        (to / name).mkdir(parents=True)
    return setup.Places(checkout.home.root, to)


def _run(places, **environ):
    return "\n".join(setup.run(places, {**ENVIRON, **environ}))


def test_passwords_are_made_once(places):
    """Each is long and its own; a second start keeps them, for the data knows no others."""
    said = _run(places)
    first = {name: passwords.read(places.to / "secrets", name) for name in passwords.NAMES}
    assert len(set(first.values())) == len(passwords.NAMES)
    assert all(re.fullmatch(r"[0-9a-f]{40}", each) for each in first.values())
    assert not any(each in said for each in first.values())
    assert _run(places) == said
    assert first == {name: passwords.read(places.to / "secrets", name) for name in passwords.NAMES}


def test_a_password_that_is_there_is_never_overwritten(places):
    """Nor is an empty file taken for one: whoever restored half a backup hears of it."""
    (places.to / "secrets/grafana").write_text("of my own\n")
    _run(places)
    assert (places.to / "grafana/password").read_text() == "of my own\n"
    (places.to / "secrets/redis").chmod(0o600)
    (places.to / "secrets/redis").write_text("")
    with pytest.raises(Trouble, match="redis is empty"):
        _run(places)


def test_every_file_is_for_one_user_alone(places, monkeypatch):
    """Mode 0400, given to whom docker-compose.yml runs the service as."""
    given = {}

    def give(path, user, mode):
        service = path.relative_to(places.to).parts[0]
        given[service, re.sub(r"^\.(.+)\.\d+$", r"\1", path.name)] = user
        path.chmod(mode)

    monkeypatch.setattr("gnomon_stack.compose.files.give", give)
    monkeypatch.setattr("gnomon_stack.compose.setup.give", give)
    _run(places)
    assert given["grafana", "password"] == 472
    assert given["jaeger-data", "jaeger-data"] == 10001
    for (service, _), user in given.items():
        if service in COMPOSE["services"]:
            assert COMPOSE["services"][service]["user"].split(":")[0] == str(user)
    for service in ("exporter", "demo", "redis", "rabbitmq", "postgres", "grafana", "secrets"):
        for path in (places.to / service).iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o400, path


def test_users_are_those_of_the_services():
    """What is given to a user is given to the one who runs."""
    for name, user in setup.USERS.items():
        if name in COMPOSE["services"]:
            assert COMPOSE["services"][name]["user"].split(":")[0] == str(user)


def test_a_service_learns_no_password_but_those_it_needs(places):
    """Each has a volume of its own; only `setup` has all of them."""
    _run(places)
    found = {name: passwords.read(places.to / "secrets", name) for name in passwords.NAMES}
    knows = {
        folder: {
            name
            for name, text in found.items()
            if any(text in path.read_text() for path in (places.to / folder).rglob("*.*"))
            or any(text in path.read_text() for path in (places.to / folder).glob("*"))
        }
        for folder in ("grafana", "postgres", "rabbitmq", "redis", "exporter", "demo")
    }
    assert knows == {
        "grafana": {"grafana"},
        "postgres": {"postgres"},
        "rabbitmq": {"rabbitmq"},
        "redis": {"redis"},
        "exporter": {"redis", "rabbitmq"},
        "demo": {"postgres", "rabbitmq", "redis"},
    }
    for name, service in COMPOSE["services"].items():
        mounted = {str(each).split(":")[0] for each in service.get("volumes", [])}
        assert "secrets" not in mounted or name == "setup"
        secret = {each for each in mounted if each.endswith("-secrets")}
        allowed = {"exchange": "demo", "worker": "demo", "load": "demo"}.get(name, name)
        assert secret <= {f"{allowed}-secrets"} or name == "setup"


@pytest.mark.parametrize(
    ("name", "scheme", "host", "port"),
    [
        ("database", "postgresql+asyncpg", "postgres", 5432),
        ("redis", "redis", "redis", 6379),
        ("celery", "amqp", "rabbitmq", 5672),
    ],
)
def test_addresses_name_services(places, name, scheme, host, port):
    """What the demo connects to is a service of the stack, by its port there."""
    _run(places)
    found = urlsplit((places.to / "demo" / name).read_text().strip())
    assert (found.scheme, found.hostname, found.port) == (scheme, host, port)
    assert host in COMPOSE["services"]
    assert len(found.password) == 40


def test_nobody_is_told_until_a_secret_is_there(places):
    """A file, and the channel is on, with the secret where Alertmanager reads it."""
    assert "sent to nobody yet" in _run(places)
    rendered = yaml.safe_load((places.to / "alertmanager/alertmanager.yml").read_text())
    assert all(set(each) == {"name"} for each in rendered["receivers"])
    secret = places.checkout / "alertmanager/secrets/slack_url"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("https://hooks.slack.example/T/B/secret")
    secret.chmod(0o600)
    assert "Alerts go to slack." in _run(places)
    text = (places.to / "alertmanager/alertmanager.yml").read_text()
    assert "/run/gnomon/secrets/slack_url" in text
    assert "hooks.slack.example" not in text
    assert "T/B/secret" in (places.to / "alertmanager/secrets/slack_url").read_text()
    secret.unlink()
    _run(places)
    assert not list((places.to / "alertmanager/secrets").iterdir())


def test_what_cannot_be_meant_changes_nothing(places):
    """A wrong setting is said, and yesterday's configurations stay."""
    _run(places)
    before = {path: path.read_bytes() for path in places.to.rglob("*") if path.is_file()}
    with pytest.raises(Trouble, match="GNOMON_COMPOSE=hole: expected whole, minimal, scale"):
        _run(places, GNOMON_COMPOSE="hole")
    with pytest.raises(Trouble, match="GNOMON_ALERT_SLAK"):
        _run(places, GNOMON_ALERT_SLAK="x")
    with pytest.raises(Trouble, match="its tag says no version"):
        _run(places, ALERTMANAGER_IMAGE="mine")
    assert before == {path: path.read_bytes() for path in places.to.rglob("*") if path.is_file()}


def test_another_variant_forgets_the_targets_of_the_one_before(places):
    """Else what no longer runs would be down for ever."""
    _run(places)
    assert (places.to / "prometheus/targets/desk.yml").exists()
    _run(places, GNOMON_COMPOSE="minimal")
    files = [path for path in (places.to / "prometheus").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["prometheus.yml"]


def test_one_password_can_be_shown_and_no_other_file(places):
    """By its name; anything else is refused with the names that there are."""

    def shown(*words):
        code = (
            "from pathlib import Path; from gnomon_stack.compose import __main__, setup;"
            f"setup.Places = lambda *_: type('', (), {{'to': Path({str(places.to)!r})}});"
            f"__main__.main({list(words)!r})"
        )
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )

    _run(places)
    assert shown("show", "grafana").stdout == (places.to / "secrets/grafana").read_text()
    refused = shown("show", "../../etc/passwd")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "grafana|postgres|rabbitmq|redis" in refused.stderr


@pytest.mark.parametrize("variant", scrape.VARIANTS)
def test_prometheus_takes_its_configuration(variant, tmp_path):
    """By promtool, with all rules; nothing in it is on loopback any more."""
    found = scrape.render(SOURCE, variant, "here").files
    text = found["prometheus.yml"]
    assert "127.0.0.1" not in text
    assert "localhost" not in text
    own = tmp_path / "own"
    for path, content in found.items():
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).write_text(content)
    config = own / "prometheus.yml"
    text = text.replace("/etc/prometheus", str(servers.ROOT / "prometheus"))
    config.write_text(text.replace("/run/gnomon", str(own)))
    words = [*servers.program("promtool"), "check", "config"]
    words += ["--agent"] if variant == "scale" else []
    done = subprocess.run(
        [*words, str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_target_is_a_service(places):
    """A name that nothing answers to would be down for ever."""
    override = yaml.load((servers.ROOT / "compose.scale.yml").read_text(), Loader=_WithCommands)
    for variant in scrape.VARIANTS:
        _run(places, GNOMON_COMPOSE=variant)
        names = set(COMPOSE["services"])
        if variant == "minimal":
            names = {"exporter", "prometheus", "alertmanager", "grafana", "blackbox"}
        if variant == "scale":
            names |= set(override["services"])
        texts = [path.read_text() for path in (places.to / "prometheus").rglob("*.yml")]
        address = r"(?<![\w/.$-])(?:http://)?([a-z][a-z0-9-]*):\d{4,5}\b"
        found = set(re.findall(address, "\n".join(texts)))
        assert {"exporter", "prometheus"} <= found
        assert found <= names, variant


def test_the_machine_has_a_name_and_services_their_own():
    """The exporter's series are of the host; each target's service is its file's name or said."""
    config = yaml.safe_load(scrape.render(SOURCE, "whole", "here").files["prometheus.yml"])
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs["node"]["static_configs"] == [
        {"targets": ["exporter:9840"], "labels": {"instance": "here", "service": "host"}}
    ]
    for name in ("grafana", "jaeger", "probe"):
        for group in jobs[name]["static_configs"]:
            assert group["labels"]["service"]


def test_an_agent_neither_judges_nor_tells():
    """It would refuse to start with rules; what is sent is renamed where it is sent from."""
    files = scrape.render(SOURCE, "scale", "here").files
    config = yaml.safe_load(files["prometheus.yml"])
    assert not config.keys() & {"rule_files", "alerting"}
    assert config["remote_write"]
    source = yaml.safe_load(SOURCE)
    notifier = yaml.safe_load(files["notifier.yml"])
    assert notifier["alert_relabel_configs"] == source["alerting"]["alert_relabel_configs"]
    assert len(notifier["static_configs"][0]["targets"]) == 2


def test_amtool_takes_what_alertmanager_will_read(places):
    """With a receiver whose secret lies where the container will see it."""
    secret = places.checkout / "alertmanager/secrets/webhook_url"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("http://hooks.example/x")
    secret.chmod(0o600)
    amtool = servers.program("amtool")
    major, minor = version.of(amtool)
    _run(places, ALERTMANAGER_IMAGE=f"prom/alertmanager:v{major}.{minor}.0")
    path = places.to / "alertmanager/alertmanager.yml"
    path.chmod(0o600)
    path.write_text(path.read_text().replace("/run/gnomon", str(places.to / "alertmanager")))
    words = [*amtool, "check-config", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_source_without_its_jobs_is_no_source():
    """What the variants build upon has to be there."""
    with pytest.raises(Trouble, match="cannot be meant"):
        scrape.render("scrape_configs: []", "whole", "here")
    with pytest.raises(Trouble, match="cannot be meant"):
        scrape.render("a: [", "whole", "here")


class _WithCommands(yaml.SafeLoader):
    """YAML with Compose's own tags."""


_WithCommands.add_multi_constructor("!", lambda loader, _, node: _plain(loader, node))


def _plain(loader, node):
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_scalar(node)
