"""`gnomon up` and `gnomon down`, with the real servers."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

import servers
from gnomon_stack import lock, loopback

# Deadlines are tested with five times their length.
MARGIN = 5
READY_S = 5
SCRAPED_S = 10


@pytest.fixture
def real(checkout):
    """A checkout on a machine that has the real servers."""
    for name in ("prometheus", "alertmanager"):
        servers.program(name)
    return checkout


def test_every_part_answers_at_the_address_in_the_table(stack):
    """What the table says is where the parts are, on loopback alone."""
    for part, port in stack.checkout.ports.items():
        assert f"http://127.0.0.1:{port} " in stack.output()
        servers.fetch(stack.checkout.url(part, "/-/ready"))
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("127.0.0.2", port))


def test_this_host_is_scraped_every_ten_seconds(stack):
    """The first sample is announced, and Prometheus scrapes job `node` every 10 s with success."""
    stack.said("First sample of this host in Prometheus")
    port = stack.checkout.ports["prometheus"]
    assert loopback.value(port, 'up{job="node"}') == 1
    found = loopback.data(port, "/api/v1/targets")["activeTargets"]
    assert [t["scrapeInterval"] for t in found if t["scrapePool"] == "node"] == ["10s"]


def test_prometheus_is_started_as_promised(stack, eventually):
    """Exemplars, 35 days, a size cap, rules, an Alertmanager; addresses that people can reach."""
    checkout = stack.checkout
    port = checkout.ports["prometheus"]
    flags = loopback.data(port, "/api/v1/status/flags")
    assert flags["enable-feature"] == "exemplar-storage"
    assert flags["storage.tsdb.retention.time"] in {"35d", "5w"}  # two spellings of one length
    assert flags["storage.tsdb.retention.size"] in {"5GB", "5GiB"}
    assert flags["web.external-url"] == f"http://127.0.0.1:{port}/"
    assert loopback.data(port, "/api/v1/rules")["groups"]
    alertmanager = checkout.url("alertmanager", "/api/v2/alerts")
    eventually(
        lambda: (
            loopback.data(port, "/api/v1/alertmanagers")["activeAlertmanagers"]
            == [{"url": alertmanager}]
        ),
        60,
    )


def test_alertmanager_shares_its_templates_and_needs_no_cluster(stack):
    """It runs alone, ready to notify."""
    status = json.loads(servers.fetch(stack.checkout.url("alertmanager", "/api/v2/status")))
    assert status["cluster"]["status"] == "disabled"


def test_alertmanager_has_the_page_that_messages_link_to(stack):
    """Its own, or ours where the distribution leaves it out."""
    page = servers.fetch(stack.checkout.url("alertmanager", "/")).decode()
    assert "does not include a web" not in page
    assert "<script" in page


def test_a_second_start_says_that_one_runs_and_where(stack):
    """The addresses are repeated; nothing else is started."""
    before = stack.checkout.processes()
    again = stack.checkout.run("up")
    assert again.returncode == 0, again.stderr
    assert f"runs already (pid {stack.process.pid})" in again.stdout
    for port in stack.checkout.ports.values():
        assert f"http://127.0.0.1:{port}" in again.stdout
    assert before == stack.checkout.processes()


def test_an_application_is_scraped_within_ten_seconds(stack, tmp_path, eventually):
    """Without a restart, with its service label; and no longer once it is removed."""
    checkout, port = stack.checkout, servers.free_port()
    script = (
        "import threading, prometheus_client as client\n"
        "client.Counter('orders', 'Orders.').inc(7)\n"
        f"client.start_http_server({port}, '127.0.0.1')\n"
        "threading.Event().wait()\n"
    )
    words = [sys.executable, "-c", script]
    url = f"http://127.0.0.1:{port}/metrics"
    prometheus = checkout.ports["prometheus"]
    before = checkout.pid("--storage.tsdb.path")
    with servers.Server(words, ready=url, log=tmp_path / "log"):
        added = checkout.run("target", "add", "shop", url, "--service", "store")
        assert added.returncode == 0, added.stderr
        expression = (
            f'orders_total{{job="application",service="store",instance="127.0.0.1:{port}"}}'
        )
        eventually(lambda: loopback.value(prometheus, expression) == 7, SCRAPED_S * MARGIN)
        assert health(checkout) == "up"
    eventually(lambda: "connection refused" in health(checkout), SCRAPED_S * MARGIN)
    assert checkout.run("target", "remove", "shop").returncode == 0
    eventually(
        lambda: (
            not [
                target
                for target in loopback.data(prometheus, "/api/v1/targets")["activeTargets"]
                if target["scrapePool"] == "application"
            ]
        ),
        SCRAPED_S * MARGIN,
    )
    assert checkout.pid("--storage.tsdb.path") == before


def test_a_part_that_dies_is_reported_and_started_again(stack):
    """Its name, how it ended and its last lines are printed; the others go on."""
    checkout = stack.checkout
    other = checkout.pid("--storage.tsdb.path")
    killed = checkout.pid("--cluster.listen-address")
    os.kill(killed, signal.SIGKILL)
    stack.said("alertmanager ended: terminated by SIGKILL; it is started again. Its last lines")
    assert str(checkout.home.log / "alertmanager.log") in stack.output()
    stack.said("alertmanager runs again")
    assert checkout.pid("--cluster.listen-address") != killed
    servers.fetch(checkout.url("alertmanager", "/-/ready"))
    assert checkout.pid("--storage.tsdb.path") == other


def test_supervisorctl_shows_the_parts(stack):
    """The supervisor's own tool works in the checkout while the stack runs."""
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisorctl", "status"],
        cwd=stack.checkout.home.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "alertmanager",
        "console",
        "demo",
        "exchange",
        "exporter",
        "load",
        "prometheus",
    ], done.stdout + done.stderr


def test_what_runs_writes_below_its_own_folder(stack):
    """Logs, data, lock and socket are in .stack, closed to other users."""
    home = stack.checkout.home
    assert home.stack.stat().st_mode & 0o777 == 0o700
    names = {entry.name for entry in home.stack.iterdir()}
    assert {"data", "log", "up.lock", "supervisor.sock"} <= names
    assert {entry.name for entry in home.log.iterdir()} >= {"prometheus.log", "supervisord.log"}


def test_a_second_run_is_ready_in_time_and_keeps_its_data(real):
    """`down` ends all of it, and the next start has the past."""
    stack = real.start()
    stack.said("First sample of this host")
    assert real.run("down").stdout == "Stopped: nothing runs any more.\n"
    assert stack.process.wait(10) == 0
    assert real.processes() == {}
    start, clock = time.monotonic(), time.time()
    stack = real.start()
    assert time.monotonic() - start < READY_S * MARGIN
    prometheus = real.ports["prometheus"]
    assert loopback.value(prometheus, 'min_over_time(timestamp(up{job="node"})[1h:1s])') < clock
    stack.said("First sample of this host")
    assert loopback.value(prometheus, 'timestamp(up{job="node"})') > clock
    assert real.run("down").returncode == 0
    assert real.left() == {}


def test_down_without_a_stack_is_no_failure(checkout):
    """What was asked for is so."""
    done = checkout.run("down")
    assert (done.returncode, done.stdout) == (0, "No stack runs here.\n")


def test_ctrl_c_in_a_terminal_leaves_nothing(real):
    """Not even children of a part's own; the terminal is told."""
    folder = real.home.root / "bin"
    folder.mkdir()
    [*words, path] = servers.program("prometheus")
    script = f'#!/bin/sh\nsleep 86399 &\nexec {" ".join(map(_quoted, [*words, path]))} "$@"\n'
    (folder / "prometheus").write_text(script)
    (folder / "prometheus").chmod(0o755)
    real.env["PATH"] = f"{folder}:{real.env['PATH']}"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(real.home.root)
        os.execve(sys.executable, real.words("up"), real.env)
    try:
        _read_until(terminal, b"stops all of it")
        assert any("sleep 86399" in command for command in real.processes().values())
        os.write(terminal, b"\x03")
        _read_until(terminal, b"Stopped: nothing runs any more.")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)
    assert real.processes() == {}


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_each_way_of_asking_ends_all_of_it(real, name):
    """Also a terminal that is closed."""
    stack = real.start()
    stack.process.send_signal(name)
    assert stack.process.wait(60) == 0
    assert real.processes() == {}


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.8])
def test_a_signal_while_it_starts_ends_all_of_it(real, after_s):
    """However early it comes, nothing is left behind."""
    stack = real.begin()
    time.sleep(after_s)
    stack.process.send_signal(signal.SIGTERM)
    stack.process.wait(60)
    assert real.left() == {}


@pytest.mark.parametrize("victim", ["-m gnomon_stack up", "supervisor.supervisord"])
def test_nothing_outlives_a_supervisor_that_is_killed(real, victim):
    """The kernel tells the parts that their parent has died."""
    stack = real.start()
    os.kill(real.pid(victim), signal.SIGKILL)
    stack.process.wait(60)
    assert real.left() == {}
    if "supervisord" in victim:
        assert stack.process.returncode == 1
        assert "the supervisor ended by itself with status -9" in stack.output()


def test_a_part_that_cannot_start_is_tried_again_until_it_can(real, eventually):
    """The others run; its last lines tell why; it runs by itself once its file is mended."""
    config = real.home.root / "alertmanager/alertmanager.yml"
    good = config.read_text()
    config.write_text(good.replace("inhibit_rules:", "inhibit_ruels:"))
    stack = real.begin()
    stack.said("alertmanager ended: exit status 1; it is started again. Its last lines")
    stack.said("inhibit_ruels")
    stack.said("alertmanager ended again: exit status 1")
    eventually(lambda: servers.fetch(real.url("prometheus", "/-/ready")), 30)
    config.write_text(good)
    # It may not answer while it is down, and reads the file when it starts.
    real.run("alert-config")
    stack.said("alertmanager is ready after" if "silent" in stack.output() else "stops all of it")
    assert real.run("down").returncode == 0


def test_a_port_in_use_is_named_with_its_holder_and_the_way_out(real):
    """One line for each, before anything is started."""
    with socket.socket() as taken, socket.socket() as other:
        taken.bind(("127.0.0.1", real.ports["prometheus"]))
        taken.listen()
        other.bind(("0.0.0.0", real.ports["exporter"]))
        other.listen()
        done = real.run("up")
    assert done.returncode == 1
    me = f"(pid {os.getpid()})"
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"gnomon: port {real.ports['exporter']} for exporter is in use by ")
    assert me in lines[0]
    assert "GNOMON_EXPORTER_PORT=PORT" in lines[0]
    assert me in lines[1]
    assert "GNOMON_PROMETHEUS_PORT=PORT" in lines[1]
    assert real.processes() == {}


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "٣"])
def test_a_port_that_is_none_is_refused(checkout, port):
    """The variable and what was expected, status 2."""
    checkout.env["GNOMON_EXPORTER_PORT"] = port
    done = checkout.run("up")
    assert done.returncode == 2
    assert done.stderr == (
        f"gnomon: GNOMON_EXPORTER_PORT={port}: expected a port from 1 to 65535\n"
    )


def test_a_bad_exporter_yml_is_refused_before_anything_starts(real):
    """The exporter's own complaint, with file, line and key, and status 2."""
    (real.home.root / "exporter.yml").write_text("collectors:\n  meminf: {}\n")
    done = real.run("up")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "gnomon: exporter.yml:2: collectors.meminf: unknown key (did you mean meminfo?)"
    )
    assert real.processes() == {}


def test_one_port_for_two_parts_is_refused(checkout):
    """Both variables are named."""
    checkout.env["GNOMON_EXPORTER_PORT"] = checkout.env["GNOMON_PROMETHEUS_PORT"]
    done = checkout.run("up")
    assert done.returncode == 2
    assert "GNOMON_EXPORTER_PORT or GNOMON_PROMETHEUS_PORT" in done.stderr


def test_a_lock_says_who_holds_it_and_is_gone_with_its_holder(tmp_path):
    """A file that a dead process has left behind means nothing."""
    path = tmp_path / "lock"
    assert lock.running(path) is None
    with lock.held(path, {"exporter": 1}):
        assert lock.running(path) == lock.Running(os.getpid(), {"exporter": 1})
        with pytest.raises(BlockingIOError), lock.held(path, {}):
            pass
        assert lock.running(path) == lock.Running(os.getpid(), {"exporter": 1})
    assert path.exists()
    assert lock.running(path) is None


def health(checkout):
    """Return what `gnomon target list` says of its only target."""
    [target] = json.loads(checkout.run("target", "list", "--json").stdout)
    return target["health"]


def _read_until(terminal, text):
    """Read a terminal until it shows ``text``; fail with what it shows instead."""
    shown, end = b"", time.monotonic() + 60
    while text not in shown:
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            pytest.fail(f"{text!r} was not shown: {shown.decode()}")
        try:
            shown += os.read(terminal, 65536)
        except OSError:
            pytest.fail(f"the terminal was closed before it showed {text!r}: {shown.decode()}")


def _quoted(word):
    return "'" + word.replace("'", "'\\''") + "'"
