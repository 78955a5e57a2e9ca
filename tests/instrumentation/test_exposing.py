"""The page of a process without an application, and of those that it has forked."""

import errno
import gzip
import http.client
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

import gnomon
import servers
from queue_work import PATIENCE

RUNS = "gnomon_job_runs_total"

# Programs of their own, on a machine that is busy.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def run_directory(tmp_path, monkeypatch):
    """Runs of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def ask(url, method="GET", **headers):
    """Return status, headers and body, whatever the status."""
    request = urllib.request.Request(url, method=method)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def page(url):
    """Return the samples by name and label values."""
    status, _, body = ask(url)
    assert status == 200, body
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_serves_the_registry_and_what_gnomon_measures(registry):
    """On a free port of loopback, with the service's name."""
    Counter("own", "The program's own.", registry=registry).inc(3)
    with gnomon.expose(service="worker", service_version="2", registry=registry) as exposed:
        assert exposed.address == "127.0.0.1"
        assert exposed.url == f"http://127.0.0.1:{exposed.port}/metrics"
        with gnomon.job("exposed"):
            pass
        found = page(exposed.url)
    assert found["own_total",] == 3
    assert found["target_info", "worker", "2"] == 1
    assert found[RUNS, "exposed", "success"] >= 1
    assert ("process_cpu_seconds_total",) in found


def test_close_leaves_nothing(registry):
    """No listener, no thread, no family; a second time it does nothing."""
    before = set(threading.enumerate())
    exposed = gnomon.expose(registry=registry)
    exposed.close()
    exposed.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", exposed.port), 5)
    assert list(registry.collect()) == []
    for thread in set(threading.enumerate()) - before:
        if thread.name == "gnomon page":
            thread.join(PATIENCE)
            assert not thread.is_alive()
    gnomon.expose(port=exposed.port, registry=registry).close()


def test_a_port_that_is_taken_is_named(registry):
    """With what to do, and nothing is left registered."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 is taken") as failure:
            gnomon.expose(port=port, registry=registry)
    assert failure.value.errno == errno.EADDRINUSE
    assert list(registry.collect()) == []


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ({"port": 70_000}, ValueError, "port: 70000"),
        ({"metrics_path": "metrics"}, ValueError, "metrics_path"),
        ({"address": "192.0.2.1"}, OSError, "cannot listen on 192.0.2.1"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(setting, kind, message, registry):
    """Before anything is served."""
    with pytest.raises(kind, match=message):
        gnomon.expose(registry=registry, **setting)


def test_answers_whom_instrument_would_answer(registry):
    """Not through a proxy; with the token anyone, without it and with a wrong one nobody."""
    with gnomon.expose(registry=registry) as exposed:
        status, _, why = ask(exposed.url, X_Forwarded_For="10.0.0.1")
        assert status == 403
        assert b"not through a proxy" in why
    with gnomon.expose(registry=registry, metrics_token="right") as exposed:
        assert ask(exposed.url)[0] == 200
        wrong = ask(exposed.url, Via="1.1 proxy", Authorization="Bearer wrong")
        assert (wrong[0], wrong[1]["www-authenticate"]) == (401, "Bearer")
        assert ask(exposed.url, Via="1.1 proxy", Authorization="Bearer right")[0] == 200


def test_speaks_http(registry):
    """HEAD, gzip, OpenMetrics, other paths and methods, several requests on a connection."""
    with gnomon.expose(registry=registry) as exposed:
        status, headers, body = ask(exposed.url, "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 100
        _, headers, body = ask(exposed.url, Accept_Encoding="gzip")
        assert headers["content-encoding"] == "gzip"
        assert b"target_info" in gzip.decompress(body)
        kind = "application/openmetrics-text; version=1.0.0"
        _, headers, body = ask(exposed.url, Accept=kind)
        assert headers["content-type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        assert ask(exposed.url.replace("/metrics", "/"))[0] == 404
        assert ask(exposed.url, "POST")[0] == 501
        connection = http.client.HTTPConnection("127.0.0.1", exposed.port, timeout=PATIENCE)
        for _ in range(2):
            connection.request("GET", "/metrics?x=1")
            assert connection.getresponse().read()
        connection.close()


def test_tells_slow_queries_as_an_application_does(registry):
    """Beside the page, as JSON, for ``gnomon queries``; by the same rules."""
    with gnomon.expose(registry=registry) as exposed:
        status, headers, body = ask(f"{exposed.url}/queries")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(body).keys() >= {"queries", "unused_indexes"}
        assert ask(f"{exposed.url}/queries", Via="1.1 proxy")[0] == 403


def test_a_collector_that_fails_is_told(registry):
    """As 500, without its text; the next scrape is served."""

    class Broken:
        def __init__(self):
            self.broken = False

        def collect(self):
            if self.broken:
                raise OSError("secret")
            yield GaugeMetricFamily("level", "Level.", 1)

    collector = Broken()
    registry.register(collector)
    with gnomon.expose(registry=registry) as exposed:
        collector.broken = True
        status, _, body = ask(exposed.url)
        assert status == 500
        assert b"secret" not in body
        collector.broken = False
        assert page(exposed.url)["level",] == 1


def test_hostile_clients_keep_nobody_out(registry):
    """Half requests, long lines and many connections; a scraper is answered in the end."""
    with gnomon.expose(registry=registry) as exposed:
        held = [socket.create_connection(("127.0.0.1", exposed.port), 5) for _ in range(100)]
        try:
            for client in held[:20]:
                client.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 70_000)
        except OSError:
            pass
        for client in held:
            client.close()
        end = time.monotonic() + PATIENCE
        while True:
            try:
                page(exposed.url)
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)


def test_serves_ipv6(registry):
    """Where there is an address of it."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with gnomon.expose(address="::1", registry=registry) as exposed:
        assert exposed.url.startswith("http://[::1]:")
        assert ask(exposed.url)[0] == 200


PROGRAM = """
    import multiprocessing, os, sys, threading, time, urllib.request
    from prometheus_client import Counter, Gauge
    import gnomon

    own = Counter("own", "The program's own.")
    own.inc(10)
    exposed = gnomon.expose(service="parent")
    with gnomon.job("before"):
        pass

    def work(count):
        for _ in range(count):
            with gnomon.job("in a child"):
                own.inc()

    def scrape():
        with urllib.request.urlopen(exposed.url, timeout=60) as answer:
            return answer.read().decode()
"""


def program(tmp_path, text):
    """Run a program and return what it prints."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM) + textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, done.stderr


def value(text, series):
    """Return a series' value on a page."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def test_children_that_end_without_a_word_are_counted(tmp_path):
    """As RQ's: forked for one job, ended by os._exit. What was before the fork counts once."""
    text, _ = program(
        tmp_path,
        """
        for number in range(5):
            pid = os.fork()
            if not pid:
                work(1)
                os._exit(0)
            os.waitpid(pid, 0)
        print(scrape())
        """,
    )
    assert value(text, 'gnomon_job_runs_total{job_name="in a child",outcome="success"}') == 5
    assert value(text, 'gnomon_job_runs_total{job_name="before",outcome="success"}') == 1
    assert value(text, "own_total") == 15
    assert value(text, "gnomon_workers") == 1
    success = value(text, 'gnomon_job_last_success_timestamp_seconds{job_name="in a child"}')
    assert success == pytest.approx(time.time(), abs=100)
    assert list((tmp_path / f"gnomon-{os.getuid()}").glob("exposed-*")) == [], "it has ended"


def test_a_pool_of_multiprocessing_is_on_the_page(tmp_path):
    """Its processes are asked while they live, and what they counted stays when they have gone."""
    text, _ = program(
        tmp_path,
        """
        with multiprocessing.get_context("fork").Pool(3) as pool:
            pool.map(work, [10] * 6)
            print(scrape())
            pool.close()
            pool.join()
        print("AFTER")
        print(scrape())
        """,
    )
    living, dead = text.split("AFTER")
    series = 'gnomon_job_runs_total{job_name="in a child",outcome="success"}'
    assert value(living, "gnomon_workers") == 4
    for part in (living, dead):
        assert value(part, series) == 60
        assert value(part, "own_total") == 70
    assert value(dead, "gnomon_workers") == 1


def test_forks_and_scrapes_at_the_same_time_stop_nobody(tmp_path):
    """A lock that a scrape holds at a fork would be locked for ever in the child."""
    text, errors = program(
        tmp_path,
        """
        def scrapes():
            while True:
                scrape()

        for _ in range(2):
            threading.Thread(target=scrapes, daemon=True).start()
        children = []
        for number in range(60):
            pid = os.fork()
            if not pid:
                work(1)
                os._exit(0)
            children.append(pid)
        until = time.monotonic() + 200
        while children and time.monotonic() < until:
            children = [pid for pid in children if not os.waitpid(pid, os.WNOHANG)[0]]
            time.sleep(0.01)
        assert not children, f"{len(children)} hang"
        print(scrape())
        """,
    )
    assert value(text, 'gnomon_job_runs_total{job_name="in a child",outcome="success"}') == 60
    assert value(text, "own_total") == 70
    assert "telemetry failed" not in errors


def test_no_fork_happens_while_a_scrape_holds_a_collectors_lock(tmp_path):
    """The collector takes its time over it, and the child needs the same lock."""
    text, errors = program(
        tmp_path,
        """
        from prometheus_client import REGISTRY
        from prometheus_client.core import GaugeMetricFamily

        class Slow:
            lock = threading.Lock()
            asked = threading.Event()

            def collect(self):
                with self.lock:
                    self.asked.set()
                    time.sleep(0.3)
                    yield GaugeMetricFamily("slow", "Slow.", 1)

        slow = Slow()
        REGISTRY.register(slow)
        slow.asked.clear()
        threading.Thread(target=scrape, daemon=True).start()
        assert slow.asked.wait(60)
        pid = os.fork()
        if not pid:
            os._exit(0 if slow.lock.acquire(timeout=20) else 1)
        print(os.waitpid(pid, 0)[1])
        """,
    )
    assert text == "0\n"
    assert "telemetry failed" not in errors


def test_what_is_under_way_in_the_parent_is_so_there_alone(tmp_path):
    """A job that forks is one job, and its progress is told once."""
    text, _ = program(
        tmp_path,
        """
        import queue

        items = gnomon.watch_queue(queue.Queue(), "items")
        items.put(1)
        with gnomon.job("forking") as run, gnomon.take(items):
            run.progress(0.25)
            reader, writer = os.pipe()
            if not os.fork():
                os.close(writer)
                work(1)
                os.read(reader, 1)
                os._exit(0)
            os.close(reader)
            until = time.monotonic() + 200
            text = ""
            while 'job_name="in a child",outcome="success"} 1.0' not in text:
                assert time.monotonic() < until
                text = scrape()
            print(text)
            os.close(writer)
            os.wait()
        """,
    )
    assert value(text, 'gnomon_job_active{job_name="forking"}') == 1
    assert value(text, 'gnomon_job_progress_ratio{job_name="forking"}') == 0.25
    assert value(text, 'gnomon_queue_in_flight{queue="items"}') == 1
    assert value(text, "gnomon_workers") == 2


def test_a_child_does_not_keep_the_port(tmp_path):
    """When the parent has gone the port is free, whoever lives on."""
    text, _ = program(
        tmp_path,
        """
        import socket
        reader, writer = os.pipe()
        parent = os.getpid()
        if not os.fork():
            os.close(writer)
            os.read(reader, 1)  # until the parent has closed
            work(1)
            try:
                socket.create_connection(("127.0.0.1", exposed.port), 5)
            except ConnectionRefusedError:
                os.write(1, b"free\\n")
            os._exit(0)
        os.close(reader)
        exposed.close()
        os.close(writer)
        os.wait()
        """,
    )
    assert text == "free\n"


def test_programs_that_share_a_directory_share_a_page(tmp_path, monkeypatch):
    """GNOMON_RUN_DIR joins programs that were not forked from one."""
    monkeypatch.setenv("GNOMON_RUN_DIR", str(tmp_path / "named"))
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent(PROGRAM) + "work(7)\nprint(exposed.port, flush=True)\nsys.stdin.read()\n"
    )
    words = [sys.executable, str(path)]
    running = []
    try:
        ports = []
        for _ in range(2):
            running.append(
                subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            ports.append(int(running[-1].stdout.readline()))
        for port in ports:  # the first scrape of each lets it join
            servers.fetch(f"http://127.0.0.1:{port}/metrics", 60)
        for port in ports:
            text = servers.fetch(f"http://127.0.0.1:{port}/metrics", 60).decode()
            assert value(text, "own_total") == 34
            assert value(text, "gnomon_workers") == 2
    finally:
        for process in running:
            process.communicate(timeout=60)


def test_nothing_is_shared_while_there_are_no_children(registry, tmp_path):
    """A script without children makes no directory."""
    with gnomon.expose(registry=registry) as exposed:
        page(exposed.url)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_harms_nobody(registry, tmp_path, monkeypatch):
    """The child works, the parent serves its own page."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with gnomon.expose(registry=registry) as exposed:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_job)
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == 0
        assert page(exposed.url)


def _job():
    with gnomon.job("without a directory"):
        pass


def test_two_pages_of_one_process(registry):
    """Each has its registry and its port."""
    with (
        gnomon.expose(service="one", registry=registry) as one,
        gnomon.expose(service="two", registry=CollectorRegistry()) as two,
    ):
        assert ("target_info", "one") in page(one.url)
        assert ("target_info", "two") in page(two.url)
