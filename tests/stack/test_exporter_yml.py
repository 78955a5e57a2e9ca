"""exporter.yml on the first `make up`: what is found, what is written, what is never touched."""

import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import servers
from brokers import rabbitmq_server
from caches import memcached_server, redis_server, say, silent_server
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.config import read
from gnomon_exporter.options import parse
from gnomon_stack import discover, exporter_yml, loopback
from gnomon_stack.discover import Found, Ports

PROGRAM = str(Path(sys.executable).with_name("gnomon-exporter"))


def nobody():
    """Return ports at which nobody answers."""
    return Ports(servers.free_port(), servers.free_port(), servers.free_port())


@pytest.fixture
def bare(tmp_path):
    """A root without a GPU."""
    return str(tmp_path / "bare")


@contextmanager
def answering(answer):
    """Yield the port of a server that says one thing to whatever it is asked, and what that was."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(100))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], asked
        thread.join(10)


def test_a_bare_machine_has_nothing(bare):
    """Refused connections, no driver: nothing is found, and nothing is said to be."""
    assert discover.look(nobody(), bare) == Found()


def test_real_servers_are_found(tmp_path, bare):
    """A Redis, with and without RQ's queues in it, and a memcached."""
    with redis_server(tmp_path) as (redis, _), memcached_server(tmp_path) as (memcached, _):
        ports = Ports(redis, memcached, servers.free_port())
        assert discover.look(ports, bare) == Found(redis=True, memcached=True)
        say(redis, "SADD rq:queues rq:queue:default")
        assert discover.look(ports, bare) == Found(redis=True, rq=True, memcached=True)


def test_celery_is_found_by_what_it_leaves_in_redis(tmp_path, bare):
    """One task that was sent is enough, without any worker."""
    celery = pytest.importorskip("celery")
    with redis_server(tmp_path) as (port, _):
        ports = Ports(port, servers.free_port(), servers.free_port())
        app = celery.Celery(broker=f"redis://127.0.0.1:{port}/0")
        app.send_task("anything")
        app.close()
        assert discover.look(ports, bare) == Found(redis=True, celery=True)


def test_a_redis_that_asks_for_a_password_is_found_but_not_turned_on(tmp_path, bare):
    """It would fail from the first scrape on; its line waits with a place for the password."""
    with redis_server(tmp_path, "--requirepass", "s3cret") as (port, _):
        ports = Ports(redis=port)
        found = discover.look(Ports(port, servers.free_port(), servers.free_port()), bare)
    assert found == Found(redis_locked=True)
    text = exporter_yml.text(found, ports)
    assert f'\n  # redis: {{address: "redis://127.0.0.1:{port}", password_file: ' in text
    assert "asks for a password" in text


def test_a_real_rabbitmq_is_found(tmp_path, bare):
    """Its greeting is enough: nobody logs in."""
    with rabbitmq_server(tmp_path) as broker:
        ports = Ports(servers.free_port(), servers.free_port(), broker.port)
        assert discover.look(ports, bare) == Found(amqp=True)


def test_a_broker_is_told_by_its_greeting(bare):
    """AMQP 0-9-1's first frame, or the version that a broker speaks instead of ours."""
    for greeting in (b"\x01\x00\x00\x00\x00\x01\xf9\x00\x0a\x00\x0a", b"AMQP\x00\x01\x00\x00"):
        with answering(greeting) as (port, asked):
            found = discover.look(Ports(servers.free_port(), servers.free_port(), port), bare)
        assert found == Found(amqp=True)
        assert asked == [b"AMQP\x00\x00\x09\x01"]


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\xff" * 9000]
)
def test_another_server_at_the_port_is_not_taken_for_one(answer, bare):
    """Whatever it says."""
    with answering(answer) as (a, _), answering(answer) as (b, _), answering(answer) as (c, _):
        assert discover.look(Ports(a, b, c), bare) == Found()


def test_silent_servers_cost_less_than_two_seconds(bare):
    """Whoever takes a connection and says nothing is let go (tested with a margin of five)."""
    with silent_server() as port:
        begun = time.monotonic()
        assert discover.look(Ports(port, port, port), bare) == Found()
        assert time.monotonic() - begun < 2 * 5


@pytest.mark.parametrize(
    ("paths", "count"),
    [
        (["proc/driver/nvidia/gpus/0000:01:00.0", "proc/driver/nvidia/gpus/0000:02:00.0"], 2),
        (["dev/nvidia0", "dev/nvidia1", "dev/nvidiactl", "dev/nvidia-uvm"], 2),
        (["proc/driver/nvidia/gpus", "dev/nvidiactl"], 0),
        (["dev/dri"], 0),
    ],
)
def test_gpus_are_counted(tmp_path, paths, count):
    """As the driver lists them, or by their devices where a sandbox hides the list."""
    for path in paths:
        (tmp_path / path).mkdir(parents=True)
    assert discover.look(nobody(), str(tmp_path)) == Found(gpus=count)


EVERYTHING = Found(gpus=2, redis=True, rq=True, celery=True, memcached=True, amqp=True)
LOCKED = Found(redis_locked=True)
FINDINGS = [Found(), EVERYTHING, LOCKED, Found(gpus=1, memcached=True), Found(amqp=True)]


def lines_of(text, *, on):
    """Return the collectors that are on, or those that stand in a comment, with their lines."""
    mark = "" if on else "# "
    found = re.findall(rf"^  {mark}(\w+): \{{.*$", text, re.MULTILINE)
    return [name for name in found if name in COLLECTORS]


def checked(tmp_path, text):
    """Return the configuration that the exporter reads from a text."""
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    return read(parse([f"--config.file={file}"], COLLECTORS), COLLECTORS)


@pytest.mark.parametrize("found", FINDINGS)
def test_what_was_found_is_on_and_nothing_else(tmp_path, found):
    """The file is a good configuration, whose collectors are those of what is here."""
    text = exporter_yml.text(found, Ports())
    wanted = {name: getattr(found, name) for name in ("redis", "celery", "rq", "memcached")}
    wanted = {"gpu": found.gpus, **wanted}
    assert lines_of(text, on=True) == [name for name, is_on in wanted.items() if is_on]
    config = checked(tmp_path, text)
    for name in ("redis", "celery", "rq", "memcached", "cgroup", "processes"):
        assert (name in config.collectors) == bool(wanted.get(name))
    if found.gpus:
        assert config.collectors["gpu"].settings == {"expected": found.gpus}
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("found", FINDINGS)
def test_each_line_in_a_comment_works_by_itself(tmp_path, found):
    """Whichever "# " is taken off, the exporter starts with that collector."""
    text = exporter_yml.text(found, Ports())
    commented = re.findall(r"^  # ((\w+): \{.*)$", text, re.MULTILINE)
    assert {"cgroup", "processes"} < {name for _, name in commented}
    for line, name in commented:
        if name in lines_of(text, on=True):  # several, in place of the one that is on
            without = re.sub(rf"^  {name}: .*\n", "", text, flags=re.MULTILINE)
        else:
            without = text
        config = checked(tmp_path, without.replace(f"  # {line}", f"  {line}"))
        if "targets" in line:
            assert [key for key in config.targets if key[0] == name] != []
        else:
            assert name in config.collectors
            assert all(name == key or key in COLLECTORS for key in config.collectors)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Found(),
            "no GPUs, Redis, Celery, RQ or memcached found here, so only this host is collected.",
        ),
        (
            Found(amqp=True, redis_locked=True),
            "only this host is collected yet. A Redis here wants a password, as its line shows.",
        ),
        (
            Found(gpus=1, memcached=True),
            "GPUs and memcached found here, collected beside this host's own metrics.",
        ),
    ],
    ids=["nothing", "locked", "some"],
)
def test_a_newcomer_is_told_what_was_found_and_what_to_do(tmp_path, monkeypatch, found, said):
    """What is collected now, and how to have the rest."""
    monkeypatch.setattr(discover, "look", lambda _ports: found)
    heard = []
    exporter_yml.write(tmp_path, heard.append)
    more = 'To collect more, take the "# " off a line there.'
    assert heard == [f"Wrote exporter.yml: {said} {more}"]


def test_check_config_accepts_the_file(tmp_path):
    """The program itself, with real servers on the ports that it names, collects from them."""
    with redis_server(tmp_path) as (redis, _), memcached_server(tmp_path) as (memcached, _):
        said = []
        exporter_yml.write(tmp_path, said.append, Ports(redis, memcached, servers.free_port()))
        assert len(said) == 1
        assert "Redis and memcached found here" in said[0]
        words = [PROGRAM, "check-config", f"--config.file={tmp_path}/exporter.yml"]
        checked = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
        port = servers.free_port()
        words = [
            PROGRAM,
            f"--config.file={tmp_path}/exporter.yml",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        ready = f"http://127.0.0.1:{port}/-/ready"
        with servers.Server(words, ready=ready, log=tmp_path / "log"):
            page = servers.fetch(f"http://127.0.0.1:{port}/metrics", timeout=30).decode()
        assert "\nredis_up 1\n" in page
        assert "\nmemcached_up 1\n" in page


def test_a_file_that_is_there_is_never_touched(tmp_path):
    """Not when it is empty, not when it is a link to nothing; and nothing is asked or said."""
    said = []
    (tmp_path / "exporter.yml").write_text("")
    exporter_yml.write(tmp_path, said.append, nobody())
    assert (tmp_path / "exporter.yml").read_text() == ""
    (tmp_path / "exporter.yml").unlink()
    (tmp_path / "exporter.yml").symlink_to(tmp_path / "elsewhere")
    exporter_yml.write(tmp_path, said.append, nobody())
    assert not (tmp_path / "elsewhere").exists()
    assert said == []


def test_a_folder_that_takes_no_file_is_said_and_no_obstacle(tmp_path):
    """The stack goes on without the file."""
    said = []
    exporter_yml.write(tmp_path / "nowhere", said.append, nobody())
    assert said == [
        "exporter.yml cannot be written (No such file or directory): only the host is collected."
    ]


def test_gnomon_up_writes_the_file_and_runs_by_it(stack, eventually):
    """On the first start it is there, the exporter has it, and SIGHUP puts a change into force."""
    checkout = stack.checkout
    assert "Wrote exporter.yml" in stack.output()
    file = checkout.home.root / "exporter.yml"
    assert "--config.file exporter.yml" in checkout.processes()[checkout.pid("exporter.yml")]
    before = file.read_text()
    file.write_text(before.replace("  # cgroup: {}", "  cgroup: {}"))
    words = [str(Path(sys.executable).with_name("supervisorctl")), "signal", "HUP", "exporter"]
    done = subprocess.run(
        words, cwd=checkout.home.root, env=checkout.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    port = checkout.ports["exporter"]
    eventually(lambda: b'{collector="cgroup"}' in loopback.get(port, "/metrics"), 30)
    file.write_text(before)
