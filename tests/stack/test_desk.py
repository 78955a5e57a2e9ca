"""The demo as a part of the stack."""

import os
import signal
import socket

import pytest

import servers
from gnomon_stack import desk, loopback
from gnomon_stack.parts import ports
from gnomon_stack.trouble import Trouble

# Deadlines of a stack of seven processes that starts on a busy machine.
LONG_S = 60


#: What the fixture `checkout` asks.
DEMO = True


@pytest.fixture(autouse=True)
def _servers():
    for name in ("prometheus", "alertmanager"):
        servers.program(name)


def test_the_demo_runs_under_load_and_is_scraped(checkout, eventually):
    """Desk and exchange are up in Prometheus, requests arrive; `down` leaves neither file."""
    stack = checkout.start()
    prometheus = checkout.ports["prometheus"]
    assert f"http://127.0.0.1:{checkout.ports['demo']} " in stack.output()
    for service in ("desk", "exchange"):
        up = f'up{{job="application",service="{service}"}}'
        eventually(lambda up=up: loopback.value(prometheus, up) == 1, LONG_S)
    served = 'sum(http_server_request_duration_seconds_count{service="desk"})'
    eventually(lambda: (loopback.value(prometheus, served) or 0) > 20, LONG_S)
    eventually(lambda: loopback.value(prometheus, 'gnomon_workers{service="desk"}') == 2, LONG_S)
    assert {path.name for path in checkout.home.targets.glob("*.yml")} == {
        "desk.yml",
        "exchange.yml",
    }
    assert checkout.run("down").returncode == 0
    assert checkout.left() == {}
    assert list(checkout.home.targets.glob("*.yml")) == []


def test_no_worker_outlives_a_desk_that_was_killed(checkout, eventually):
    """Its port is free for the next one, which the supervisor starts."""
    stack = checkout.start()
    os.kill(checkout.pid("gnomon_demo desk"), signal.SIGKILL)
    stack.said("demo ended: terminated by SIGKILL; it is started again")
    stack.said("demo runs again", LONG_S)
    eventually(lambda: servers.fetch(checkout.url("demo", "/-/ready")), LONG_S)


@pytest.mark.parametrize(("word", "why"), [("off", "GNOMON_DEMO=off"), ("OFF", "GNOMON_DEMO=off")])
def test_it_is_left_out_where_that_is_asked_for(word, why):
    """In any case of letters."""
    assert desk.left_out({"GNOMON_DEMO": word}, ports({})) == why


def test_another_word_is_refused():
    """With what was expected, and the status of a setting that cannot be meant."""
    with pytest.raises(Trouble, match="expected on or off") as trouble:
        desk.left_out({"GNOMON_DEMO": "no"}, ports({}))
    assert trouble.value.code == 2


def test_an_application_on_its_port_is_no_obstacle():
    """The demo gives way, and says to whom and what would move it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environ = {"GNOMON_DEMO_PORT": port, "GNOMON_EXCHANGE_PORT": str(servers.free_port())}
        why = desk.left_out(environ, ports(environ))
    assert why is not None
    assert why.startswith(f"port {port} is in use by ")
    assert why.endswith("; GNOMON_DEMO_PORT=PORT moves it")


def test_a_file_of_ones_own_is_left_alone(checkout):
    """A target that the user calls desk is neither replaced nor removed."""
    path = checkout.home.targets / "desk.yml"
    path.write_text("[]\n")
    said = []
    with desk.targets(checkout.home, ports(checkout.env), said.append):
        assert path.read_text() == "[]\n"
        assert path.with_name("exchange.yml").exists()
    assert path.read_text() == "[]\n"
    assert not path.with_name("exchange.yml").exists()
    assert len(said) == 1
    assert str(path) in said[0]


def test_files_of_a_run_that_was_killed_go_with_the_next(checkout):
    """Also where that one leaves the demo out."""
    wanted = ports(checkout.env)
    killed = desk.targets(checkout.home, wanted, print)
    killed.__enter__()
    assert (checkout.home.targets / "desk.yml").exists()
    without = {part: port for part, port in wanted.items() if part not in desk.PARTS}
    with desk.targets(checkout.home, without, print):
        assert list(checkout.home.targets.glob("*.yml")) == []
