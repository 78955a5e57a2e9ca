"""Several targets of one kind: /probe, on real sockets, real servers and a real Prometheus."""

import os
import re
import signal
import socket
import sys
import threading
import time
import urllib.error
from pathlib import Path

import pytest
import yaml

import servers
from caches import memcached_server, redis_server, say, silent_server
from gnomon_stack import loopback
from webserver import Page, get, serving, until

PROGRAM = str(Path(sys.executable).with_name("gnomon-exporter"))
CONFIGURED = {"redis": ["cache", "sessions"]}


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("", 400, "Bad Request: a probe names one collector: /probe?collector=redis&target=NAME"),
        ("collector=redis", 400, "Bad Request: a probe names one target: "),
        ("target=cache", 400, "Bad Request: a probe names one collector: "),
        ("collector=redis&target=", 400, "Bad Request: a probe names one target: "),
        ("collector=redis&target=cache&target=sessions", 400, "Bad Request: a probe names one "),
        (
            "collector=redis&target=cache&address=10.0.0.1:6379",
            400,
            "Bad Request: a probe has no parameter 'address', only collector and target.",
        ),
        ("&".join(["target=cache"] * 11), 400, "Bad Request: Max number of fields exceeded"),
        (
            "collector=redis&target=redis://10.0.0.1:6379",
            404,
            (
                "Not Found: no target 'redis://10.0.0.1:6379' of 'redis' is configured; "
                "configured are cache, sessions."
            ),
        ),
        (
            "collector=memcached&target=cache",
            404,
            "Not Found: no target 'cache' of 'memcached' is configured; exporter.yml names them",
        ),
        ("collector=%0d%0aX:%20y&target=cache", 404, r"Not Found: no target 'cache' of '\r\nX: y'"),
        ("collector=redis&target=" + "x" * 500, 404, f"Not Found: no target {'x' * 80!r} of"),
        (
            "collector=redis&target=gone",
            404,
            "Not Found: no target 'gone' of 'redis' is configured",
        ),
    ],
)
def test_only_what_is_configured_is_probed(query, status, message):
    """Anything else is refused in one line, and no collector runs."""
    page = Page(targets=CONFIGURED)
    with serving(page) as server:
        reply = get(server, f"/probe?{query}")
    assert (reply.status, reply.text[: len(message)]) == (status, message)
    assert reply.text.count("\n") == 1
    assert page.asked == []


def test_a_target_that_a_reload_takes_away_is_not_found():
    """Also between the look for it and the probe."""
    with serving(Page(targets={"redis": ["gone"]})) as server:
        reply = get(server, "/probe?collector=redis&target=gone")
    assert (reply.status, reply.text) == (404, "Not Found: the target is no longer configured.\n")


def test_a_probe_has_the_deadline_of_a_scrape():
    """What Prometheus says that it waits, less its own needs; HEAD runs nothing."""
    page = Page(targets=CONFIGURED)
    with serving(page) as server:
        path = "/probe?collector=redis&target=cache"
        assert get(server, path, "HEAD").status == 200
        assert page.asked == []
        assert get(server, path, X_Prometheus_Scrape_Timeout_Seconds="4").status == 200
        assert get(server, path, "POST").status == 405
    [(asked, left)] = page.asked
    assert asked == ["redis", "cache"]
    assert left == pytest.approx(3.5, abs=0.2)


def test_probes_count_among_the_scrapes_at_once():
    """Beyond the limit there is 503 and a time to come again, whichever of both is asked."""
    page = Page(targets=CONFIGURED, gate=threading.Event())
    with serving(page, max_scrapes=1) as server:
        path = "/probe?collector=redis&target=cache"
        first = threading.Thread(target=get, args=(server, path))
        first.start()
        assert until(lambda: page.asked)
        refused = get(server, path)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert get(server, "/metrics").status == 503
        page.gate.set()
        first.join(10)
        assert get(server, path).status == 200


def exporter(tmp_path, config):
    """Run the exporter with a configuration; return its address, its file and the server."""
    file = tmp_path / "exporter.yml"
    file.write_text(config)
    port = servers.free_port()
    words = [PROGRAM, f"--web.listen-address=127.0.0.1:{port}", f"--config.file={file}"]
    url = f"http://127.0.0.1:{port}"
    return url, file, servers.Server(words, ready=f"{url}/-/ready", log=tmp_path / "log")


def page_of(url, collector, target):
    """Return a target's page."""
    return servers.fetch(f"{url}/probe?collector={collector}&target={target}", timeout=30).decode()


def test_each_target_has_its_own_page(tmp_path):
    """Two Redis and a memcached: each page tells of its server, and of the run, and no more."""
    (tmp_path / "cache").mkdir()
    with (
        redis_server(tmp_path) as (sessions, _),
        redis_server(tmp_path / "cache") as (cache, _),
        memcached_server(tmp_path) as (pages, _),
    ):
        say(sessions, "SET a 1", "SET b 2")
        say(cache, "SET c 3")
        url, _, server = exporter(
            tmp_path,
            f"""
            disable_defaults: true
            collectors:
              loadavg:
              redis:
                latency_histograms: false
                targets:
                  sessions: {{address: "redis://127.0.0.1:{sessions}"}}
                  cache: {{address: "redis://127.0.0.1:{cache}", count_keys: ["*"]}}
              memcached:
                targets:
                  pages: {{address: "127.0.0.1:{pages}"}}
            """,
        )
        with server:
            shown = page_of(url, "redis", "sessions")
            assert 'redis_db_keys{db="db0"} 2' in shown
            assert 'gnomon_scrape_collector_success{collector="redis"} 1' in shown
            assert 'gnomon_scrape_dropped_series_total{collector="redis"} 0' in shown
            names = {re.match(r"\w+", line)[0] for line in shown.splitlines() if line[0] != "#"}
            assert {name.partition("_")[0] for name in names} == {"redis", "gnomon"}
            own = {name for name in names if name.startswith("gnomon_")}
            assert all(name.startswith("gnomon_scrape_") for name in own)
            assert 'redis_db_keys{db="db0"} 1' in page_of(url, "redis", "cache")
            assert "memcached_up 1" in page_of(url, "memcached", "pages")
            # What is probed is not on the host's page.
            metrics = servers.fetch(f"{url}/metrics").decode()
            assert "redis_" not in metrics
            assert 'gnomon_scrape_collector_success{collector="loadavg"} 1' in metrics
            landing = servers.fetch(f"{url}/").decode()
            assert "redis sessions</a>" in landing
            assert "<b>3</b> <span>targets</span>" in landing


def test_nothing_is_connected_to_but_what_is_configured(tmp_path):
    """No query makes the exporter open a connection: an address in it is no target's name."""
    with socket.create_server(("127.0.0.1", 0)) as bait, redis_server(tmp_path) as (port, _):
        where = f"127.0.0.1:{bait.getsockname()[1]}"
        config = f"collectors: {{redis: {{targets: {{a: {{address: '127.0.0.1:{port}'}}}}}}}}"
        url, _, server = exporter(tmp_path, config)
        with server:
            for query in (
                f"collector=redis&target={where}",
                f"collector=redis&target=redis://{where}",
                f"collector=redis&target=a&address={where}",
                f"collector=redis&target=a@{where}",
                f"collector=redis&target=a%00{where}",
                f"collector=redis&target=a&target={where}",
                f"collector={where}&target=a",
                f"collector=memcached&target={where}",
            ):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    servers.fetch(f"{url}/probe?{query}")
                refused.value.close()
                assert refused.value.code in {400, 404}
            assert "redis_up 1" in page_of(url, "redis", "a")
            bait.settimeout(0.5)
            with pytest.raises(TimeoutError):
                bait.accept()


def test_a_target_that_is_silent_holds_up_no_other(tmp_path):
    """Its page comes inside its deadline and says 0; scraped often it holds no more threads."""
    with silent_server() as silent, redis_server(tmp_path) as (port, _):
        url, _, server = exporter(
            tmp_path,
            f"""
            disable_defaults: true
            collectors:
              redis:
                server_timeout: 60
                timeout: 1s
                targets:
                  silent: {{address: "127.0.0.1:{silent}"}}
                  well: {{address: "127.0.0.1:{port}"}}
            """,
        )
        with server:
            assert "redis_up 1" in page_of(url, "redis", "well")
            threads = _threads(server.process.pid)
            pages = []
            begun = time.monotonic()
            askers = [
                threading.Thread(target=lambda: pages.append(page_of(url, "redis", "silent")))
                for _ in range(20)
            ]
            for asker in askers:
                asker.start()
            assert "redis_up 1" in page_of(url, "redis", "well")
            for asker in askers:
                asker.join(30)
            assert time.monotonic() - begun < 1 * 5
            assert len(pages) == 20
            for shown in pages:
                assert 'gnomon_scrape_collector_success{collector="redis"} 0' in shown
            # One that is stuck, and the one that goes on in its place.
            assert until(lambda: _threads(server.process.pid) <= threads + 2)
            assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 40
        assert "collector redis, target silent, failed: timed out" in server.output()


def _threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def test_a_reload_adds_and_removes_targets(tmp_path):
    """After SIGHUP the new one is there, the old one is 404."""
    with redis_server(tmp_path) as (port, _):
        config = "collectors: {redis: {targets: {%s: {address: '127.0.0.1:%d'}}}}"
        url, file, server = exporter(tmp_path, config % ("old", port))
        with server:
            assert "redis_up 1" in page_of(url, "redis", "old")
            file.write_text(config % ("new", port))
            server.process.send_signal(signal.SIGHUP)

            def there(target):
                try:
                    return "redis_up 1" in page_of(url, "redis", target)
                except urllib.error.HTTPError as error:
                    error.close()
                    return False

            assert until(lambda: there("new"))
            assert not there("old")


def shipped_job():
    """Return the job that prometheus.yml has in comments."""
    text = (servers.ROOT / "prometheus/prometheus.yml").read_text()
    block = re.search(r"^  # - job_name: probe\n(?:  # .*\n)+", text, re.MULTILINE)
    return yaml.safe_load(re.sub(r"^  # ", "", block[0], flags=re.MULTILINE))


def test_prometheus_probes_by_the_job_that_is_shipped(tmp_path):
    """The commented job, taken as it is but for the exporter's port, gives both targets' series."""
    prometheus = servers.program("prometheus")
    (tmp_path / "cache").mkdir()
    with (
        redis_server(tmp_path) as (sessions, _),
        redis_server(tmp_path / "cache") as (cache, _),
    ):
        say(sessions, "SET a 1", "SET b 2")
        url, _, server = exporter(
            tmp_path,
            f"""
            collectors:
              redis:
                targets:
                  sessions: {{address: "127.0.0.1:{sessions}"}}
                  cache: {{address: "127.0.0.1:{cache}"}}
            """,
        )
        job = yaml.safe_dump(shipped_job()).replace("127.0.0.1:9840", url.removeprefix("http://"))
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": yaml.safe_load(job)}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = servers.free_port()
        words = [
            *prometheus,
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        ready = f"http://127.0.0.1:{port}/-/ready"
        with server, servers.Server(words, ready=ready, log=tmp_path / "prometheus.log"):
            keys = 'redis_db_keys{db="db0",job="probe",service="shop",instance="sessions"}'
            assert until(lambda: loopback.value(port, keys) == 2)
            assert until(lambda: loopback.value(port, 'sum(up{job="probe"})') == 2)
            assert loopback.value(port, 'redis_up{instance="cache"}') == 1
