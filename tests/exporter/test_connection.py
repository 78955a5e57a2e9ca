"""Clients that stall, and how many connections may be open."""

import contextlib
import logging
import os
import socket
import ssl
import threading
import time

import pytest

from certificates import Authority
from gnomon_exporter.connection import HEAD_LIMIT, Timeouts
from gnomon_exporter.server import Server
from webserver import Client, Page, get, serving, trusting, until

# A deadline is tested with five times its length as the margin.
SHORT = 0.6
MARGIN = 5 * SHORT
BRIEF = Timeouts(handshake=SHORT, head=SHORT, idle=SHORT, send=SHORT, linger=SHORT)
BIG = b"node_x 1\n" * 2_000_000


@pytest.fixture
def secure(tmp_path):
    """A web config file with TLS, and what a client needs to trust it."""
    authority = Authority()
    authority.server(tmp_path)
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
    return str(path), trusting(authority)


@contextlib.contextmanager
def many(number, server):
    """Hold a number of silent connections open."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(server)) for _ in range(number)]


def threads():
    """Count the threads that serve clients."""
    return sum(thread.name.startswith("client ") for thread in threading.enumerate())


def ends_within(client, seconds):
    """Whether the server ends a connection in time, and how it ended."""
    started = time.monotonic()
    client.socket.settimeout(25)
    return client.at_end() and time.monotonic() - started < seconds


def answered(client, seconds):
    """Whether an answer or the end comes within some seconds."""
    client.socket.settimeout(seconds)
    try:
        client.socket.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        client.socket.settimeout(25)
    return True


def test_a_silent_client_is_let_go():
    """Without a byte of a request the connection ends at the deadline, and so does its thread."""
    with serving(timeouts=BRIEF) as server, Client(server) as client:
        assert ends_within(client, MARGIN)
        assert until(lambda: threads() == 0)


def test_a_dribbling_client_is_let_go():
    """The deadline is that of the whole head: a byte now and then does not move it."""
    with serving(timeouts=BRIEF) as server, Client(server) as client:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for letter in "GET /metrics HTTP/1.1\r\n" + "X: y\r\n" * 1000:
                client.send(letter)
                if answered(client, 0.05):
                    break
        assert time.monotonic() - started < MARGIN
        with contextlib.suppress(ConnectionError):
            reply = client.reply()
            assert (reply.status, reply.headers["connection"]) == (408, "close")


def test_an_idle_client_is_let_go():
    """Between two requests there is a deadline too."""
    with serving(timeouts=BRIEF) as server, Client(server) as client:
        assert client.get().status == 200
        assert ends_within(client, MARGIN)


def test_an_idle_client_may_stay_for_its_time():
    """The deadline of the first request is not that of the next ones."""
    timeouts = Timeouts(head=SHORT, idle=60)
    with serving(timeouts=timeouts) as server, Client(server) as client:
        assert client.get().status == 200
        time.sleep(2 * SHORT)
        assert client.get().status == 200


def test_a_client_that_reads_nothing_is_let_go():
    """Its thread and the page it holds are free again at the deadline."""
    with serving(Page(body=BIG), timeouts=BRIEF) as server, Client(server) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send("GET /metrics HTTP/1.1\r\n\r\n")
        assert until(lambda: server.page.asked)
        started = time.monotonic()
        assert until(lambda: threads() == 0)
        assert time.monotonic() - started < MARGIN


def test_a_client_that_reads_slowly_is_let_go(secure):
    """The deadline is that of the whole answer, in TLS as well, whose records come piecemeal."""
    path, context = secure
    page = Page(body=os.urandom(4_000_000))
    with (
        serving(page, web_config=path, timeouts=BRIEF) as server,
        Client(server, context) as client,
    ):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send("GET /metrics HTTP/1.1\r\n\r\n")
        assert until(lambda: page.asked)
        started = time.monotonic()
        while threads() and time.monotonic() - started < 25:
            with contextlib.suppress(OSError):
                client.socket.recv(1000)
            time.sleep(0.02)
        assert time.monotonic() - started < MARGIN


def test_a_scrape_may_take_longer_than_a_client():
    """The deadlines are for what the client does; its own page it may wait for."""
    gate = threading.Event()
    with serving(Page(gate=gate), timeouts=BRIEF) as server, Client(server) as client:
        client.send("GET /metrics HTTP/1.1\r\n\r\n")
        time.sleep(3 * SHORT)
        gate.set()
        assert client.reply().status == 200


def test_a_half_open_handshake_blocks_nobody(secure):
    """A client that begins TLS and goes silent is let go; others are served meanwhile."""
    path, context = secure
    with (
        serving(web_config=path, timeouts=Timeouts(handshake=3 * SHORT)) as server,
        Client(server) as silent,
        Client(server) as halfway,
    ):
        halfway.send(b"\x16\x03\x01\x02\x00\x01")
        assert get(server, context=context).status == 200
        # They still hang: whoever was served did not wait for them to be let go.
        assert threads() >= 2
        assert ends_within(silent, 3 * MARGIN)
        assert ends_within(halfway, 3 * MARGIN)
        assert until(lambda: threads() == 0)


def test_a_dribbling_handshake_is_let_go(secure):
    """A byte of the handshake now and then does not move its deadline."""
    path, _ = secure
    with serving(web_config=path, timeouts=BRIEF) as server, Client(server) as client:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            client.send(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
            while time.monotonic() - started < 25:
                client.send(b"\0")
                if answered(client, 0.05):
                    break
        assert time.monotonic() - started < MARGIN


def test_plain_http_to_a_tls_port_is_told_so(secure, caplog):
    """As Go's servers do: 400 and a hint instead of a broken connection."""
    caplog.set_level(logging.INFO)
    path, _ = secure
    with serving(web_config=path) as server:
        reply = get(server)
        assert until(lambda: caplog.messages)
    assert reply.status == 400
    assert reply.text == "This port speaks HTTPS: begin the address with https\n"
    assert caplog.messages == ["client 127.0.0.1 turned away: plain HTTP where TLS is spoken"]


def test_what_turns_clients_away_is_logged_once_in_a_while(secure, caplog):
    """The first failed handshake is in the log with its reason; a scan does not fill it."""
    caplog.set_level(logging.INFO)
    path, _ = secure
    strict = ssl.create_default_context()
    with serving(web_config=path) as server:
        for _ in range(20):
            with pytest.raises(ssl.SSLError):
                Client(server, strict)
        assert until(lambda: threads() == 0)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("client 127.0.0.1 turned away: ")
    assert "unknown ca" in caplog.messages[0]


def test_a_probe_of_the_tls_port_is_no_news(secure, caplog):
    """Who connects and leaves, before the handshake or amid it, is not in the log."""
    caplog.set_level(logging.INFO)
    path, _ = secure
    with serving(web_config=path) as server:
        for sent in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with Client(server) as client:
                client.send(sent)
        assert until(lambda: threads() == 0)
    assert caplog.messages == []


def test_a_hundred_silent_connections_are_no_hindrance():
    """Everybody else is served at once, and all of them are gone at the deadline."""
    with serving(timeouts=Timeouts(head=5)) as server, many(100, server):
        assert until(lambda: threads() == 100)
        assert get(server).status == 200
        assert until(lambda: threads() == 0)


def test_the_longest_waiting_makes_room():
    """Beyond the bound the one that has waited longest is cut off, and the newest is served."""
    with serving(max_connections=10) as server, Client(server) as first:
        assert first.get().status == 200
        time.sleep(0.1)
        with many(9, server) as silent:
            assert until(lambda: threads() == 10)
            assert get(server).status == 200
            assert first.at_end()
            for client in silent:
                assert client.get().status == 200


def test_silent_connections_in_tls_make_room(secure):
    """A handshake that is never finished holds no place against others."""
    path, context = secure
    with serving(web_config=path, max_connections=5) as server, many(30, server):
        for _ in range(5):
            assert get(server, context=context).status == 200
        assert until(lambda: threads() <= 5)


def test_who_is_being_served_does_not_make_room(caplog):
    """With everyone at work the next one is told to come back, and the log says so."""
    gate = threading.Event()
    page = Page(gate=gate)
    with serving(page, max_connections=3) as server:
        with contextlib.ExitStack() as stack:
            busy = [stack.enter_context(Client(server)) for _ in range(3)]
            for client in busy:
                client.send("GET /metrics HTTP/1.1\r\n\r\n")
            assert until(lambda: len(page.asked) == 3)
            with Client(server) as late:
                reply = late.reply()
                assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            gate.set()
            for client in busy:
                assert client.reply().status == 200
        assert get(server).status == 200
    assert caplog.messages == ["too many open connections: one was turned away"]


def test_a_flood_of_connections_leaves_nothing_behind():
    """Thousands that come and go, or come and stay: threads and descriptors stay bounded."""
    with serving(max_connections=20, timeouts=BRIEF) as server:
        before = len(os.listdir("/proc/self/fd"))
        with contextlib.ExitStack() as stack:
            for number in range(400):
                client = Client(server)
                if number % 2:
                    client.socket.close()
                else:
                    stack.enter_context(client)
                assert threads() <= 2 * 20
            assert get(server).status == 200
        assert until(lambda: threads() == 0)
        assert until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_the_head_of_a_request_has_a_limit():
    """An endless header is cut off before it fills the memory; the answer arrives all the same."""
    with serving() as server, Client(server) as client:
        client.send("GET / HTTP/1.1\r\nX: ")
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            while sent < 50 * HEAD_LIMIT and not answered(client, 0.001):
                sent += client.socket.send(b"y" * 8192)
        assert sent < 50 * HEAD_LIMIT
        assert client.reply().status == 431


def test_goes_on_when_no_descriptor_is_left(monkeypatch, caplog):
    """Accepting fails, one line says so, the CPU is not spun, and later clients are served."""
    fails = threading.Event()
    calls = []

    class Listener:
        """A listening socket that has run out of descriptors for a while."""

        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        def accept(self):
            calls.append(None)
            if fails.is_set():
                raise OSError(24, "Too many open files")
            return self._real.accept()

    with serving() as server:
        monkeypatch.setattr(server, "socket", Listener(server.socket))
        fails.set()
        with Client(server) as client:
            assert until(lambda: len(calls) >= 3)
            fails.clear()
            assert client.get().status == 200
    assert len(calls) < 20
    assert caplog.messages == ["no connection can be accepted: Too many open files"]


def test_goes_on_when_no_thread_can_be_started(monkeypatch, caplog):
    """The client is told to come back, and the next one is served."""
    real = threading.Thread.start
    fails = threading.Event()

    def start(thread):
        if fails.is_set() and thread.name.startswith("client "):
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with serving() as server:
        fails.set()
        with Client(server) as client:
            assert client.reply().status == 503
        fails.clear()
        assert get(server).status == 200
    assert caplog.messages == ["no client can be served: can't start new thread"]


def test_says_goodbye_in_tls(secure):
    """The end of a TLS connection is told apart from a cut one."""
    path, context = secure
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    with serving(web_config=path) as server, Client(server, context) as client:
        client.socket.suppress_ragged_eofs = False
        assert client.get("/-/healthy", Connection="close").status == 200
        assert client.socket.recv(1) == b""


def test_the_defaults_outlast_prometheus():
    """Prometheus closes an unused connection after 5 minutes; the server never does so first."""
    assert Timeouts().idle > 300
    assert Server.daemon_threads
