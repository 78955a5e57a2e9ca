"""The server's routes, as a client on a real socket sees them."""

import http.client
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from gnomon_exporter.handler import DEADLINE
from gnomon_exporter.server import Server
from gnomon_exporter.strict_yaml import ConfigError
from webserver import CONFIG, Client, Page, get, serving, until

BIG = b"".join(b'node_cpu_seconds_total{cpu="%d"} %d.25\n' % (n, n * n) for n in range(1000))


def test_serves_the_page():
    """``/metrics`` is classic text under its content type."""
    with serving() as server:
        reply = get(server)
    assert (reply.status, reply.body) == (200, b"node_load1 0.5\n")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.headers["content-length"] == "15"
    assert "content-encoding" not in reply.headers


def test_serves_the_other_routes():
    """Health, readiness, the configuration and a page for people."""
    with serving() as server:
        assert get(server, "/-/healthy").text == "healthy\n"
        assert get(server, "/-/ready").text == "ready\n"
        assert get(server, "/config").text == CONFIG
        landing = get(server, "/")
    assert landing.headers["content-type"] == "text/html; charset=utf-8"
    assert landing.headers["content-security-policy"].startswith("default-src 'none'")
    assert landing.headers["cache-control"] == "no-store"
    assert ">cpu</a>" in landing.text


def test_is_not_ready_when_the_page_is_not():
    """503, while healthy says that the process lives."""
    with serving(Page(is_ready=False)) as server:
        reply = get(server, "/-/ready")
        assert (reply.status, reply.text) == (503, "Service Unavailable: not ready.\n")
        assert get(server, "/-/healthy").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/metrics/",
        "/metric",
        "/Metrics",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/config/../../etc/passwd",
        "/metrics%00",
        "/metrics;x",
        "//evil.example/metrics",
        "/favicon.ico",
        "/" + "x" * 8000,
        "/\xff\xfe",
        "*",
        "metrics",
    ],
)
def test_knows_no_other_path(path):
    """404 in plain words; nothing is looked up on disk."""
    with serving() as server:
        reply = get(server, path)
    assert reply.status == 404
    assert (
        reply.text == "Not Found: there are /, /-/healthy, /-/ready, /config, /metrics, /probe.\n"
    )
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_takes_an_address_with_scheme_and_host():
    """A proxy's request line names the whole address; one that cannot be read is a bad request."""
    with serving() as server:
        assert get(server, "http://anything:9840/-/healthy").status == 200
        assert get(server, "//-/healthy").status == 200
        assert get(server, "http://[broken/").status == 400


@pytest.mark.parametrize("path", ["/", "/metrics", "/config", "/-/healthy", "/-/ready", "/none"])
def test_head_gives_the_same_head_without_a_body(path):
    """Status and headers are GET's, and the connection goes on."""
    with serving() as server, Client(server) as client:
        wanted, head = client.get(path), client.get(path, "HEAD")
        assert (head.status, head.body) == (wanted.status, b"")
        # A HEAD of the page runs no collector, so nobody knows how long the page would be.
        unequal = {"date"} | ({"content-length", "vary"} if path == "/metrics" else set())
        for name in wanted.headers.keys() - unequal:
            assert head.headers[name] == wanted.headers[name]
        assert client.get("/-/healthy").status == 200


def test_head_runs_no_collector():
    """Whoever asks for the page's head only does not pay for the page."""
    page = Page()
    with serving(page) as server:
        assert get(server, "/metrics", "HEAD").status == 200
        assert get(server, "/metrics?collect[]=nope", "HEAD").status == 400
    assert page.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_takes_no_other_method(method):
    """405, with the two that are allowed."""
    with serving() as server, Client(server) as client:
        reply = client.get("/metrics", method, Content_Length=0)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        assert client.get("/-/healthy").status == 200


def test_a_body_ends_the_connection():
    """It is not read, so nothing behind it may be taken for a request."""
    smuggled = "GET /-/healthy HTTP/1.1\r\n\r\n"
    for header in (f"Content-Length: {len(smuggled)}", "Transfer-Encoding: chunked"):
        with serving() as server, Client(server) as client:
            client.send(f"POST /metrics HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n{smuggled}")
            reply = client.reply()
            assert (reply.status, reply.headers["connection"]) == (405, "close")
            assert client.at_end()


def test_a_client_that_asks_to_send_its_body_is_answered():
    """``Expect: 100-continue`` gets the final answer instead of waiting."""
    with serving() as server:
        reply = get(server, "/metrics", "POST", Content_Length=1000000, Expect="100-continue")
    assert reply.status == 405


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", None),
        ("?", None),
        ("?unrelated=1", None),
        ("?collect[]=meminfo&collect[]=cpu", ["cpu", "meminfo"]),
        ("?collect%5B%5D=cpu", ["cpu"]),
        ("?collect[]=cpu&collect[]=cpu", ["cpu"]),
        ("?exclude[]=cpu", ["loadavg", "meminfo"]),
        ("?exclude[]=cpu&exclude[]=not-on", ["loadavg", "meminfo"]),
        ("?exclude[]=cpu&exclude[]=loadavg&exclude[]=meminfo", []),
    ],
)
def test_scrapes_the_collectors_that_are_asked_for(query, names):
    """``collect[]`` and ``exclude[]`` mean what they mean to node_exporter."""
    page = Page()
    with serving(page) as server:
        assert get(server, f"/metrics{query}").status == 200
    assert page.asked[0][0] == names


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("collect[]=nope", "no collector 'nope' is on; on are cpu, loadavg, meminfo"),
        ("collect[]=", "no collector '' is on; on are cpu, loadavg, meminfo"),
        ("collect[]=cpu&collect[]=x", "no collector 'x' is on; on are cpu, loadavg, meminfo"),
        ("collect[]=cpu&exclude[]=meminfo", "collect[] and exclude[] cannot be combined"),
        (
            "collect[]=%3Cscript%3E%0d%0aX:%20y",
            r"no collector '<script>\r\nX: y' is on; on are cpu, loadavg, meminfo",
        ),
        (
            "collect[]=" + "x" * 500,
            f"no collector {'x' * 80!r} is on; on are cpu, loadavg, meminfo",
        ),
        ("&".join(["collect[]=cpu"] * 1001), "Max number of fields exceeded"),
    ],
)
def test_names_what_is_wrong_with_a_query(query, message):
    """400, in one line, and no collector runs."""
    page = Page()
    with serving(page) as server:
        reply = get(server, f"/metrics?{query}")
    assert (reply.status, reply.text) == (400, f"Bad Request: {message}.\n")
    assert page.asked == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("10", 9.5),
        ("15.000000", 14.5),
        ("0.6", 0.3),
        ("1", 0.5),
        ("3600", 3599.5),
        ("3601", DEADLINE),
        ("0", DEADLINE),
        ("-5", DEADLINE),
        ("nan", DEADLINE),
        ("inf", DEADLINE),
        ("soon", DEADLINE),
        ("", DEADLINE),
        (None, DEADLINE),
    ],
)
def test_the_deadline_is_prometheus_own(header, seconds):
    """Half a second less than Prometheus waits, at least half of it; 9.5 s when it says nothing."""
    page = Page()
    headers = {} if header is None else {"X-Prometheus-Scrape-Timeout-Seconds": header}
    with serving(page) as server:
        assert get(server, **headers).status == 200
    assert page.asked[0][1] == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("gzip;q=1.0, deflate", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("identity;q=0, gzip", True),
        ("identity, gzip;q=0.5", False),
        ("br, zstd", False),
        ("gzip;q=abc", False),
        ("gzip;q=nan", False),
        ("gzip;q=2", False),
        ("gzipped", False),
    ],
)
def test_packs_the_page_for_who_wants_it(accepted, packed):
    """Accept-Encoding with its weights; what is unpacked is the page."""
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    with serving(Page(body=BIG)) as server:
        reply = get(server, **headers)
    assert (reply.headers.get("content-encoding") == "gzip") is packed
    assert reply.headers["vary"] == "Accept-Encoding"
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert reply.text == BIG.decode()
    assert (len(reply.body) < len(BIG) / 4) is packed


def test_leaves_a_small_page_as_it_is():
    """Packing what fits into one packet gains nothing."""
    with serving() as server:
        assert "content-encoding" not in get(server, Accept_Encoding="gzip").headers


def test_a_connection_serves_many_requests():
    """Keep-alive in HTTP/1.1, on request in HTTP/1.0; ``close`` closes."""
    with serving() as server:
        with Client(server) as client:
            for _ in range(20):
                assert client.get().status == 200
            assert client.get(Connection="close").headers["connection"] == "close"
            assert client.at_end()
        with Client(server) as client:
            for _ in range(2):
                client.send("GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert client.reply().headers["connection"] == "keep-alive"
            client.send("GET /metrics HTTP/1.0\r\n\r\n")
            assert client.reply().headers["connection"] == "close"
            assert client.at_end()


def test_answers_requests_that_come_together():
    """Pipelined requests get their answers in order, whole and one after the other."""
    with serving() as server, Client(server) as client:
        client.send("GET /-/healthy HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n" * 3)
        stream = b""
        while stream.count(b"HTTP/1.1 ") < 6 or not stream.endswith(b"/probe.\n"):
            stream += client.socket.recv(65536)
    assert re.findall(rb"HTTP/1.1 (\d+)", stream) == [b"200", b"404"] * 3


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET /metrics FTP/1.1\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1 x\r\n\r\n", 400),
        ("GET /met rics HTTP/1.1\r\n\r\n", 400),
        ("GET /metrics HTTP/x.y\r\n\r\n", 400),
        ("GET /metrics HTTP/" + "x" * 9000 + "\r\n\r\n", 400),
        ("x " * 9000 + "\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET /" + "x" * 70000 + " HTTP/1.1\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nX: " + "x" * 70000 + "\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\n" + "X: y\r\n" * 200 + "\r\n", 431),
        ("GET / HTTP/1.1\r\n" + ("X: " + "y" * 1000 + "\r\n") * 90 + "\r\n", 431),
    ],
)
def test_names_what_is_no_request(request_text, status):
    """A status and one plain line, then the connection ends; others are served meanwhile."""
    with serving() as server, Client(server) as client:
        client.send(request_text)
        reply = client.reply()
        assert reply.status == status
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert reply.headers["connection"] == "close"
        assert len(reply.body) < 200
        assert client.at_end()
        assert get(server).status == 200


def test_survives_anything_that_is_sent(caplog):
    """Random bytes, half requests, endless headers: no traceback, and the next one is served."""
    with serving() as server:
        for junk in (
            b"",
            b"\r\n",
            b"\0" * 100,
            bytes(range(256)) * 10,
            b"GET",
            b"GET / HTTP/1.1\r\nHost",
            b"GET / HTTP/1.1\r\n: \r\n\xff\xfe: \xfd\r\n\r\n",
            b"GET / HTTP/1.1\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: \xb2\r\nAuthorization: Basic \xff\r\n\r\n",
            b"HEAD\r\n\r\n",
            os.urandom(5000),
            b"x" * 1_000_000,
        ):
            with Client(server) as client:
                try:
                    client.send(junk)
                    client.socket.shutdown(socket.SHUT_WR)
                    while client.socket.recv(65536):
                        pass
                except ConnectionError:
                    continue
        assert get(server).status == 200
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_client_that_leaves_amid_the_answer_is_no_news(caplog, capfd):
    """No traceback and no message above debug, in the log or on standard error."""
    caplog.set_level(logging.INFO)
    with serving(Page(body=BIG * 200)) as server:
        for _ in range(5):
            with Client(server) as client:
                client.send("GET /metrics HTTP/1.1\r\n\r\n")
                client.socket.recv(10)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0" * 2)
        assert until(lambda: not server._connections._open)
        assert get(server, "/-/healthy").status == 200
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_scrapes_beyond_the_limit_are_refused_at_once():
    """503 with Retry-After; other routes answer, and a finished scrape makes room."""
    gate = threading.Event()
    page = Page(gate=gate)
    with serving(page, max_scrapes=2) as server:
        replies = []
        threads = [
            threading.Thread(target=lambda: replies.append(get(server).status)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        assert until(lambda: len(page.asked) == 2)
        refused = get(server)
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.text == (
            "Service Unavailable: 2 scrapes are under way, which is the limit.\n"
        )
        assert get(server, "/-/healthy").status == 200
        gate.set()
        for thread in threads:
            thread.join()
        assert replies == [200, 200]
        assert get(server).status == 200


def test_zero_permits_any_number_of_scrapes():
    """As node_exporter's --web.max-requests=0."""
    page = Page(gate=(gate := threading.Event()))
    with serving(page, max_scrapes=0) as server:
        threads = [threading.Thread(target=get, args=(server,)) for _ in range(50)]
        for thread in threads:
            thread.start()
        assert until(lambda: len(page.asked) == 50)
        gate.set()
        for thread in threads:
            thread.join()


def test_shows_what_is_wrong_on_the_landing_page():
    """Notes come from whoever started the server, escaped."""
    with serving(notes=lambda: ["exporter.yml:3: <cpu> is unknown"]) as server:
        assert "exporter.yml:3: &lt;cpu&gt; is unknown" in get(server, "/").text


def test_close_ends_accepting_at_once_and_waits_for_nobody():
    """New connections are refused, idle ones end, and a scrape under way still gets its page."""
    gate = threading.Event()
    page = Page(gate=gate)
    with serving(page) as server, Client(server) as busy, Client(server) as idle:
        assert idle.get("/-/healthy").status == 200
        busy.send("GET /metrics HTTP/1.1\r\n\r\n")
        assert until(lambda: page.asked)
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 1
        with pytest.raises(ConnectionRefusedError):
            Client(server)
        assert idle.at_end()
        gate.set()
        reply = busy.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        server.close()


def test_a_stuck_scrape_does_not_hold_up_the_end_of_the_process():
    """Handler threads are not joined when the process ends."""
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import threading, webserver\n"
        "server = webserver.Server(webserver.Page(gate=threading.Event()), address='127.0.0.1:0')\n"
        "server.start()\n"
        "client = webserver.Client(server)\n"
        "client.send('GET /metrics HTTP/1.1\\r\\n\\r\\n')\n"
        "assert webserver.until(lambda: server.page.asked)\n"
        "server.close()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=25)


def test_an_idle_server_does_not_wake_up():
    """No thread of it uses the CPU or is scheduled while nobody asks."""
    with serving() as server, Client(server) as client:
        assert client.get().status == 200
        tasks = [
            thread.native_id
            for thread in threading.enumerate()
            if thread.name == "accept" or thread.name.startswith("client")
        ]

        def switches():
            found = []
            for task in tasks:
                with open(f"/proc/self/task/{task}/status") as status:
                    found.append(re.findall(r"ctxt_switches:\t(\d+)", status.read()))
            return found

        time.sleep(0.3)
        before = switches()
        time.sleep(1.5)
        assert switches() == before


def test_a_port_in_use_is_one_clear_line():
    """What is wrong, which flag, and what would do."""
    with serving() as server, pytest.raises(ConfigError) as caught:
        Server(Page(), address=f"127.0.0.1:{server.port}")
    assert str(caught.value) == (
        f"command line: --web.listen-address: 127.0.0.1:{server.port}: address already in use; "
        "expected an address of this host that no other program uses"
    )


def test_tells_where_it_is():
    """The landing page's address, for the log."""
    with serving() as server:
        assert server.url == f"http://127.0.0.1:{server.port}/"
    with serving(address="[::1]:0") as server:
        assert server.url == f"http://[::1]:{server.port}/"
        connection = http.client.HTTPConnection("::1", server.port, timeout=25)
        connection.request("GET", "/-/healthy")
        assert connection.getresponse().status == 200
        connection.close()
