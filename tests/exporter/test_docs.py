"""The papers say what the collectors do."""

import metrics_page

from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.settings import settings_of


def test_the_page_of_metrics_is_made_from_the_collectors():
    """docs/metrics.md is what ``make docs`` writes."""
    assert metrics_page.METRICS.read_text() == metrics_page.metrics()


def test_every_setting_says_what_it_does():
    """--help and docs/metrics.md have a sentence for each, from the collector's docstring."""
    assert [
        f"{name}.{setting.name}"
        for name, entry in COLLECTORS.items()
        for setting in settings_of(entry.factory).values()
        if not setting.meaning
    ] == []


def test_every_collector_has_its_row():
    """The README's table is what ``make docs`` writes, a row for each collector."""
    assert metrics_page.README.read_text() == metrics_page.readme()
