"""What the collectors' tests share: recorded hosts and the page they must give."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gnomon_exporter.collector import Collector
from gnomon_exporter.exposition import render
from gnomon_exporter.paths import Paths

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def recorded() -> Paths:
    """The host that tests/exporter/fixtures/README.md describes: a Debian 12 virtual machine."""
    return Paths(str(FIXTURES / "debian-12-vm"))


@pytest.fixture
def metal() -> Paths:
    """A physical machine with sensors, RAID and bonds, written by hand from kernel documents."""
    return Paths(str(FIXTURES / "metal"))


@pytest.fixture
def exposed() -> Callable[[Collector], list[str]]:
    """Return a function that gives a collector's page as lines, without the HELP texts."""

    def lines(collector: Collector) -> list[str]:
        page = render(collector.collect()).decode()
        return [line for line in page.splitlines() if not line.startswith("# HELP")]

    return lines
