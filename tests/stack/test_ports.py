"""Which ports are free, and who holds those that are not."""

import os
import socket

import pytest

import servers
from gnomon_stack import ports
from gnomon_stack.configs import with_ports
from gnomon_stack.parts import ALERTMANAGER, EXPORTER, PROMETHEUS


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_port_that_anyone_listens_on_is_taken(address):
    """Wherever the other listens, on loopback or everywhere; and it is free afterwards."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.holder(port).endswith(f" (pid {os.getpid()})")
    assert ports.is_free(port)


def test_lingering_connections_do_not_hold_a_port():
    """A server that has just ended can be started again."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the server's side closes first and lingers
            client.recv(1)
    assert ports.is_free(port)


def test_nobody_is_named_where_nobody_can_be_seen(tmp_path):
    """Of another user's process only the user is known, and without /proc nothing is."""
    port = servers.free_port()
    assert ports.holder(port) == "another process"
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid ...\n"
        f"   0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
        "     0        0 4242 1 0000000000000000 100 0 0 10 0\n"
    )
    assert ports.holder(port, str(tmp_path)) == "a process of user root"


def test_moved_ports_stand_in_a_copy_beside_the_file(tmp_path):
    """Each address gets its part's port, also where two have traded theirs; the rest stays."""
    source = tmp_path / "prometheus.yml"
    text = 'a: ["127.0.0.1:9840"]\nb: 127.0.0.1:9090 # 127.0.0.1:90901, 10.127.0.0.1:9090\n'
    source.write_text(text)
    here = {EXPORTER: 9840, PROMETHEUS: 9090, ALERTMANAGER: 9093}
    assert with_ports(source, here) == source
    assert list(tmp_path.iterdir()) == [source]
    moved = with_ports(source, {**here, EXPORTER: 9090, PROMETHEUS: 9840})
    assert moved == tmp_path / ".moved.prometheus.yml"
    first, *rest = moved.read_text().splitlines()
    assert first.startswith("# Made by `make up` because a port was moved.")
    assert "prometheus.yml" in first
    assert rest == [
        'a: ["127.0.0.1:9090"]',
        "b: 127.0.0.1:9840 # 127.0.0.1:90901, 10.127.0.0.1:9090",
    ]
    assert source.read_text() == text
