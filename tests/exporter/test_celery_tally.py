"""What Celery's events come to, event by event."""

import json
import time

import pytest
from series import series_of

from gnomon_exporter.celery_labels import TaskSeries, shortened
from gnomon_exporter.celery_messages import Content, events_in, unwrapped
from gnomon_exporter.celery_tally import Tally
from gnomon_exporter.exposition import render

NODE = "anna@one"


def tally(*, birth=0.0, limit=500, **settings):
    """Return a tally whose bounds are small."""
    series = TaskSeries(
        limit=limit, birth=birth, runtime_buckets=[0.5, 1.0], wait_buckets=[1.0, 10.0]
    )
    bounds = {"task_limit": 100, "worker_timeout": 300, "purge_after": 600}
    return Tally(series, default_queue="celery", **(bounds | settings))


def page(subject, *, is_listening=True):
    """Return what it yields, as a parser reads it."""
    return series_of(render(subject.families(is_listening=is_listening)).decode())


def event(kind, uuid="1", hostname=NODE, **fields):
    """Return an event as Celery writes it."""
    return {"type": kind, "uuid": uuid, "hostname": hostname, "timestamp": 100.0, **fields}


def heartbeat(hostname=NODE, pid=7, **fields):
    """Return a worker's sign of life."""
    return {"type": "worker-heartbeat", "hostname": hostname, "pid": pid, "active": 0, **fields}


def sent(uuid="1", name="add", queue="mail", **fields):
    """Return what a client says of a task."""
    return event("task-sent", uuid, "gen1@web", name=name, queue=queue, **fields)


def received(uuid="1", name="add", **fields):
    """Return the first that a worker says of a task."""
    return event("task-received", uuid, name=name, **fields)


def take(subject, *events):
    """Hand events over and return the page."""
    for one in events:
        subject.take(one)
    return page(subject)


def test_a_task_is_counted_under_its_name_host_and_queue():
    """Only the first events name the task; the later ones are of the same."""
    series = take(
        tally(),
        sent(),
        received(timestamp=100.1),
        event("task-started", timestamp=103.0),
        event("task-succeeded", runtime=0.7),
    )
    labels = '{name="add",hostname="one",queue_name="mail"}'
    for kind, count in {"received": 1, "started": 1, "succeeded": 1, "revoked": 0}.items():
        assert series[f"celery_task_{kind}_total{labels}"] == count
    assert series['celery_task_sent_total{name="add",hostname="web",queue_name="mail"}'] == 1
    assert f"celery_task_sent_total{labels}" not in series
    assert series[f"celery_task_runtime_sum{labels}"] == 0.7
    assert series[f"celery_task_runtime_count{labels}"] == 1
    bucket = 'celery_task_runtime_bucket{name="add",hostname="one",queue_name="mail",le="%s"}'
    assert [series[bucket % le] for le in ("0.5", "1.0", "+Inf")] == [0, 1, 1]
    assert series[f"celery_task_queue_wait_time_sum{labels}"] == 3.0


def test_the_wait_of_a_task_begins_when_it_is_due():
    """A countdown is no wait, and clocks that differ make no negative one."""
    subject = tally()
    due = "1970-01-01T00:01:50+00:00"  # 110
    take(subject, sent("1", eta=due), event("task-started", "1", timestamp=112.0))
    series = take(subject, sent("2", timestamp=200.0), event("task-started", "2", timestamp=199.0))
    labels = '{name="add",hostname="one",queue_name="mail"}'
    assert series[f"celery_task_queue_wait_time_sum{labels}"] == 2.0
    assert series[f"celery_task_queue_wait_time_count{labels}"] == 2


def test_a_failure_is_counted_by_its_exception():
    """The class is what stands before the parenthesis; anything else is unknown."""
    series = take(
        tally(),
        received("1"),
        received("2"),
        event("task-failed", "1", exception="ValueError('no')"),
        event("task-failed", "2", exception="no parenthesis"),
    )
    for exception, count in {"ValueError": 1, "UnknownException": 1, "": 0}.items():
        labels = f'{{name="add",hostname="one",exception="{exception}",queue_name="celery"}}'
        assert series[f"celery_task_failed_total{labels}"] == count


def test_a_new_series_stands_at_zero_for_a_while():
    """What is born at 1 never shows in increase()."""
    subject = tally(birth=0.2)
    name = 'celery_task_received_total{name="add",hostname="one",queue_name="celery"}'
    assert take(subject, received())[name] == 0
    time.sleep(0.25)
    assert page(subject)[name] == 1
    failed = 'celery_task_failed_total{name="add",hostname="one",exception="E",queue_name="celery"}'
    assert take(subject, event("task-failed", exception="E()"))[failed] == 0
    time.sleep(0.25)
    assert page(subject)[failed] == 1


def in_flight(series):
    """Return the tasks in flight by state."""
    return {
        key.partition("state=")[2]: value
        for key, value in series.items()
        if key.startswith("gnomon_celery_tasks_in_flight")
    }


def test_a_task_is_in_flight_until_it_ends():
    """Sent is not yet in flight; every way to end is an end."""
    subject = tally()
    assert in_flight(take(subject, sent())) == {}
    assert in_flight(take(subject, received())) == {'"received"}': 1}
    assert in_flight(take(subject, event("task-started"))) == {'"started"}': 1}
    for number, end in enumerate(("succeeded", "failed", "rejected", "revoked", "retried")):
        take(subject, received(f"end {number}"))
        take(subject, event(f"task-{end}", f"end {number}"))
    assert in_flight(page(subject)) == {'"started"}': 1}


def test_a_retry_waits_from_its_own_sending():
    """It comes under the same name, sent before the first attempt has ended."""
    series = take(
        tally(),
        sent(),
        event("task-started", timestamp=101.0),
        sent(timestamp=102.0, eta="1970-01-01T00:01:45"),
        event("task-retried", timestamp=102.1),
        event("task-started", timestamp=106.0),
    )
    labels = '{name="add",hostname="one",queue_name="mail"}'
    assert series[f"celery_task_queue_wait_time_sum{labels}"] == 2.0
    assert in_flight(series) == {'"started"}': 1}


def test_a_replaced_worker_leaves_nothing_in_flight():
    """Another process under the same name has none of the former one's tasks; its counts go on."""
    subject = tally()
    take(subject, heartbeat(pid=7), received(), event("task-started"))
    assert in_flight(take(subject, {**heartbeat(pid=7), "type": "worker-online"})) != {}
    series = take(subject, {**heartbeat(pid=8), "type": "worker-online"})
    assert in_flight(series) == {}
    name = 'celery_task_started_total{name="add",hostname="one",queue_name="celery"}'
    assert series[name] == 1


def test_workers_of_one_host_are_added_up():
    """The label is the host, as celery-exporter has it, and no worker overwrites another."""
    subject = tally()
    series = take(subject, heartbeat("a@one", active=2), heartbeat("b@one", active=3))
    assert series['celery_worker_tasks_active{hostname="one"}'] == 5
    series = take(subject, {**heartbeat("b@one"), "type": "worker-offline"})
    assert series['celery_worker_up{hostname="one"}'] == 1
    assert series['celery_worker_tasks_active{hostname="one"}'] == 2
    series = take(subject, {**heartbeat("a@one"), "type": "worker-offline"})
    assert series['celery_worker_up{hostname="one"}'] == 0


def test_a_silent_worker_is_down_and_then_gone():
    """It is down after worker_timeout, and after purge_after nothing of its host is left."""
    subject = tally(worker_timeout=0.1, purge_after=0.4)
    take(subject, heartbeat(active=1), received(), event("task-started"))
    time.sleep(0.15)
    series = page(subject)
    assert series['celery_worker_up{hostname="one"}'] == 0
    assert series['celery_worker_tasks_active{hostname="one"}'] == 0
    assert in_flight(series) == {}
    time.sleep(0.3)
    assert not [key for key in page(subject) if "one" in key]


def test_nobody_is_silent_while_we_do_not_listen():
    """Without a broker nothing is said of workers; afterwards they have their time again."""
    subject = tally(worker_timeout=0.2)
    take(subject, heartbeat(), received(), event("task-started"))
    time.sleep(0.25)
    assert not [key for key in page(subject, is_listening=False) if "celery_worker" in key]
    subject.resume()
    assert page(subject)['celery_worker_up{hostname="one"}'] == 1


def test_a_task_whose_end_may_have_been_missed_is_not_in_flight():
    """It is again with its next event; its name is still known then."""
    subject = tally()
    take(subject, received(), event("task-started"))
    subject.resume()
    assert in_flight(page(subject)) == {}
    assert in_flight(take(subject, event("task-started"))) == {'"started"}': 1}


def test_a_task_that_we_know_nothing_of_is_called_unknown():
    """Its first events came before we listened."""
    series = take(tally(), event("task-succeeded", runtime=1))
    labels = '{name="unknown",hostname="one",queue_name="celery"}'
    assert series[f"celery_task_succeeded_total{labels}"] == 1


def test_the_table_of_tasks_is_capped():
    """Of ten thousand tasks that never end, the oldest are forgotten, and counted."""
    subject = tally(task_limit=100)
    for number in range(10_000):
        subject.take(received(str(number)))
    series = page(subject)
    assert in_flight(series) == {'"received"}': 100}
    assert series["gnomon_celery_tasks_forgotten_total"] == 9900


def test_a_flood_of_names_stays_within_the_cap():
    """Ten thousand names, hosts and queues: what comes beyond the cap is counted as one."""
    subject = tally(limit=50)
    for number in range(10_000):
        subject.take(sent(str(number), name=f't"\n\\{number}', queue=f"q{number}"))
        subject.take(received(str(number), name=f"t{number}", hostname=f"w@host{number}"))
        subject.take(heartbeat(f"w@host{number}"))
        subject.take(event("task-failed", str(number), exception=f"E{number}()"))
    series = page(subject)
    for name in ("sent", "received", "failed"):
        family = [key for key in series if key.startswith(f"celery_task_{name}_total")]
        assert len(family) <= 300, name
        assert sum(series[key] for key in family) == 10_000, name
    assert series["gnomon_celery_events_overflowed_total"] > 0
    assert len(subject.known_queues()) == 1000


def test_many_exceptions_of_one_task_stay_within_the_cap():
    """A program can make classes as it likes."""
    subject = tally(limit=50)
    for number in range(10_000):
        subject.take(event("task-failed", str(number), exception=f"E{number}()"))
    family = {
        key: value for key, value in page(subject).items() if key.startswith("celery_task_failed")
    }
    assert len(family) <= 102
    assert sum(family.values()) == 10_000


def test_purging_makes_room():
    """What a host took of the cap is free again once the host is gone."""
    subject = tally(limit=2, purge_after=0.1)
    for _ in range(3):
        take(subject, received("1", name="a"), event("task-failed", "1", exception="E()"))
        take(subject, received("2", name="b"), event("task-failed", "2", exception="F()"))
        time.sleep(0.15)
        assert not [key for key in page(subject) if "one" in key]
    assert page(subject)["gnomon_celery_events_overflowed_total"] == 0


def test_names_that_utf8_cannot_spell_stay_apart():
    """JSON can: they would be one series twice."""
    subject = tally()
    series = take(subject, received("1", name="a\ud800"), received("2", name="a\ud801"))
    assert len([key for key in series if key.startswith("celery_task_received_total")]) == 2


def test_a_name_of_a_megabyte_is_kept_short():
    """And two of them stay apart."""
    names = {shortened("x" * 1_000_000 + letter) for letter in "ab"}
    assert len(names) == 2
    assert all(len(name) == 200 for name in names)


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        7,
        [],
        {},
        {"type": "task-sent"},
        {"type": 3, "hostname": "a"},
        {"type": "task-sent", "hostname": ""},
        {"type": "task-sent", "hostname": ["a"]},
    ],
)
def test_what_is_no_event_is_counted_as_such(nonsense):
    """It harms nothing else."""
    assert take(tally(), nonsense)["gnomon_celery_events_rejected_total"] == 1


@pytest.mark.parametrize(
    "odd",
    [
        received(uuid=None, name=7, eta="yesterday", queue={}),
        sent(name="\ud800", queue="\udfff", eta="9999-99-99", timestamp="now"),
        event("task-succeeded", runtime=float("nan")),
        event("task-succeeded", runtime=10**400),
        event("task-succeeded", runtime="long"),
        event("task-failed", exception={"a": 1}),
        event("task-started", timestamp=float("inf")),
        heartbeat(active="many"),
        heartbeat(active=10**400, pid=[]),
        event("task-of-my-own"),
        event("my-event"),
        {"type": "worker-", "hostname": "@"},
    ],
)
def test_odd_fields_do_not_spoil_the_page(odd):
    """The page parses, and no sum is infinite or no number."""
    subject = tally()
    take(subject, odd, odd)
    series = take(subject, received("9"), event("task-succeeded", "9", runtime=0.25))
    assert series['celery_task_runtime_sum{name="add",hostname="one",queue_name="celery"}'] == 0.25
    assert series["gnomon_celery_events_rejected_total"] == 0
    assert all(abs(value) < 1e300 for value in series.values())


def test_only_json_is_read():
    """A pickle would run what its sender likes; what is too large is not even parsed."""
    assert events_in(Content("application/x-python-serialize", b"cos\nsystem\n.")) is None
    assert events_in(Content("application/json", b" " * (1 << 21))) is None
    assert events_in(Content("application/json", b"[" * 100_000)) is None
    assert events_in(Content("application/json", b"{")) is None
    assert events_in(Content("application/json", b"[1, 2]")) == [1, 2]
    assert events_in(Content("application/json", b'{"a": 1}')) == [{"a": 1}]


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"7",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"body": 7, "properties": {}, "content-type": "application/json"}).encode(),
        json.dumps({"body": "!", "properties": [], "content-type": "x"}).encode(),
        json.dumps({"body": "a", "properties": {"body_encoding": "base64"}}).encode(),
    ],
)
def test_an_envelope_of_nonsense_is_nothing(envelope):
    """Whatever stands in it."""
    assert unwrapped(envelope) is None
