"""The view from outside: a real blackbox_exporter, a real Prometheus with the checked-in job."""

import http.server
import json
import threading
import time
import urllib.parse

import pytest
import yaml

import rulebook
from servers import ROOT, Server, fetch, free_port, program

# Only what answers over TLS has it.
ONLY_OF_TLS = {"probe_ssl_earliest_cert_expiry"}


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture(scope="module")
def endpoint():
    """A web server that answers, but for one path."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, endpoint):
    """A Prometheus that has three endpoints asked for, one of them refused."""
    folder = tmp_path_factory.mktemp("blackbox")
    port = free_port()
    config = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "blackbox")
    job["scrape_interval"] = "1s"
    text = yaml.safe_dump({"scrape_configs": [job]})
    (folder / "prometheus.yml").write_text(text.replace("127.0.0.1:9115", f"127.0.0.1:{port}"))
    (folder / "targets/probe").mkdir(parents=True)
    (folder / "targets/probe/shop.yml").write_text(
        f"- targets: ['http://{endpoint}/', 'http://{endpoint}/broken']\n"
        f"- targets: ['{endpoint}', '127.0.0.1:{free_port()}']\n"
        "  labels: {service: other, module: tcp}\n"
    )
    blackbox = [
        *program("prometheus-blackbox-exporter"),
        f"--config.file={ROOT}/prometheus/blackbox.yml",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    url = f"http://127.0.0.1:{free_port()}"
    words = [
        *program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with (
        Server(blackbox, ready=f"http://127.0.0.1:{port}/-/healthy", log=folder / "blackbox.log"),
        Server(words, ready=f"{url}/-/ready", log=folder / "prometheus.log"),
    ):
        yield url


def _query(url, expression):
    answer = fetch(f"{url}/api/v1/query?query={urllib.parse.quote(expression)}")
    found = json.loads(answer)["data"]["result"]
    return {
        (series["metric"]["service"], series["metric"]["instance"]): float(series["value"][1])
        for series in found
    }


def test_says_of_each_endpoint_whether_it_answers_as_it_should(prometheus, endpoint):
    """A page, a page that fails, a port, a port that nobody listens on; each by its own name."""
    end = time.monotonic() + 60
    while len(found := _query(prometheus, "probe_success")) < 4:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert found.pop(("shop", f"http://{endpoint}/")) == 1
    assert found.pop(("shop", f"http://{endpoint}/broken")) == 0
    assert found.pop(("other", endpoint)) == 1
    assert list(found.values()) == [0]
    assert set(_query(prometheus, 'up{job="blackbox"}').values()) == {1}


@pytest.mark.parametrize(
    "name",
    sorted(
        {n for rule in rulebook.EVERY for n in rulebook.raw(rule) if n.startswith("probe_")}
        - ONLY_OF_TLS
    ),
)
def test_what_rules_read_of_it_is_there(prometheus, name):
    """The names are blackbox_exporter's own."""
    end = time.monotonic() + 60
    while not _query(prometheus, name):
        assert time.monotonic() < end
        time.sleep(0.2)
