"""The program: its command line, its signals, its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers import Server, fetch, free_port

PROGRAM = str(Path(sys.executable).with_name("gnomon-exporter"))
STUCK = Path(__file__).with_name("hostile_exporter.py")


def _run(*arguments):
    return subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def _serving(tmp_path, *arguments, program=(PROGRAM,)):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [*program, f"--web.listen-address=127.0.0.1:{port}", *arguments]
    return url, Server(words, ready=f"{url}/-/ready", log=tmp_path / "log")


def test_help_names_every_flag_on_readable_lines():
    """--help shows each collector with its subject, within 80 columns but for long flags."""
    shown = _run("--help")
    assert shown.returncode == 0
    assert "--collector.loadavg, --no-collector.loadavg" in shown.stdout
    assert "--web.config.file" in shown.stdout
    assert "check-config" in shown.stdout


def test_version():
    """--version names the program and its version."""
    assert _run("--version").stdout.startswith("gnomon-exporter 0.")


def test_check_config_prints_what_would_run(tmp_path):
    """A good configuration is shown with every setting, and exit status 0."""
    file = tmp_path / "exporter.yml"
    file.write_text("disable_defaults: true\ncollectors: {loadavg: }")
    checked = _run("check-config", f"--config.file={file}")
    assert checked.returncode == 0
    assert checked.stdout.endswith("# Good: 1 collectors would run.\n")
    assert "  loadavg:\n    timeout: 5s\n" in checked.stdout


def test_check_config_reads_the_web_config_file_too(tmp_path):
    """A web config file that could not be used is found before anything runs."""
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_user: {}")
    checked = _run("check-config", f"--web.config.file={file}")
    assert checked.returncode == 2
    assert "did you mean basic_auth_users?" in checked.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.file=nowhere.yml"], "nowhere.yml: cannot be read"),
        (["--collector.nonsense"], "unknown flag: --collector.nonsense"),
        (["--collector.meminf"], "(did you mean --collector.meminfo?)"),
        (["--web.listen-address=nonsense"], "nonsense"),
        (["--web.config.file=nowhere.yml"], "nowhere.yml: cannot be read"),
        (["--web.max-requests=many"], "invalid int value: 'many'"),
    ],
)
def test_a_mistake_is_one_clear_message_and_status_2(arguments, message):
    """What is wrong on the command line is said on standard error, without a traceback."""
    failed = _run(*arguments)
    assert failed.returncode == 2
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert len(failed.stderr.splitlines()) <= 2


def test_a_port_in_use_is_one_clear_line(tmp_path):
    """The address that is taken is named, with the flag that moves it."""
    url, server = _serving(tmp_path)
    with server:
        failed = _run(f"--web.listen-address={url.removeprefix('http://')}")
    assert failed.returncode == 2
    assert url.removeprefix("http://") in failed.stderr
    assert "in use" in failed.stderr
    assert "--web.listen-address" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_on_a_signal(tmp_path, number):
    """SIGTERM and Ctrl-C end it with status 0."""
    _, server = _serving(tmp_path)
    with server:
        server.process.send_signal(number)
        assert server.process.wait(5) == 0
    assert "Traceback" not in server.output()


def test_ends_within_a_second_though_a_thread_is_stuck(tmp_path):
    """SIGTERM while a collector hangs in a system call: gone in 1 s (tested with a margin of 5)."""
    url, server = _serving(tmp_path, program=(sys.executable, str(STUCK)))
    with server:
        page = fetch(f"{url}/metrics", timeout=30)
        assert b'gnomon_scrape_collector_success{collector="hangs"} 0' in page
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 0
        assert time.monotonic() - started < 5


def test_sighup_reads_the_configuration_again(tmp_path):
    """A new configuration is in force after SIGHUP; a bad one changes nothing and is reported."""
    file = tmp_path / "exporter.yml"
    file.write_text("disable_defaults: true\ncollectors: {loadavg: }")
    url, server = _serving(tmp_path, f"--config.file={file}")

    def _await(line):
        end = time.monotonic() + 10
        while line not in fetch(f"{url}/metrics").decode():
            assert time.monotonic() < end, server.output()
            time.sleep(0.05)

    with server:
        file.write_text("disable_defaults: true\ncollectors: {entropy: }")
        os.kill(server.process.pid, signal.SIGHUP)
        _await('gnomon_scrape_collector_success{collector="entropy"} 1')
        file.write_text("collectors: {entropyy: }")
        os.kill(server.process.pid, signal.SIGHUP)
        _await("gnomon_exporter_config_last_reload_successful 0")
        _await('gnomon_scrape_collector_success{collector="entropy"} 1')
    assert "entropyy: unknown key (did you mean entropy?)" in server.output()
