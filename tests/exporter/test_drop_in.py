"""Beside the real node_exporter on this host: the same series, types and values."""

import re
import subprocess
import sys
from pathlib import Path

import drop_in
import pytest

from gnomon_exporter.collectors.filesystem import FilesystemCollector
from gnomon_exporter.settings import settings_of
from servers import Server, fetch, free_port

PROGRAM = str(Path(sys.executable).with_name("gnomon-exporter"))


def _version(words):
    shown = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", shown.stdout + shown.stderr)
    return int(found[1]), int(found[2])


@pytest.fixture
def pair(program, tmp_path):
    """The two exporters, running: node_exporter's version, its URL and ours."""
    words = program("node_exporter")
    # Debian turns systemd on, reads a folder of its own, and leaves out more mount points.
    exclude = settings_of(FilesystemCollector)["mount_points_exclude"].default
    flags = [
        "--no-collector.systemd",
        "--collector.textfile.directory=",
        f"--collector.filesystem.mount-points-exclude={exclude}",
    ]
    theirs, ours = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with (
        Server(
            [*words, f"--web.listen-address={theirs}", *flags],
            ready=f"http://{theirs}/",
            log=tmp_path / "node_exporter.log",
        ),
        Server(
            [PROGRAM, f"--web.listen-address={ours}"],
            ready=f"http://{ours}/-/ready",
            log=tmp_path / "gnomon.log",
        ),
    ):
        yield _version(words), f"http://{theirs}/metrics", f"http://{ours}/metrics"


def test_every_series_is_there_with_its_type_and_value(pair):
    """Every node_* series of node_exporter is on our page, and counters lie between two scrapes.

    A value that moves up and down by itself may differ once; what differs in each of five
    rounds is a difference. With an older node_exporter, what has changed since is left out.
    """
    version, theirs, ours = pair
    rounds = []
    for _ in range(5):
        before = drop_in.read(fetch(theirs).decode())
        mine = drop_in.read(fetch(ours).decode())
        after = drop_in.read(fetch(theirs).decode())
        found = drop_in.differences(before, mine, after, version)
        rounds.append({drop_in.subject(line): line for line in found})
    lasting = set.intersection(*(set(found) for found in rounds))
    assert "\n".join(rounds[-1][name] for name in sorted(lasting)) == ""
    assert len(mine.types.keys() & after.types.keys()) > 150
