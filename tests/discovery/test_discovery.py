"""The example configurations for many hosts: each is read, and HTTP's finds a real target."""

import json
import subprocess
import threading
import time
import urllib.parse
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

import servers

FOLDER = servers.ROOT / "prometheus/discovery"
FILES = sorted(FOLDER.glob("*.yml"))
PATIENCE_S = 60


#: Debian's packages leave Kubernetes' client out.
LACKS_KUBERNETES = "field kubernetes_sd_configs not found"


def _check(path):
    words = [*servers.program("promtool"), "check", "config", "--syntax-only", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_promtool_reads_each_as_it_stands(path):
    """And each of its jobs gives its targets a service."""
    done = _check(path)
    if LACKS_KUBERNETES not in done.stdout + done.stderr:
        assert done.returncode == 0, done.stdout + done.stderr
    for job in yaml.safe_load(path.read_text())["scrape_configs"]:
        assert "service" in {each.get("target_label") for each in job["relabel_configs"]}


def test_they_can_be_named_in_prometheus_yml(tmp_path):
    """Beside all that stands there: none of their jobs is its own, but for that of the machines."""
    own = yaml.safe_load((servers.ROOT / "prometheus/prometheus.yml").read_text())
    taken = {job["job_name"] for job in own["scrape_configs"]} - {"node"}
    jobs = [job for path in FILES for job in yaml.safe_load(path.read_text())["scrape_configs"]]
    assert not taken & {job["job_name"] for job in jobs}
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump({"scrape_config_files": [str(path) for path in FILES]})
    )
    done = _check(tmp_path / "prometheus.yml")
    if "field scrape_config_files not found" in done.stdout + done.stderr:
        pytest.skip("scrape_config_files came with Prometheus 2.43")
    if LACKS_KUBERNETES in done.stdout + done.stderr:
        pytest.skip("this promtool was built without Kubernetes")
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _inventory(answer):
    """Serve what ``answer()`` says, as an inventory does, and a page of metrics beside it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            listed = self.path == "/targets"
            body = json.dumps(answer()) if listed else "answered 1\n"
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if listed else "text/plain")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def test_an_inventory_s_targets_come_and_go(tmp_path):
    """A listed one is scraped with its labels, one without a service is said to be unknown's."""
    listed = []
    with _inventory(lambda: listed) as port:
        here = f"127.0.0.1:{port}"
        listed.append({"targets": [here], "labels": {"service": "transcriber", "zone": "b"}})
        text = (FOLDER / "http.yml").read_text()
        for old, new in (("127.0.0.1:8500", here), ("30s", "1s")):
            assert old in text
            text = text.replace(old, new)
        config = tmp_path / "prometheus.yml"
        config.write_text(f"global: {{scrape_interval: 1s}}\n{text}")
        address = f"127.0.0.1:{servers.free_port()}"
        words = [*servers.program("prometheus"), f"--config.file={config}"]
        words += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
        with servers.Server(words, ready=f"http://{address}/-/ready", log=tmp_path / "log"):

            def series():
                query = urllib.parse.urlencode({"query": "answered"})
                found = json.loads(servers.fetch(f"http://{address}/api/v1/query?{query}"))
                return [each["metric"] for each in found["data"]["result"]]

            _wait(lambda: {each["service"] for each in series()} == {"transcriber"})
            assert series()[0]["zone"] == "b"
            listed[:] = [{"targets": [here], "labels": {}}]
            _wait(lambda: {each["service"] for each in series()} == {"unknown"})


POD = {
    "__address__": "10.1.2.3:5000",
    "__meta_kubernetes_namespace": "ai",
    "__meta_kubernetes_pod_ip": "10.1.2.3",
    "__meta_kubernetes_pod_name": "transcriber-7",
    "__meta_kubernetes_pod_node_name": "machine-4",
    "__meta_kubernetes_pod_phase": "Running",
    "__meta_kubernetes_pod_label_app": "other",
    "__meta_kubernetes_pod_label_app_kubernetes_io_name": "transcriber",
    "__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true",
}
PORT = "__meta_kubernetes_pod_annotation_prometheus_io_port"
PATH = "__meta_kubernetes_pod_annotation_prometheus_io_path"
SILENT = {"__meta_kubernetes_pod_annotation_prometheus_io_scrape": ""}


@pytest.mark.parametrize(
    ("file", "job", "found", "expected"),
    [
        (
            "kubernetes",
            "pods",
            [POD, {**POD, **SILENT}, {**POD, "__meta_kubernetes_pod_phase": "Succeeded"}],
            {
                "http://10.1.2.3:5000/metrics": {
                    "service": "transcriber",
                    "namespace": "ai",
                    "pod": "transcriber-7",
                    "instance": "10.1.2.3:5000",
                }
            },
        ),
        (
            "kubernetes",
            "pods",
            [{**POD, PORT: "9000", PATH: "/m"}],
            {"http://10.1.2.3:9000/m": {"service": "transcriber", "instance": "10.1.2.3:9000"}},
        ),
        (
            "kubernetes",
            "node",
            [{**POD, "__address__": "10.1.2.3"}],
            {"http://10.1.2.3:9840/metrics": {"service": "host", "instance": "machine-4"}},
        ),
        (
            "dns",
            "srv",
            [
                {
                    "__address__": "host-7.example:8000",
                    "__meta_dns_name": "_metrics._tcp.shop.example",
                }
            ],
            {"http://host-7.example:8000/metrics": {"service": "shop"}},
        ),
        (
            "dns",
            "addresses",
            [{"__address__": "10.0.0.9:9840", "__meta_dns_name": "exporters.example"}],
            {"http://10.0.0.9:9840/metrics": {"service": "host", "instance": "10.0.0.9"}},
        ),
    ],
)
def test_what_is_found_becomes_a_target(tmp_path, file, job, found, expected):
    """A real Prometheus makes of what Kubernetes or DNS would say what rules and people expect."""
    config = yaml.safe_load((FOLDER / f"{file}.yml").read_text())
    [chosen] = [each for each in config["scrape_configs"] if each["job_name"] == job]
    for key in [key for key in chosen if key.endswith("_sd_configs")]:
        del chosen[key]
    groups = [
        {
            "targets": [each["__address__"]],
            "labels": {key: value for key, value in each.items() if key != "__address__"},
        }
        for each in found
    ]
    (tmp_path / "found.json").write_text(json.dumps(groups))
    chosen["file_sd_configs"] = [{"files": [str(tmp_path / "found.json")]}]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump({"scrape_configs": [chosen]}))
    address = f"127.0.0.1:{servers.free_port()}"
    words = [*servers.program("prometheus"), f"--config.file={path}"]
    words += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
    with servers.Server(words, ready=f"http://{address}/-/ready", log=tmp_path / "log"):

        def targets():
            page = servers.fetch(f"http://{address}/api/v1/targets?state=active")
            active = json.loads(page)["data"]["activeTargets"]
            return {each["scrapeUrl"]: each["labels"] for each in active}

        _wait(targets)
        assert targets().keys() == expected.keys()
        for url, labels in expected.items():
            assert labels.items() <= targets()[url].items()


def _wait(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
