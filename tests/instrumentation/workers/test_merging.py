"""Adding up the pages of several workers."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client.openmetrics.exposition import generate_latest

from gnomon.endpoint import Page
from gnomon.workers import codec
from gnomon.workers.merging import cumulative, exact, merge
from gnomon.workers.source import Source


def worker(registry, n):
    """Fill a registry as the n-th worker does."""
    requests = Counter("requests", "Requests.", ["route"], registry=registry)
    requests.labels("/both").inc(n)
    requests.labels(f"/{n}").inc(1)
    seconds = Histogram("seconds", "Seconds.", registry=registry, buckets=(1, 5))
    seconds.observe(n, exemplar={"trace_id": str(n)})
    Summary("size", "Sizes.", registry=registry).observe(n)
    Gauge("level", "Level.", registry=registry).set(n)
    Gauge("done_timestamp_seconds", "When.", registry=registry).set(n)
    Gauge("process_start_time_seconds", "When.", registry=registry).set(n)
    Info("build", "Build.", registry=registry).info({"version": "1"})
    Enum("state", "State.", states=["up", "down"], registry=registry).state("up")
    return list(registry.collect())


@pytest.fixture
def two():
    """The pages of workers 1 and 3, as they come from the wire."""
    return [codec.load(codec.dump(worker(CollectorRegistry(), n))).families for n in (1, 3)]


def samples(families):
    """Give all samples by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_each_kind_by_its_rule(two):
    """Counts and levels add up, times and facts do not."""
    assert samples(merge(two)) == {
        ("requests_total", "/both"): 4,
        ("requests_total", "/1"): 1,
        ("requests_total", "/3"): 1,
        ("seconds_bucket", "1.0"): 1,
        ("seconds_bucket", "5.0"): 2,
        ("seconds_bucket", "+Inf"): 2,
        ("seconds_count",): 2,
        ("seconds_sum",): 4,
        ("size_count",): 2,
        ("size_sum",): 4,
        ("level",): 4,
        ("done_timestamp_seconds",): 3,
        ("process_start_time_seconds",): 1,
        ("build_info", "1"): 1,
        ("state", "up"): 1,
        ("state", "down"): 0,
    }


def test_exemplars_survive(two):
    """Each bucket keeps its latest exemplar, and the page is valid OpenMetrics."""
    page = generate_latest(Page(merge(two))).decode()
    assert 'seconds_bucket{le="1.0"} 1.0 # {trace_id="1"} 1.0' in page
    assert 'seconds_bucket{le="5.0"} 2.0 # {trace_id="3"} 3.0' in page
    assert page.endswith("# EOF\n")


def test_only_what_grows_outlives_a_worker(two):
    """The dead have no levels and no states; what was done last has been done."""
    names = {family.name for family in cumulative(two[0])}
    assert names == {"requests", "seconds", "size", "done_timestamp_seconds"}


def test_sums_are_the_same_whoever_adds_up():
    """Fractions add up to the same in any order, and when the dead are added up first."""
    pages = []
    for n in range(7):
        registry = CollectorRegistry()
        seconds = Histogram("seconds", "Seconds.", registry=registry)
        for m in range(1, 50):
            seconds.observe(0.1 * m / (n + 3))
        pages.append(exact(registry.collect()))
    totals = {
        samples(merge(order))["seconds_sum",]
        for order in (
            pages,
            pages[::-1],
            [merge(pages[2:5]), *pages[5:], *pages[:2]],
            [merge([merge(pages[3:]), pages[0]]), pages[2], pages[1]],
        )
    }
    assert len(totals) == 1
    truth = sum(0.1 * m / (n + 3) for n in range(7) for m in range(1, 50))
    assert totals.pop() == pytest.approx(truth, abs=1e-5)


def test_a_gauge_may_say_how_it_is_merged():
    """What multiprocess_mode asks for goes before what the name says."""
    pages = []
    for n in (2, 5):
        registry = CollectorRegistry()
        for mode in ("min", "livemax", "sum", "mostrecent", "all"):
            Gauge(f"a_{mode}", "A.", registry=registry, multiprocess_mode=mode).set(n)
        pages.append(Source(registry).families())
    assert samples(merge(pages, Source(registry).modes())) == {
        ("a_min",): 2,
        ("a_livemax",): 5,
        ("a_sum",): 7,
        ("a_mostrecent",): 2,
        ("a_all",): 7,
    }


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'[["a"]]', b"null", b"\xff"])
def test_broken_bytes_are_refused(data):
    """Half a snapshot is no page."""
    with pytest.raises(ValueError):  # noqa: PT011  # any text will do
        codec.load(data)


def test_pools_are_each_workers_own_and_the_database_is_one():
    """Limits of pools add up as their connections do; what is known of the database does not."""
    pages = []
    for _ in range(2):
        registry = CollectorRegistry()
        for name in (
            "db_client_connection_max",
            "gnomon_db_missing_index",
            "gnomon_db_unused_indexes",
        ):
            Gauge(name, "A gauge.", ["pool"], registry=registry).labels("desk").set(5)
        pages.append(list(registry.collect()))
    assert samples(merge(pages)) == {
        ("db_client_connection_max", "desk"): 10,
        ("gnomon_db_missing_index", "desk"): 5,
        ("gnomon_db_unused_indexes", "desk"): 5,
    }
