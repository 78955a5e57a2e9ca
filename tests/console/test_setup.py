"""This machine: what is found, how it is, and lines that do what they say."""

import configparser
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from fastapi import FastAPI

import gnomon
import servers
from console.conftest import Shown
from gnomon_console.pages.setup import said
from gnomon_console.setup import lines, machine
from gnomon_console.setup.look import ABSENT, FAILS, MISSING, WATCHED, Seen, Service, Thing, things
from gnomon_stack import discover, exporter_yml, targets
from rulebook import ROOT

pytestmark = pytest.mark.timeout(300)

_BIN = Path(sys.executable).parent


@contextmanager
def answering(reply: bytes):
    """Listen on a port of loopback, and say that to whoever asks."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(100)
                connection.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def nowhere():
    """Return ports at which nobody listens."""
    known_ports = discover.Ports(*(servers.free_port() for _ in range(3)))
    return machine.Ports(known_ports, servers.free_port(), servers.free_port())


def shell(command: str, folder: Path) -> None:
    """Run a line as somebody would who copied it."""
    subprocess.run(["sh", "-ec", command], cwd=folder, check=True, timeout=60)


def test_a_bare_machine_has_nothing(tmp_path):
    """And is asked within seconds."""
    assert machine.look(nowhere(), str(tmp_path)) == machine.Machine()


def test_what_is_here_is_found(tmp_path):
    """Servers by what they say, not by an open port; runtimes by their sockets; systemd."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "run/podman").mkdir()
    (tmp_path / "run/podman/podman.sock").touch()  # a file of that name is nobody who listens
    runtime = socket.socket(socket.AF_UNIX)
    runtime.bind(str(tmp_path / "run/docker.sock"))
    ports = nowhere()
    with answering(b"N") as postgresql, answering(b"HTTP/1.0 200 OK\r\n\r\n") as blackbox:
        found = machine.look(machine.Ports(ports.known, postgresql, blackbox), str(tmp_path))
        other = machine.look(machine.Ports(ports.known, blackbox, postgresql), str(tmp_path))
    runtime.close()
    assert (found.systemd, found.runtimes) == (True, ("Docker",))
    assert (found.postgresql, found.blackbox) == (True, True)
    assert (other.postgresql, other.blackbox) == (False, False)


def seen(here, *, works=(), pools=(), systems=(), written=()):
    """Return what is said of each thing on a machine, by its name."""
    found = things(
        here, machine.Ports(), works=dict(works), pools=pools, systems=systems, written=written
    )
    return {thing.name: thing for thing in found}


EVERYTHING = machine.Machine(
    servers=discover.Found(gpus=2, redis=True, rq=True, celery=True, memcached=True, amqp=True),
    runtimes=("Docker",),
    systemd=True,
    postgresql=True,
    blackbox=True,
)


def test_what_is_found_and_not_watched_has_a_line():
    """What is watched, and what is not here, needs none; what fails says so."""
    found = seen(EVERYTHING)
    assert {thing.state for thing in found.values()} == {MISSING}
    assert all(thing.line for thing in found.values())
    watched = seen(
        EVERYTHING,
        works=dict.fromkeys(("cpu", "gpu", "cgroup", "celery", "rq", "memcached"), True)
        | {"redis": False},
        pools={"rabbitmq", "blackbox"},
        systems={"postgresql"},
    )
    assert {name for name, thing in watched.items() if thing.state != WATCHED} == {"Redis"}
    assert watched["Redis"].state == FAILS
    assert not any(thing.line for thing in watched.values())
    nothing = seen(machine.Machine(), works={"cpu": True})
    assert nothing.pop("This machine").state == WATCHED
    assert {(thing.state, thing.line, thing.here) for thing in nothing.values()} == {
        (ABSENT, "", "")
    }


def test_each_line_of_a_collector_turns_it_on(tmp_path):
    """In the file that the first `make up` writes on a machine that had nothing then."""
    text = exporter_yml.text(discover.Found(), discover.Ports())
    for thing in seen(EVERYTHING).values():
        if "exporter.yml" not in thing.line:
            continue
        path = tmp_path / "exporter.yml"
        path.write_text(text)
        before = yaml.safe_load(text)["collectors"] or {}
        edit, _, force = thing.line.partition(" && ")
        shell(edit, tmp_path)
        after = yaml.safe_load(path.read_text())["collectors"]
        [name] = set(after) - set(before)
        checked = subprocess.run(
            [_BIN / "gnomon-exporter", "check-config", "--config.file", path],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert name in yaml.safe_load(checked.stdout)["collectors"]
        # What is written and not in force has to be put into force, and nothing else.
        again = seen(EVERYTHING, written={name})[thing.name]
        assert again.line == force


def test_a_redis_that_is_locked_wants_a_file_with_its_password(tmp_path):
    """And the line says so."""
    locked = machine.Machine(servers=discover.Found(redis_locked=True))
    found = seen(locked)["Redis"]
    assert "wants a password" in found.here
    (tmp_path / "exporter.yml").write_text("collectors:\n")
    shell(found.line.partition(" && ")[0], tmp_path)
    written = yaml.safe_load((tmp_path / "exporter.yml").read_text())
    assert written["collectors"]["redis"]["password_file"] == "/etc/gnomon/redis.password"


def test_the_exporter_is_told_by_a_program_that_is_there():
    """By the name that supervisord.conf has for it."""
    program, verb, signal, part = lines.collector("redis", "{}", written=True).split()
    assert (ROOT / program).name == "supervisorctl"
    assert shutil.which("supervisorctl", path=str(_BIN))
    assert (verb, signal) == ("signal", "HUP")
    config = configparser.RawConfigParser()
    config.read(ROOT / "supervisord.conf")
    assert config.has_section(f"program:{part}")


@pytest.mark.parametrize(("line", "folder"), [(lines.RABBITMQ, "rabbitmq"), (lines.PROBE, "probe")])
def test_lines_that_write_targets_write_some(tmp_path, line, folder):
    """Which the stack reads, at the place that prometheus.yml names."""
    (tmp_path / "prometheus/targets" / folder).mkdir(parents=True)
    shell(line.rpartition(" && ")[2], tmp_path)
    found, unreadable = targets.load(tmp_path / "prometheus/targets" / folder)
    assert unreadable == []
    [one] = found
    assert len(one.addresses) == 1
    assert f"targets/{folder}/*.yml" in (ROOT / "prometheus/prometheus.yml").read_text()


def test_the_line_that_adds_an_application_adds_it(tmp_path):
    """With the command that the checkout has."""
    (tmp_path / "prometheus/targets").mkdir(parents=True)
    (tmp_path / "supervisord.conf").touch()
    command, *words = shlex.split(lines.TARGET)
    assert command == ".venv/bin/gnomon"
    subprocess.run([_BIN / "gnomon", *words], cwd=tmp_path, check=True, timeout=60)
    [found] = targets.load(tmp_path / "prometheus/targets")[0]
    assert (found.service, found.addresses) == ("shop", ("127.0.0.1:8080",))


@pytest.mark.parametrize("line", [lines.ALERTS, lines.START])
def test_verbs_of_make_are_there(line):
    """Nothing is run."""
    verb = line.removeprefix("make ")
    subprocess.run(["make", "--dry-run", verb], cwd=ROOT, check=True, capture_output=True)


def test_lines_for_applications_are_pythons():
    """Each is one that the library knows."""
    app = FastAPI()
    for line in (lines.APPLICATION, lines.ENGINE):
        name = compile(line, "line", "eval").co_names
        assert callable(getattr(gnomon, name[1]))
    exec(lines.APPLICATION, {"gnomon": gnomon, "app": app})
    try:
        assert gnomon.uninstrument(app) is None
    finally:
        gnomon.uninstrument(app)


def test_the_first_page_has_a_word_only_where_there_is_reason():
    """Nothing answers, nothing is there yet, nobody's application, something not watched."""
    well = Seen(
        trouble="",
        samples=True,
        things=(Thing("Redis", "", WATCHED),),
        scraped=(),
        working=1,
        failing=(),
        services=(Service("shop", "", own=False),),
        told=(),
    )
    assert said(well) == ""
    assert "cannot be reached" in said(replace(well, trouble="Prometheus cannot be reached"))
    assert "within seconds" in said(replace(well, samples=False))
    assert "None of your applications" in said(
        replace(well, services=(Service("desk", "", own=True),))
    )
    assert "Redis" in said(replace(well, things=(Thing("Redis", "here", MISSING),)))


def test_the_page_says_what_prometheus_says(context, told, tmp_path):
    """Its targets, applications, what fails; on a phone, too; and the first page leads there."""
    shown = Shown(context, told, tmp_path)
    try:
        shown.open("/setup")
        # It follows what is new by itself.
        shown.page.get_by_text("Collector redis on one fails").wait_for()
        assert "1 of 1 targets answer" in shown.page.inner_text("main")
        text = shown.page.inner_text("main")
        [target] = told.answer("targets", state="active")["activeTargets"]
        assert target["labels"]["instance"] in text
        assert "version 1.1" in text
        assert lines.APPLICATION in text
        assert lines.traces(told.console) in text
        assert "Alertmanager does not answer" in text
        shown.wide(400)
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 400
        shown.open("/")
        with shown.page.expect_navigation():
            shown.page.get_by_role("link", name="This machine shows").click()
        assert shown.page.url.endswith("/setup")
        assert shown.complaints == []
    finally:
        shown.page.close()
