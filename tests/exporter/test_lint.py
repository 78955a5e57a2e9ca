"""The page before promtool's linter and prometheus-client's parser."""

import re
import subprocess
import sys
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.exporter import Exporter
from gnomon_exporter.options import parse

#: What promtool says of names that are node_exporter's own, which we keep to the letter.
KNOWN = [
    (r"node_(memory|netstat|sockstat)_", "metric names should be written in 'snake_case'"),
    (r"node_entropy_(available|pool_size)_bits", 'use base unit "bytes" instead of "bits"'),
]


@pytest.fixture(scope="module")
def page():
    """This host's page, of all collectors that are on by default."""
    exporter = Exporter(parse([], COLLECTORS), COLLECTORS)
    return exporter.render(None, time.monotonic() + 30).decode()


def test_promtool_finds_only_node_exporters_names(program, page):
    """Every complaint of promtool's is one that node_exporter's page gets as well."""
    linted = subprocess.run(
        [*program("promtool"), "check", "metrics"],
        input=page,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    complaints = (linted.stdout + linted.stderr).splitlines()
    unknown = [
        line
        for line in complaints
        if not any(re.match(name, line) and text in line for name, text in KNOWN)
    ]
    assert unknown == []
    assert complaints  # it did look


def test_every_line_is_read_back(page):
    """prometheus-client's parser reads every series, each once."""
    series = [
        (sample.name, *sorted(sample.labels.items()))
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]
    assert len(series) == len(set(series))
    assert len(series) == sum(not line.startswith("#") for line in page.splitlines())
    assert len(series) > (400 if sys.platform == "linux" else 20)


def test_every_family_has_its_help_and_type_once(page):
    """Two header lines before each family, in that order, and a sentence with a full stop."""
    headers = [line for line in page.splitlines() if line.startswith("# ")]
    names = [line.split()[2] for line in headers[::2]]
    assert names == [line.split()[2] for line in headers[1::2]]
    assert len(names) == len(set(names))
    assert [line for line in headers[::2] if not line.endswith(".")] == []
