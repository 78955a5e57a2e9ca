"""The console as a part of the stack."""

import json
import shutil

import pytest

import servers
from certificates import Authority
from gnomon_stack import console
from gnomon_stack.parts import CONSOLE, ports
from gnomon_stack.trouble import Trouble

CONSOLE_RUNS = True


def test_it_runs_unless_it_is_left_out():
    """With the reason where it is."""
    assert console.left_out({}) is None
    assert console.left_out({"GNOMON_CONSOLE": "Off"}) == "GNOMON_CONSOLE=off"


def test_another_word_is_refused():
    """With what was expected."""
    with pytest.raises(Trouble, match="expected on or off"):
        console.left_out({"GNOMON_CONSOLE": "no"})


def test_it_is_left_out_without_what_it_needs(monkeypatch):
    """And says which extra brings that."""
    monkeypatch.setattr(console, "_NEEDED", ("gnomon_console", "no_such_package"))
    assert console.left_out({}) == (
        "no_such_package is not installed: it comes with the extra 'console'"
    )


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "GNOMON_JAEGER_URL"])
def test_traces_go_to_it_unless_somebody_says_otherwise(checkout, name):
    """Nobody has to set anything, and what is set counts."""
    endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
    assert console.answers(checkout.home, {}, {CONSOLE: 8090}, ())[endpoint] == (
        "http://127.0.0.1:8090"
    )
    assert endpoint not in console.answers(checkout.home, {}, {}, ())
    elsewhere = {name: "http://127.0.0.1:4318"}
    assert endpoint not in console.answers(checkout.home, elsewhere, {CONSOLE: 8090}, ())


def test_logs_go_where_traces_do(checkout):
    """To the console, which shows them below their spans; not to another receiver, nor unasked."""
    logs = "OTEL_LOGS_EXPORTER"
    wanted = {CONSOLE: 8090}
    assert console.answers(checkout.home, {}, wanted, ())[logs] == "otlp"
    assert console.answers(checkout.home, {logs: "none"}, wanted, ())[logs] == "none"
    elsewhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert logs not in console.answers(checkout.home, elsewhere, wanted, ())


_HASH = "$2b$04$abcdefghijklmnopqrstuuXxMkuz1bpmCAhqLkdIM4CzHNLBzdJm."


def test_it_is_away_where_loopback_does_not_reach_it(tmp_path):
    """By another address, or by TLS; not where it is reached there, too."""
    users = tmp_path / "web.yml"
    users.write_text(f"basic_auth_users: {{ann: '{_HASH}'}}\n")
    tls = tmp_path / "tls.yml"
    certificate, key = Authority().server(tmp_path)
    section = f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n"
    tls.write_text(users.read_text() + section)

    def away(host, file=""):
        given = {"GNOMON_CONSOLE_HOST": host, "GNOMON_CONSOLE_WEB_CONFIG": str(file)}
        return console.away(given, {CONSOLE: 8090})

    assert away("") is None
    assert away("localhost") is None
    assert away("0.0.0.0", users) is None
    assert away("192.0.2.1", users) == "http://192.0.2.1:8090"
    assert away("2001:db8::1", users) == "http://[2001:db8::1]:8090"
    assert away("127.0.0.1", tls) == "https://127.0.0.1:8090"
    assert console.away({"GNOMON_CONSOLE_HOST": "0.0.0.0"}, {}) is None
    with pytest.raises(Trouble, match="nobody would be asked for a password"):
        away("0.0.0.0")


def test_what_is_away_is_sent_no_traces(checkout, tmp_path):
    """And knows where its file is."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{ann: '{_HASH}'}}\n")
    given = {"GNOMON_CONSOLE_WEB_CONFIG": str(file), "GNOMON_CONSOLE_HOST": "192.0.2.1"}
    said = console.answers(checkout.home, given, {CONSOLE: 8090}, ())
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in said
    assert said["GNOMON_CONSOLE_WEB_CONFIG"] == str(file)


def test_the_stack_does_not_start_with_an_open_console(checkout):
    """Before anything has."""
    checkout.env["GNOMON_CONSOLE_HOST"] = "0.0.0.0"
    ended = checkout.run("up")
    assert ended.returncode == 2
    assert "basic_auth_users in a file that GNOMON_CONSOLE_WEB_CONFIG names" in ended.stderr


def test_prometheus_finds_it_only_while_it_runs(checkout):
    """Under the service's name."""
    wanted = ports(checkout.env)
    path = checkout.home.targets / "gnomon-console.yml"
    with console.targets(checkout.home, wanted, print):
        assert f"127.0.0.1:{wanted[CONSOLE]}" in path.read_text()
    assert not path.exists()


def test_it_shows_the_dashboards_of_its_stack(checkout):
    """From the checkout that it was started in, and is scraped itself."""
    for name in ("prometheus", "alertmanager"):
        servers.program(name)
    shutil.copytree(servers.ROOT / "grafana", checkout.home.root / "grafana")
    stack = checkout.start()
    try:
        page = checkout.url("console", "/api/boards/gnomon-host/panels?ids=2")
        shown = servers.until(
            lambda: json.loads(servers.fetch(page, timeout=20))["panels"]["2"].get("values"), 60
        )
        assert shown[0]["text"].endswith("%")
        query = checkout.url("prometheus", "/api/v1/query?query=up{service='gnomon-console'}==1")
        servers.until(lambda: json.loads(servers.fetch(query))["data"]["result"], 60)
    finally:
        stack.kill()
