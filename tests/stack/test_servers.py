"""What the tests' servers are made of."""

import signal
import subprocess
import sys
import time

import pytest

import servers


def test_a_server_is_reached_and_ended_with_its_children(tmp_path):
    """After the block neither the server nor a child of its child is alive."""
    port = servers.free_port()
    script = (
        "import subprocess, sys, http.server\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "print(child.pid, flush=True)\n"
        f"http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')\n"
    )
    url = f"http://127.0.0.1:{port}/"
    with servers.Server([sys.executable, "-c", script], ready=url, log=tmp_path / "log") as server:
        child = int(server.output().splitlines()[0])
        assert servers.alive(child)
        assert server.process.poll() is None
    assert server.process.returncode == -signal.SIGTERM
    deadline = time.monotonic() + 10
    while servers.alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not servers.alive(child)


def test_a_server_that_dies_fails_the_test_with_its_last_words(tmp_path):
    """What the server printed stands in the failure."""
    words = [sys.executable, "-c", "raise SystemExit('no such file')"]
    server = servers.Server(words, ready="http://127.0.0.1:9/", log=tmp_path / "log")
    with pytest.raises(pytest.fail.Exception, match="no such file"), server:
        pass


def test_a_missing_program_skips_a_laptop_and_fails_ci(monkeypatch):
    """The name of what is missing stands in both."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        servers.program("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        servers.program("no-such-program")


def test_programs_run(program):
    """What is found starts, also where it is only unpacked."""
    for name in ("prometheus", "promtool", "alertmanager", "amtool"):
        done = subprocess.run([*program(name), "--version"], capture_output=True, check=True)
        assert name.encode() in done.stdout + done.stderr
