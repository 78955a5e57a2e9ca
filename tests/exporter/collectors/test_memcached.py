"""The memcached collector, against a real server."""

import getpass
import os
import socket
import threading
import time
from contextlib import contextmanager

import pytest

import servers
from caches import memcached_server, say, silent_server
from gnomon_exporter.collectors.memcached import MemcachedCollector
from gnomon_exporter.exposition import render, write
from gnomon_exporter.paths import Paths


class Page:
    """What a collector yielded, by line, and how it ended."""

    def __init__(self, collector):
        families = []
        self.error = ""
        try:
            for family in collector.collect():
                write(family)
                families.append(family)
        except OSError as error:
            self.error = str(error)
        self.lines = render(families).decode().splitlines()
        series = [line.rpartition(" ") for line in self.lines if not line.startswith("#")]
        self.values = {name: float(value) for name, _, value in series}
        assert len(self.values) == len(series)


def scrape(port, **settings):
    """Collect once from the server on a port of loopback."""
    return Page(MemcachedCollector(Paths(), address=f"127.0.0.1:{port}", **settings))


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A memcached on which each kind of request was made."""
    with memcached_server(tmp_path_factory.mktemp("memcached"), "-m", "64") as (port, _):
        say(
            port,
            *("set a 0 0 1", "1", "set b 0 0 4", "text", "add c 0 0 1", "1"),
            *("get a", "get a", "get nothing", "touch a 100", "incr a 1", "incr nothing 1"),
            *("decr nothing 1", "delete b", "delete nothing", "cas a 0 0 1 1", "1"),
            *("cas nothing 0 0 1 1", "1", "flush_all 100"),
        )
        yield port


def test_reports_the_server(port):
    """Memory, items, connections and requests have memcached_exporter's names and types."""
    page = scrape(port)
    assert page.error == ""
    expected = {
        "memcached_up": 1,
        "memcached_limit_bytes": 64 * 1024 * 1024,
        "memcached_current_items": 2,
        "memcached_items_evicted_total": 0,
        "memcached_max_connections": 1024,
        "memcached_accepting_connections": 1,
        'memcached_commands_total{command="get",status="hit"}': 2,
        'memcached_commands_total{command="get",status="miss"}': 1,
        'memcached_commands_total{command="touch",status="hit"}': 1,
        'memcached_commands_total{command="incr",status="hit"}': 1,
        'memcached_commands_total{command="incr",status="miss"}': 1,
        'memcached_commands_total{command="decr",status="miss"}': 1,
        'memcached_commands_total{command="delete",status="hit"}': 1,
        'memcached_commands_total{command="delete",status="miss"}': 1,
        'memcached_commands_total{command="cas",status="badval"}': 1,
        'memcached_commands_total{command="cas",status="miss"}': 1,
        'memcached_commands_total{command="flush",status="hit"}': 1,
        # Five were stored by a set; memcached counts the two cas among them.
        'memcached_commands_total{command="set",status="hit"}': 3,
        "memcached_lru_crawler_enabled": 1,
        "memcached_lru_crawler_hot_percent": 20,
    }
    assert {name: page.values.get(name) for name in expected} == expected
    assert page.values["memcached_current_bytes"] > 0
    assert page.values["memcached_items_total"] >= 3
    assert page.values["memcached_current_connections"] >= 1
    assert page.values["memcached_malloced_bytes"] >= 1024 * 1024
    assert abs(page.values["memcached_time_seconds"] - time.time()) < 60
    assert any(name.startswith('memcached_version{version="1.') for name in page.values)
    for line in (
        "# TYPE memcached_uptime_seconds counter",
        "# TYPE memcached_commands_total counter",
        "# TYPE memcached_current_bytes gauge",
        "# TYPE memcached_process_user_cpu_seconds_total counter",
    ):
        assert line in page.lines


def test_reports_each_slab_class(port):
    """Items, chunks and requests by slab class."""
    page = scrape(port)
    expected = {
        'memcached_slab_current_items{slab="1"}': 2,
        'memcached_slab_chunk_size_bytes{slab="1"}': 96,
        'memcached_slab_chunks_used{slab="1"}': 2,
        'memcached_slab_commands_total{slab="1",command="get",status="hit"}': 2,
        'memcached_slab_commands_total{slab="1",command="set",status="hit"}': 4,
        'memcached_slab_items_evicted_total{slab="1"}': 0,
    }
    assert {name: page.values.get(name) for name in expected} == expected
    hits = [
        value
        for name, value in page.values.items()
        if name.startswith("memcached_slab_lru_hits_total")
    ]
    assert len(hits) == 4
    assert not any('status="miss"' in name for name in page.values if "slab" in name)


def test_keeps_one_connection_between_scrapes(port):
    """Scrapes do not connect anew."""
    collector = MemcachedCollector(Paths(), address=f"127.0.0.1:{port}")
    first = Page(collector).values["memcached_connections_total"]
    assert Page(collector).values["memcached_connections_total"] == first


def test_reaches_a_unix_socket(tmp_path):
    """An absolute path leads to the server's socket."""
    path = tmp_path / "memcached.sock"
    words = [*servers.program("memcached"), "-u", getpass.getuser(), "-s", str(path)]
    with servers.Server(words, log=tmp_path / "log") as server:
        end = time.monotonic() + 30
        while not path.exists():
            assert server.process.poll() is None, server.last_words()
            assert time.monotonic() < end
            time.sleep(0.02)
        page = Page(MemcachedCollector(Paths(), address=str(path)))
        assert (page.error, page.values["memcached_up"]) == ("", 1)


def test_no_server_is_down(free_port):
    """A refused connection is memcached_up 0 and an error with the address."""
    port = free_port()
    page = scrape(port)
    assert page.values == {"memcached_up": 0}
    assert page.error == f"127.0.0.1:{port}: Connection refused"


def test_a_silent_server_is_down_within_the_timeout():
    """A server that takes the connection and says nothing is down when the time is over."""
    with silent_server() as port:
        started = time.monotonic()
        page = scrape(port, server_timeout=0.3)
        assert time.monotonic() - started < 5 * 0.3
    assert page.values == {"memcached_up": 0}
    assert page.error == f"127.0.0.1:{port}: no answer in time"


def test_a_restarted_server_is_up_at_once(tmp_path):
    """The first scrape after a restart goes over a new connection; counters start again."""
    with memcached_server(tmp_path) as (port, _):
        collector = MemcachedCollector(Paths(), address=f"127.0.0.1:{port}")
        say(port, *["get nothing"] * 9)
        miss = 'memcached_commands_total{command="get",status="miss"}'
        assert Page(collector).values[miss] == 9
    assert Page(collector).values == {"memcached_up": 0}
    with memcached_server(tmp_path, port=port):
        assert Page(collector).values[miss] == 0
    with memcached_server(tmp_path, port=port):
        assert Page(collector).values["memcached_up"] == 1


@contextmanager
def answering(answer):
    """Answer each connection's first data with the same bytes, then hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_proxy_that_knows_only_stats_is_up():
    """Commands that a proxy does not know cost their own series and no other."""
    answer = b"STAT curr_items 7\r\nSTAT version x\r\nEND\r\n" + b"ERROR\r\n" * 3
    with answering(answer) as port:
        page = scrape(port)
    assert page.error == ""
    assert page.values == {
        "memcached_up": 1,
        "memcached_current_items": 7,
        'memcached_version{version="x"}': 1,
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"ERROR\r\n" * 4,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR unknown command 'stats'\r\n",
        b"x" * 200_000,
        b"STAT a",
        b"",
    ],
)
def test_something_else_than_memcached_is_down(answer):
    """What does not speak memcached's protocol is down, whatever it says."""
    with answering(answer) as port:
        page = scrape(port, server_timeout=2)
    assert page.values == {"memcached_up": 0}
    assert page.error.startswith(f"127.0.0.1:{port}: ")


def test_odd_fields_are_left_out():
    """Fields without a number, without a value or of no slab are no series; others survive."""
    answer = (
        b"STAT curr_items\r\nSTAT evictions many\r\nSTAT bytes 5\r\nSTAT cmd_set 5\r\n"
        b'STAT version "\xff\\\r\nEND\r\n'
        b"STAT 1:used_chunks 3\r\nSTAT x:used_chunks 4\r\nSTAT 1:cmd_set x\r\nEND\r\n"
        b"STAT items:1:number 3\r\nSTAT items::number 3\r\nSTAT items 1\r\nEND\r\n"
        b"STAT lru_crawler maybe\r\nSTAT maxconns (null)\r\nEND\r\nEND\r\nEND\r\n"
    )
    with answering(answer) as port:
        page = scrape(port)
    assert page.error == ""
    assert page.values == {
        "memcached_up": 1,
        "memcached_current_bytes": 5,
        'memcached_version{version="\\"\ufffd\\\\"}': 1,
        'memcached_slab_chunks_used{slab="1"}': 3,
        'memcached_slab_current_items{slab="1"}': 3,
    }


def test_a_thousand_scrapes_of_a_silent_server_leave_nothing_behind():
    """Descriptors and threads are the same after a thousand scrapes that timed out."""
    with silent_server() as port:
        collector = MemcachedCollector(Paths(), address=f"127.0.0.1:{port}", server_timeout=0.001)
        Page(collector)
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        for _ in range(1000):
            assert Page(collector).values == {"memcached_up": 0}
        assert len(os.listdir("/proc/self/fd")) <= before[0]
        assert threading.active_count() <= before[1]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"address": "user:pass@host"}, "address: memcached has neither users"),
        ({"address": "redis://host"}, "address: expected memcached://"),
        ({"server_timeout": -1.0}, "server_timeout: must be more than 0"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, complaint):
    """A bad setting is named together with its remedy, and without a password."""
    with pytest.raises(ValueError, match=complaint) as failure:
        MemcachedCollector(Paths(), **settings)
    assert "pass@" not in str(failure.value)
