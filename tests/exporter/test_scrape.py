"""A scrape: many collectors, one page."""

import time

from prometheus_client.parser import text_string_to_metric_families

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.guard import Guard
from gnomon_exporter.scrape import Scraper


class Yields:
    """A collector of given families."""

    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self):
        yield from self.families


class Fails:
    """A collector that fails, or has nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def collect(self):
        raise self.error


def _scraper(node=(), **collectors):
    guards = {
        name: Guard(name, collector, timeout=5, cap=100) for name, collector in collectors.items()
    }
    return Scraper(guards, node)


def _page(scraped, names=None):
    return scraped.scrape(names, time.monotonic() + 5).decode()


def _samples(scraped, names=None):
    page = _page(scraped, names)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_a_failure_stays_with_its_collector():
    """A failing collector is reported as such; all others are there."""
    page = _samples(
        _scraper(good=Yields(GaugeMetricFamily("good", "Good.", 1)), bad=Fails(OSError("x")))
    )
    assert page["good",] == 1
    assert page["gnomon_scrape_collector_success", "good"] == 1
    assert page["gnomon_scrape_collector_success", "bad"] == 0
    assert ("gnomon_scrape_collector_last_success_timestamp_seconds", "bad") not in page


def test_nothing_to_report_leaves_no_trace_but_node_exporters():
    """Without the subject there is no series of ours; node_exporter's own says 0, as it does."""
    page = _samples(_scraper(node=["none"], none=Fails(NoData("no such device"))))
    assert not [key for key in page if key[0].startswith("gnomon_scrape") and "none" in key]
    assert page["node_scrape_collector_success", "none"] == 0


def test_node_series_are_those_of_node_collectors_only():
    """node_scrape_collector_* lists no collector that node_exporter does not have."""
    page = _samples(_scraper(node=["cpu"], cpu=Yields(), gpu=Yields()))
    assert page["node_scrape_collector_success", "cpu"] == 1
    assert ("node_scrape_collector_success", "gpu") not in page


def test_only_the_named_collectors_run():
    """A scrape with names runs and reports those alone."""
    page = _samples(
        _scraper(
            a=Yields(GaugeMetricFamily("a", "A.", 1)), b=Yields(GaugeMetricFamily("b", "B.", 1))
        ),
        names={"a"},
    )
    assert ("a",) in page
    assert ("b",) not in page
    assert ("gnomon_scrape_collector_success", "b") not in page


def test_a_name_that_comes_twice_has_one_header_and_no_series_twice(caplog):
    """Two collectors with one name: series join, the same series counts once, types must agree."""

    def labelled(*values):
        family = GaugeMetricFamily("shared", "Shared.", labels=["x"])
        for value in values:
            family.add_metric([value], 1)
        return family

    scraped = _scraper(
        a=Yields(labelled("1", "2")),
        b=Yields(labelled("2", "3"), CounterMetricFamily("other_total", "Other.", 1)),
        c=Yields(GaugeMetricFamily("other_total", "Other.", 2)),
    )
    page = _page(scraped)
    assert page.count("# TYPE shared gauge") == 1
    assert page.count("# TYPE other_total ") == 1
    assert [line for line in page.splitlines() if line.startswith(("shared", "other"))] == [
        'shared{x="1"} 1',
        'shared{x="2"} 1',
        'shared{x="3"} 1',
        "other_total 1",
    ]
    _page(scraped)
    assert len(caplog.records) == 2  # one for each name, not for each scrape


def test_dropped_series_exist_at_zero():
    """The counter is there before anything is dropped, so that its first increase shows."""
    page = _samples(_scraper(good=Yields(GaugeMetricFamily("good", "Good.", 1))))
    assert page["gnomon_scrape_dropped_series_total", "good"] == 0


def test_the_exporter_reports_itself():
    """Build information is on every page."""
    page = _samples(_scraper())
    names = {key[0] for key in page}
    assert {
        "gnomon_exporter_build_info",
        "node_exporter_build_info",
    } <= names
