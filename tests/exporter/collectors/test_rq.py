"""The rq collector, against a real Redis and real RQ workers."""

import sys
import time
from datetime import timedelta

import pytest
import redis
import rq
from prometheus_client.parser import text_string_to_metric_families

import servers
from caches import redis_server, say, silent_server
from gnomon_exporter.collectors.rq import RqCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.paths import Paths

SECRET = "hunter2-rq"


def collector(port, **settings):
    """Return a collector of database 2 of the Redis on a port of loopback."""
    return RqCollector(Paths(), address=f"redis://127.0.0.1:{port}/2", **settings)


def page(collector):
    """Return the collector's series by name and labels, as a parser reads them."""
    families = text_string_to_metric_families(render(collector.collect()).decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def until(collector, condition, patience_s=30):
    """Return the first page for which the condition holds."""
    end = time.monotonic() + patience_s
    while True:
        series = page(collector)
        if condition(series):
            return series
        assert time.monotonic() < end, series
        time.sleep(0.1)


@pytest.fixture
def port(tmp_path):
    """A Redis with nothing in it."""
    with redis_server(tmp_path) as (port, _):
        yield port


def worker(port, tmp_path, name, *queues):
    """Return a worker of RQ's for a ``with`` block."""
    words = [sys.executable, "-m", "rq.cli", "worker", "--name", name, "--with-scheduler"]
    words += ["--url", f"redis://127.0.0.1:{port}/2", *queues]
    return servers.Server(
        words, log=tmp_path / f"{name}.log", env={"PYTHONPATH": str(servers.ROOT / "tests")}
    )


def test_counts_jobs_and_workers_of_a_real_rq(port, tmp_path):
    """Each status of each queue, and each worker's state and counts, are what RQ itself says."""
    connection = redis.Redis(port=port, db=2)
    high, low = (rq.Queue(name, connection=connection) for name in ("high", "low"))
    subject = collector(port)
    first = low.enqueue("queue_jobs.slow", 20)  # RQ's child outlives a worker that is killed
    low.enqueue("queue_jobs.done", depends_on=first)
    low.enqueue_in(timedelta(hours=1), "queue_jobs.done")
    for function in ("done", "done", "broken"):
        high.enqueue(f"queue_jobs.{function}")
    assert page(subject)["rq_jobs", "high", "queued"] == 3
    with worker(port, tmp_path, "anna", "high", "low"):
        series = until(subject, lambda found: found.get(("rq_jobs", "low", "started")) == 1)
        jobs = {key[1:]: value for key, value in series.items() if key[0] == "rq_jobs"}
        none = dict.fromkeys(
            ("queued", "started", "finished", "failed", "deferred", "scheduled"), 0
        )
        wanted = {
            "high": none | {"finished": 2, "failed": 1},
            "low": none | {"started": 1, "deferred": 1, "scheduled": 1},
        }
        assert jobs == {
            (queue, status): count
            for queue, statuses in wanted.items()
            for status, count in statuses.items()
        }
        for queue in (high, low):
            assert jobs[queue.name, "finished"] == queue.finished_job_registry.get_job_count(
                cleanup=False
            )
        assert series["rq_workers", "anna", "busy", "high,low"] == 1
        assert series["rq_workers_success_total", "anna", "high,low"] == 2
        assert series["rq_workers_failed_total", "anna", "high,low"] == 1
        (known,) = rq.Worker.all(connection=connection)
        spent = series["rq_workers_working_time_total", "anna", "high,low"]
        assert spent == pytest.approx(known.total_working_time)


def test_a_new_workers_counters_stand_at_zero(port, tmp_path):
    """RQ writes a worker's counts with its first job; until then they are 0, not absent."""
    with worker(port, tmp_path, "bert", "empty"):
        series = until(
            collector(port), lambda found: ("rq_workers", "bert", "idle", "empty") in found
        )
    assert series["rq_workers_success_total", "bert", "empty"] == 0


def test_a_dead_worker_has_no_series(port):
    """A name whose hash has expired is not a worker, and is left in RQ's set."""
    say(port, "SELECT 2", "SADD rq:workers rq:worker:gone")
    assert not any(key[0].startswith("rq_workers") for key in page(collector(port)))
    assert b":1\r\n" in say(port, "SELECT 2", "SCARD rq:workers")


def test_an_rq_that_was_never_used_has_no_queues(port):
    """An empty Redis is no failure."""
    assert page(collector(port)) == {
        ("gnomon_rq_left_out", "queues"): 0,
        ("gnomon_rq_left_out", "workers"): 0,
    }


def test_reads_under_another_prefix(port):
    """RQ_KEY_PREFIX moves every key."""
    say(port, "SELECT 2", "SADD jobs:queues jobs:queue:mail", "RPUSH jobs:queue:mail 1 2")
    assert page(collector(port, prefix="jobs"))["rq_jobs", "mail", "queued"] == 2


def test_hostile_names_stay_within_the_limit(port):
    """Ten thousand queues with quotes, newlines and broken UTF-8 give a page that parses."""
    connection = redis.Redis(port=port, db=2)
    names = [b'rq:queue:"\\\n\xff\xc3(%d' % number for number in range(10_000)]
    connection.sadd("rq:queues", *names, b"not a queue", b"rq:queue:" + b"x" * 1_000_000)
    connection.hset(b'rq:worker:\xff\n"', mapping={"state": b"\xff\n", "queues": b'a,"'})
    connection.sadd("rq:workers", b'rq:worker:\xff\n"')
    connection.set("rq:wip:high", "not a sorted set")
    connection.sadd("rq:queues", "rq:queue:high")
    series = page(collector(port, queue_limit=100))
    assert len([key for key in series if key[0] == "rq_jobs"]) == 600
    assert series["gnomon_rq_left_out", "queues"] == 10_002 - 100
    assert series["rq_workers", '\\xff\n"', "\\xff\n", 'a,"'] == 1


def test_a_key_of_another_type_spoils_only_its_own_series(port):
    """A queue whose registry is no sorted set keeps its other counts."""
    say(port, "SELECT 2", "SADD rq:queues rq:queue:high", "SET rq:wip:high x")
    series = page(collector(port))
    assert series["rq_jobs", "high", "queued"] == 0
    assert ("rq_jobs", "high", "started") not in series


def test_a_silent_server_is_an_error_in_time():
    """A server that never answers costs server_timeout, then the collector fails."""
    with silent_server() as port:
        subject = collector(port, server_timeout=0.2)
        started = time.monotonic()
        with pytest.raises(OSError, match="no answer in time"):
            page(subject)
        assert time.monotonic() - started < 1


def test_is_back_after_redis_was_away(tmp_path):
    """A Redis that restarts is read again without a new collector."""
    port = servers.free_port()
    subject = collector(port)
    with pytest.raises(OSError, match="refused"):
        page(subject)
    for _ in range(2):
        with redis_server(tmp_path, port=port):
            assert page(subject)


def test_the_password_is_shown_nowhere(tmp_path):
    """What is said when a login fails has no password in it."""
    with redis_server(tmp_path, "--requirepass", "right") as (port, _):
        subject = RqCollector(Paths(), address=f"redis://:{SECRET}@127.0.0.1:{port}")
        with pytest.raises(OSError, match="login refused") as failure:
            page(subject)
        assert SECRET not in str(failure.value)
        with pytest.raises(OSError, match="NOAUTH"):
            page(collector(port))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"address": f"amqp://:{SECRET}@host"}, "address: expected"),
        ({"address": "redis://u@host", "username": "v"}, "username: "),
        ({"address": f"redis://:{SECRET}@host", "password_file": "f"}, "password_file: "),
        ({"server_timeout": 0.0}, "server_timeout: "),
        ({"queue_limit": 0}, "queue_limit: "),
    ],
)
def test_a_bad_setting_is_named(settings, reason):
    """The message begins with the setting's name and shows no password."""
    with pytest.raises(ValueError, match=reason) as failure:
        RqCollector(Paths(), **settings)
    assert SECRET not in str(failure.value)
