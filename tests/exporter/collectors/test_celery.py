"""The celery collector, against real brokers and real workers."""

import gc
import json
import os
import ssl
import sys
import threading
import time
from contextlib import ExitStack

import pytest
import redis as redis_py
from series import series_of

import celery_app
from brokers import Relay, celery_workers
from caches import redis_server, say, silent_server
from certificates import Authority
from gnomon_exporter.celery_messages import wrapped
from gnomon_exporter.collectors.celery import CeleryCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.guard import Guard
from gnomon_exporter.helpers import Helpers
from gnomon_exporter.paths import Paths

SECRET = "hunter2-celery"
WORKERS = {
    "anna": "--queues celery,mail --concurrency 2",
    "bert": "--queues celery --pool threads --concurrency 3",
    "carl": "--queues celery --pool solo",
}


class Scraped:
    """What a collector yielded, and how it ended."""

    def __init__(self, collector):
        families = []
        self.error = ""
        try:
            families.extend(collector.collect())
        except OSError as error:
            self.error = str(error)
        self.text = render(families).decode()
        self.series = series_of(self.text)

    def __getitem__(self, series):
        return self.series.get(series)

    def total(self, name, *parts):
        """Return the sum of the family's series that have these parts; None without any."""
        found = [
            value
            for key, value in self.series.items()
            if key.startswith(f"{name}{{") and all(part in key for part in parts)
        ]
        return sum(found) if found else None


def until(collector, condition, patience_s=30):
    """Scrape until the condition holds; return that page."""
    end = time.monotonic() + patience_s
    while True:
        page = Scraped(collector)
        if condition(page):
            return page
        assert time.monotonic() < end, f"{page.error}\n{page.text}"
        time.sleep(0.1)


def collector(url, **settings):
    """Return a collector of a broker."""
    return CeleryCollector(Paths(), address=url, **({"_birth": 0.0} | settings))


def redis_url(port, database=3):
    """Return the address of a Redis on loopback."""
    return f"redis://127.0.0.1:{port}/{database}"


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def running(request, tmp_path_factory):
    """A broker with three workers at it, and a collector that has listened from the start."""
    directory = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "redis":
            url = redis_url(stack.enter_context(redis_server(directory))[0])
        else:
            url = f"amqp://127.0.0.1:{request.getfixturevalue('rabbitmq').port}//"
        subject = collector(url, inspect_interval=2.0)
        until(subject, lambda page: page["gnomon_celery_listening"] == 1)
        with celery_workers(url, directory, **WORKERS):
            until(subject, lambda page: page.total("celery_worker_up") == 3, patience_s=60)
            with celery_app.application(url) as app:
                yield subject, app, request.param


def test_tells_what_three_real_workers_do(running):
    """Counts, runtimes, waits, what is in flight and who consumes what are as they were ordered."""
    subject, app, kind = running
    for _ in range(5):
        app.send_task("add", (1, 2))
    app.send_task("add", (1, 2), queue="mail")
    app.send_task("fail")
    app.send_task("again")
    app.send_task("nap", (8,), queue="mail")
    page = until(
        subject,
        lambda page: (
            page.total("celery_task_succeeded_total", 'name="add"') == 6
            and page.total("celery_task_succeeded_total", 'name="again"') == 1
            and page.total("celery_task_failed_total", 'exception="ValueError"') == 1
            and page.total("gnomon_celery_tasks_in_flight", 'name="nap"', '"started"') == 1
            and page.total("celery_worker_tasks_active") == 1
        ),
    )
    assert page.error == ""
    assert page.total("celery_task_sent_total", 'name="add"', 'queue_name="celery"') == 5
    for word, count in {"sent": 2, "received": 2, "started": 2, "retried": 1}.items():
        assert page.total(f"celery_task_{word}_total", 'name="again"') == count, word
    for host in ("anna-host", "bert-host", "carl-host"):
        assert page[f'celery_worker_up{{hostname="{host}"}}'] == 1
    mail = '{name="add",hostname="anna-host",queue_name="mail"}'
    assert page[f"celery_task_succeeded_total{mail}"] == 1
    assert page[f"celery_task_runtime_count{mail}"] == 1
    assert 0 < page[f"celery_task_runtime_sum{mail}"] < 5
    assert 0 <= page[f"celery_task_queue_wait_time_sum{mail}"] < 5
    inspected = app.control.inspect(timeout=2)
    assert len(inspected.active_queues()) == 3
    page = until(subject, lambda page: page['celery_active_worker_count{queue_name="celery"}'] == 3)
    assert page['celery_active_worker_count{queue_name="mail"}'] == 1
    assert page['celery_active_process_count{queue_name="mail"}'] == 2
    # The pool of threads has no processes, as celery-exporter counts.
    assert page['celery_active_process_count{queue_name="celery"}'] == 3
    assert page['gnomon_celery_active_concurrency{queue_name="celery"}'] == 6
    consumers = page['celery_active_consumer_count{queue_name="celery"}']
    assert consumers == (3 if kind == "rabbitmq" else None)
    assert page["gnomon_celery_events_rejected_total"] == 0


def test_a_queue_that_nobody_consumes_fills(running):
    """Its length has the tasks of every priority; on Redis each priority has its own list."""
    subject, app, kind = running
    for priority in (None, 0, 4, 9, 9):
        app.send_task("add", (1, 2), queue=f"idle-{kind}", priority=priority)
    name = f'queue_name="idle-{kind}"'
    page = until(subject, lambda page: page[f"celery_queue_length{{{name}}}"] == 5)
    assert page[f"celery_active_worker_count{{{name}}}"] == 0
    if kind == "redis":
        found = [
            page[f'gnomon_celery_queue_priority_length{{{name},priority="{step}"}}']
            for step in (0, 3, 6, 9)
        ]
        assert found == [2, 1, 0, 2]
    else:
        assert page[f"celery_active_consumer_count{{{name}}}"] == 0
        missing = collector(f"amqp://127.0.0.1:{_port(subject)}//", queues=("not-there",))
        assert Scraped(missing)['celery_queue_length{queue_name="not-there"}'] is None


def test_a_scrape_waits_for_no_worker(running):
    """celery-exporter's takes two seconds, for it waits for answers."""
    subject, *_ = running
    started = time.monotonic()
    pages = [Scraped(subject) for _ in range(10)]
    assert not any(page.error for page in pages)
    assert time.monotonic() - started < 5


def test_leaves_nothing_behind_in_redis(running):
    """Neither the answers nor the binding that lets them come."""
    subject, _, kind = running
    if kind != "redis":
        pytest.skip("AMQP's queues go with the connection")
    until(subject, lambda page: page["gnomon_celery_listening"] == 1)
    time.sleep(1.1)
    Scraped(subject)
    connection = redis_py.Redis(port=_port(subject), db=3)

    def left() -> list[bytes]:
        bindings = connection.smembers("_kombu.binding.reply.celery.pidbox")
        return [name for name in {*connection.scan_iter(), *bindings} if b"gnomon" in name]

    # A look at the workers that has just begun has both until the next scrape ends it.
    deadline = time.monotonic() + 10
    while left() and time.monotonic() < deadline:
        time.sleep(0.2)
        Scraped(subject)
    assert left() == []


def test_comes_back_when_the_broker_does(running):
    """One thread listens before and after; while the broker is away all else is an error."""
    subject, app, kind = running
    others = _listeners()
    relay = Relay(_port(subject))
    relay.mend()
    url = redis_url(relay.port) if kind == "redis" else f"amqp://127.0.0.1:{relay.port}//"
    other = collector(url, server_timeout=2.0)
    before = until(other, lambda page: page.total("celery_worker_up") == 3)
    assert before.error == ""
    for _ in range(2):
        relay.cut()
        page = until(other, lambda page: page["gnomon_celery_listening"] == 0)
        assert f"127.0.0.1:{relay.port}" in page.error
        assert page.total("celery_worker_up") is None
        assert page.total("celery_queue_length") is None
        assert page["gnomon_celery_events_total"] > 0
        assert len(_listeners() - others) <= 1
        relay.mend()
        page = until(other, lambda page: page.total("celery_worker_up") == 3)
        assert page.error == ""
        assert page['celery_queue_length{queue_name="celery"}'] == 0
    app.send_task("add", (1, 2))
    until(other, lambda page: page.total("celery_task_succeeded_total", '"add"') == 1)
    relay.cut()


def test_reads_a_broker_through_tls(running, tmp_path):
    """Events and queues come through TLS, and only from a broker whose certificate is trusted."""
    subject, _, kind = running
    authority = Authority()
    trusted = tmp_path / "ca.crt"
    trusted.write_text(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.server(tmp_path))
    relay = Relay(_port(subject), context)
    relay.mend()
    scheme, path = ("rediss", "3") if kind == "redis" else ("amqps", "/")
    url = f"{scheme}://localhost:{relay.port}/{path}"
    for wrong in ({}, {"tls_ca_file": str(trusted), "tls_server_name": "elsewhere"}):
        page = Scraped(collector(url, events=False, **wrong))
        assert "certificate" in page.error.lower(), page.error
    for right in ({"tls_ca_file": str(trusted)}, {"tls_insecure_skip_verify": True}):
        other = collector(url, **right)
        page = until(other, lambda page: page.total("celery_worker_up") == 3)
        assert page.error == ""
        assert page['celery_queue_length{queue_name="celery"}'] == 0
    relay.cut()


def test_a_worker_that_ends_is_down(running, tmp_path):
    """It says so itself, and the others are not touched."""
    subject, app, _ = running
    with celery_workers(app.conf.broker_url, tmp_path, dora="--queues celery --pool solo"):
        until(subject, lambda page: page['celery_worker_up{hostname="dora-host"}'] == 1)
    page = until(subject, lambda page: page['celery_worker_up{hostname="dora-host"}'] == 0)
    assert page['celery_worker_up{hostname="anna-host"}'] == 1


def _port(subject):
    return (
        subject._broker._place.port
        if hasattr(subject._broker, "_place")
        else (subject._broker._login.place.port)
    )


def _listeners():
    return {thread for thread in threading.enumerate() if thread.name == "celery events"}


@pytest.fixture
def port(tmp_path):
    """A Redis with nothing in it."""
    with redis_server(tmp_path) as (port, _):
        yield port


def publish(port, *bodies, database=3):
    """Send messages as Celery's events go through Redis."""
    connection = redis_py.Redis(port=port)
    for body in bodies:
        connection.publish(f"/{database}.celeryev/task.sent", body)


def test_hostile_events_stay_within_the_bounds(port):
    """Ten thousand hostile tasks, a pickle and nonsense: the page parses, and says what was cut."""
    subject = collector(redis_url(port), label_limit=50, task_limit=100)
    until(subject, lambda page: page["gnomon_celery_listening"] == 1)
    batch = [
        {
            "type": "task-received",
            "uuid": str(number),
            "hostname": f'w@h"\n\\{number}',
            "name": "x" * 2_000 + f'"\n\\\ud800{number}',
            "timestamp": 1.0,
        }
        for number in range(10_000)
    ]
    for start in range(0, len(batch), 50):
        publish(port, wrapped(json.dumps(batch[start : start + 50]).encode(), "celeryev"))
    pickled = json.loads(wrapped(b"cos\nsystem\n(S'false'\ntR.", "celeryev"))
    pickled["content-type"] = "application/x-python-serialize"
    publish(port, json.dumps(pickled), b"\xff\x00", b"{}", b"x" * 5_000_000)
    page = until(subject, lambda page: page["gnomon_celery_events_rejected_total"] == 4)
    assert page.error == ""
    assert page["gnomon_celery_events_total"] == 10_004
    assert page.total("celery_task_received_total") == 10_000
    assert page["gnomon_celery_events_overflowed_total"] == 9950
    assert page["gnomon_celery_tasks_forgotten_total"] == 9900
    assert page.text.count("\ncelery_task_received_total{") == 51
    assert len(page.text) < 400_000


def test_hostile_queues_stay_within_the_limit(port):
    """Queues come from senders and workers, so from anybody who may write to the broker."""
    names = tuple(f'q"\n\\{number}' for number in range(1000))
    subject = collector(redis_url(port), queues=names, queue_limit=100)
    say(port, "SELECT 3", "SET celery no-list")
    page = Scraped(subject)
    assert page.total("celery_queue_length") == 0
    assert len([key for key in page.series if key.startswith("celery_queue_length")]) == 100
    assert page["gnomon_celery_queues_left_out"] == 901


def test_reads_the_keys_and_channels_of_another_configuration(port):
    """global_keyprefix, priority_steps, sep and event_exchange are the transport's to choose."""
    subject = collector(
        redis_url(port),
        key_prefix="app*:",
        priority_steps=("0", "5"),
        priority_separator=":",
        event_exchange="ev",
    )
    until(subject, lambda page: page["gnomon_celery_listening"] == 1)
    say(port, "SELECT 3", "RPUSH app*:celery a", "RPUSH app*:celery:5 b c", "RPUSH celery x")
    body = {"type": "worker-heartbeat", "hostname": "a@b", "active": 1}
    message = wrapped(json.dumps(body).encode(), "ev")
    connection = redis_py.Redis(port=port)
    connection.publish("app*:/3.ev/worker.heartbeat", message)
    connection.publish("appx:/3.ev/worker.heartbeat", message)
    connection.publish("app*:/3.ev", message)  # fanout_patterns off
    page = until(subject, lambda page: page["gnomon_celery_events_total"] == 2)
    assert page['celery_queue_length{queue_name="celery"}'] == 3
    assert page['gnomon_celery_queue_priority_length{queue_name="celery",priority="5"}'] == 2


def test_without_events_there_are_only_queues(port):
    """No thread is started."""
    others = _listeners()
    page = Scraped(collector(redis_url(port), events=False, inspect_interval=0.0))
    assert page['celery_queue_length{queue_name="celery"}'] == 0
    assert page["gnomon_celery_listening"] is None
    assert _listeners() <= others


def test_the_thread_ends_with_its_collector(port, monkeypatch):
    """A change of the configuration leaves no thread and no connection behind."""
    monkeypatch.setattr("gnomon_exporter.celery_listener._WAIT", 0.2)
    subject = collector(redis_url(port))
    until(subject, lambda page: page["gnomon_celery_listening"] == 1)
    thread = subject._listener._thread
    del subject
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_silent_broker_costs_no_more_than_its_timeout(scheme):
    """A broker that is black-holed, not refused: the scrape is over in time, each time."""
    with silent_server() as port:
        subject = collector(f"{scheme}://127.0.0.1:{port}", server_timeout=0.3)
        guard = Guard("celery", subject, timeout=5, cap=10_000, helpers=Helpers())
        for _ in range(3):
            started = time.monotonic()
            outcome = guard.finish(guard.begin(), time.monotonic() + 5)
            assert time.monotonic() - started < 1.5
            assert outcome.success is False
            assert "no answer in time" in outcome.error
            assert "gnomon_celery_listening 0" in "".join(outcome.texts)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_thousand_scrapes_of_a_broker_that_is_down_leave_nothing_open(scheme):
    """Threads stay as they are, and so do file descriptors."""
    relay = Relay(0)  # a port where nobody listens
    subject = collector(f"{scheme}://127.0.0.1:{relay.port}", server_timeout=0.5)
    Scraped(subject)
    threads, files = threading.active_count(), _open_files()
    for _ in range(1000):
        assert "refused" in Scraped(subject).error.lower()
    assert threading.active_count() <= threads
    assert _open_files() <= files + 2


def _open_files():
    return len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))


def test_the_password_is_shown_nowhere(tmp_path):
    """Neither on the page nor in what is said of a failure."""
    with redis_server(tmp_path, "--requirepass", "right") as (port, _):
        subject = collector(f"redis://:{SECRET}@127.0.0.1:{port}/0")
        page = until(subject, lambda _: subject._listener.problem)
        assert "login refused" in page.error
        assert SECRET not in page.error + page.text + subject._listener.problem
        right = collector(f"redis://:right@127.0.0.1:{port}/0")
        until(right, lambda page: page["gnomon_celery_listening"] == 1 and not page.error)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"address": f"http://:{SECRET}@host"}, "address: expected redis"),
        ({"address": f"amqp://u:{SECRET}#@host"}, "address: expected amqp"),
        ({"address": f"amqp://u:{SECRET}@host?x=1"}, "address: expected amqp"),
        ({"address": f"amqp://u:{SECRET}@host:port"}, "address: expected amqp"),
        ({"address": "amqp://u@host", "username": "v"}, "username: "),
        ({"address": f"amqp://u:{SECRET}@host", "password_file": "f"}, "password_file: "),
        ({"server_timeout": 0.0}, "server_timeout: "),
        ({"label_limit": 0}, "label_limit: "),
        ({"buckets": ("1", "x")}, "buckets: "),
        ({"buckets": ("2", "1")}, "buckets: "),
        ({"queue_wait_buckets": ("1", "inf")}, "queue_wait_buckets: "),
        ({"priority_steps": ()}, "priority_steps: "),
        ({"priority_steps": ("high",)}, "priority_steps: "),
    ],
)
def test_a_bad_setting_is_named(settings, reason):
    """The message begins with the setting's name and shows no password."""
    with pytest.raises(ValueError, match=reason) as failure:
        CeleryCollector(Paths(), **settings)
    assert SECRET not in str(failure.value)


def test_a_missing_extra_is_named(monkeypatch):
    """Whoever watches a RabbitMQ is told what to install."""
    monkeypatch.setitem(sys.modules, "amqp", None)
    with pytest.raises(ValueError, match="extra: celery"):
        CeleryCollector(Paths(), address="amqp://host")
    assert CeleryCollector(Paths(), address="redis://host")
