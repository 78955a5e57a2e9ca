"""A thousand scrapes of an exporter in which much is broken."""

import re
import sys
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from servers import Server, free_port

HOSTILE = Path(__file__).with_name("hostile_exporter.py")
TIMEOUT = 1.0  # seconds, as Prometheus would tell


def _use(pid):
    """Threads, file descriptors and resident MiB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    return threads, len(list(Path(f"/proc/{pid}/fd").iterdir())), resident


@pytest.mark.timeout(300)
def test_a_thousand_scrapes_stay_flat_and_whole(tmp_path):
    """With a collector that hangs, one that floods, one that fails and a stuck mount.

    Threads, file descriptors and memory stay flat, every scrape is back inside its deadline
    (tested with a margin of five), and everything else is on every page.
    """
    config = tmp_path / "exporter.yml"
    config.write_text("series_limit: 1000\ncollectors: {hangs: {timeout: 300ms}}")
    url = f"http://127.0.0.1:{free_port()}"
    words = [
        sys.executable,
        str(HOSTILE),
        f"--config.file={config}",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(TIMEOUT)}
    with (
        Server(words, ready=f"{url}/-/ready", log=tmp_path / "log") as server,
        httpx.Client(base_url=url, headers=headers, timeout=5 * TIMEOUT) as client,
    ):
        for number in range(1000):
            started = time.monotonic()
            page = client.get("/metrics").text
            assert time.monotonic() - started < 5 * TIMEOUT
            if number == 100:
                before = _use(server.process.pid)
            assert 'gnomon_scrape_collector_success{collector="loadavg"} 1' in page
        after = _use(server.process.pid)
    assert after[:2] == before[:2]
    assert after[2] < before[2] + 5

    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    success = "gnomon_scrape_collector_success"
    assert samples[success, "hangs"] == samples[success, "fails"] == 0
    assert samples[success, "floods"] == samples[success, "filesystem"] == 1
    assert sum(key[0] == "floods" for key in samples) == 1000
    assert samples["gnomon_scrape_dropped_series_total", "floods"] == 2000 * 1000
    error = "node_filesystem_device_error"
    assert samples[error, "/dev/sda", "/", "ext4", ""] == 0
    assert samples[error, "server:/", "/stuck", "nfs", "mountpoint timeout"] == 1
    # News, not repetitions: one line for each that failed.
    log = server.output()
    assert log.count("collector hangs failed") == log.count("collector fails failed") == 1
