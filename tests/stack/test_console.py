"""The console as a part of the stack."""

import json
import shutil

import pytest

import servers
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
