"""Names from Redis, queues, tasks and processes, chosen by somebody who means harm."""

import base64
import json
import subprocess
import sys

import pytest
import redis as redis_py
from prometheus_client.parser import text_string_to_metric_families
from running_exporter import running_exporter

from caches import redis_server
from gnomon_exporter.celery_messages import wrapped
from servers import free_port

CAP = 2000
COUNT = 10_000
LIMIT = 1024  # characters of a label's value
SECRET = "hunter2/names@home"
IN_URL = "hunter2%2Fnames%40home"
QUOTES, NEWLINE, BYTES = b'first "q" \\', b"first\nline\r\t\x00", b"first \xff\xfe\xed\xa0\x80"
LONG = b"first " + b"l" * 1_000_000
GROUP = 'g"\n\\ü'


@pytest.fixture
def broker(tmp_path):
    """A Redis with a password, full of hostile names: its port, and a client."""
    with redis_server(tmp_path, "--requirepass", SECRET) as (port, _):
        client = redis_py.Redis(port=port, password=SECRET)
        filling = client.pipeline(transaction=False)
        for name in (QUOTES, NEWLINE, BYTES, LONG):
            filling.set(name, "1")
            filling.sadd("rq:queues", b"rq:queue:" + name)
            filling.rpush(b"rq:queue:" + name, "job")
            filling.sadd("rq:workers", b"rq:worker:" + name)
            filling.hset(b"rq:worker:" + name, mapping={"state": name, "queues": name})
        for number in range(COUNT):
            filling.set(b'k"\n\\\xff%d' % number, "1")
            filling.sadd("rq:queues", b'rq:queue:z"\n\\\xff%d' % number)
        filling.execute()
        yield port, client


@pytest.fixture
def process():
    """A process whose name is hostile: it closes the bracket that /proc puts around it."""
    code = (
        'open("/proc/self/comm", "wb").write(b\') R "\\n\\xff\\\\ 1\'); '
        "print(flush=True); import time; time.sleep(600)  # hostile-process"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        yield
        running.kill()


def events():
    """Messages of Celery's with ten thousand hostile tasks, and one with a name of 1 MB."""
    tasks = [
        {
            "type": "task-received",
            "uuid": str(number),
            "hostname": f'w@h"\n\\{number}',
            "name": f'task"\n\\\ud800{number}' if number else "task" + "l" * 900_000,
            "timestamp": 1.0,
        }
        for number in range(COUNT)
    ]
    for start in (0, *range(1, COUNT, 100)):
        batch = tasks[start : start + 100] if start else tasks[:1]
        yield wrapped(json.dumps(batch).encode(), "celeryev")


def config(port, nowhere):
    """Return a configuration with passwords in every address that can have one."""
    url = f"redis://:{IN_URL}@127.0.0.1:{port}"
    wrong = f"redis://hunter2user:{IN_URL}@127.0.0.1:{port}"
    down = f"redis://:{IN_URL}@127.0.0.1:{nowhere}/0"
    amqp = f"amqp://guest:{IN_URL}@127.0.0.1:{nowhere}//"
    queues = [f'queue"\n\\{number}' for number in range(3000)]
    return f"""
disable_defaults: true
collector_timeout: 40s
series_limit: {CAP}
collectors:
  redis:
    enabled: true
    address: "{url}"
    key_patterns: ["first*", "*"]
    key_limit: 20000
    server_timeout: 30s
    targets: {{wrong: {{address: "{wrong}"}}, down: {{address: "{down}"}}}}
  rq:
    enabled: true
    address: "{url}"
    queue_limit: 20000
    server_timeout: 30s
    targets: {{wrong: {{address: "{wrong}"}}, down: {{address: "{down}"}}}}
  celery:
    enabled: true
    address: "{url}"
    queues: {json.dumps(queues)}
    queue_limit: 5000
    server_timeout: 30s
    targets:
      wrong: {{address: "{wrong}"}}
      down: {{address: "{down}"}}
      amqp: {{address: "{amqp}"}}
  processes:
    groups: [{json.dumps(GROUP + "=hostile-process")}]
"""


def shown(name):
    """Return a name as the page shows it, unless it is too long."""
    return name.decode("utf-8", "backslashreplace")


def test_hostile_names_leave_the_page_whole(tmp_path, broker, process, program):
    """Quotes, newlines, bytes that are no UTF-8, a name of 1 MB, and ten thousand of them.

    The page parses, each name is told apart, the cap holds and is counted. The passwords of all
    the addresses, right and wrong, are on none of the exporter's pages and not in its log.
    """
    del process
    port, client = broker
    with running_exporter(tmp_path, config(port, free_port()), timeout=60) as exporter:
        exporter.until(lambda page: page.get("gnomon_celery_listening") == 1)
        for message in events():
            client.publish("/0.celeryev/task.received", message)
        exporter.until(lambda page: page["gnomon_celery_events_total"] == COUNT)
        page = exporter.page
        pages = {
            path: exporter.get(path)
            for path in (
                *("/", "/config", "/nowhere", "/-/healthy"),
                *(
                    f"/probe?collector={collector}&target={target}"
                    for collector in ("redis", "rq", "celery")
                    for target in ("wrong", "down", "amqp")
                ),
            )
        }
        pages |= {"/ afterwards": exporter.get("/"), "/metrics": exporter.get("/metrics")}
        log = exporter.log

    families = {family.name: family.samples for family in text_string_to_metric_families(page)}
    assert sum(map(len, families.values())) == sum(
        line[:1] not in ("", "#") for line in page.split("\n")
    )
    assert all(len(samples) <= CAP for samples in families.values())
    assert len(page) < 8_000_000
    linted = subprocess.run(
        [*program("promtool"), "check", "metrics"],
        input=page.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert linted.returncode in (0, 3)  # 3: it could read the page, and has wishes
    assert b"parsing" not in linted.stdout + linted.stderr

    def labels(family, label):
        return {sample.labels[label] for sample in families[family]}

    for family, label in (("redis_key_size", "key"), ("rq_jobs", "queue"), ("rq_workers", "name")):
        found = labels(family, label)
        assert {shown(QUOTES), shown(NEWLINE), shown(BYTES)} <= found, family
        (long,) = (name for name in found if name.startswith("first lll"))
        assert len(long) == LIMIT, family
    assert len(families["redis_key_size"]) == len(families["rq_jobs"]) == CAP
    (group,) = labels("namedprocess_namegroup_num_procs", "groupname")
    assert group == GROUP
    assert families["namedprocess_namegroup_num_procs"][0].value == 1
    success, dropped = (
        {sample.labels["collector"]: sample.value for sample in families[name]}
        for name in ("gnomon_scrape_collector_success", "gnomon_scrape_dropped_series")
    )
    assert success == dict.fromkeys(("celery", "processes", "redis", "rq"), 1)
    # Size and memory of each key; the jobs of each queue in six states; one scrape or more.
    assert dropped["redis"] >= 2 * (COUNT - CAP)
    assert dropped["rq"] % (6 * (COUNT + 4) - CAP) == 0 < dropped["rq"]
    assert dropped["celery"] > 0 == dropped["processes"]

    assert log.count("failed") >= 7  # each target that is wrong or down
    assert "<secret>" in pages["/config"]
    for where, text in {**pages, "first page": page, "log": log}.items():
        for secret in ("hunter2/", "hunter2%", base64.b64encode(SECRET.encode()).decode()):
            assert secret not in text, where


def test_password_in_an_address_that_is_none_stays_out_of_the_complaint(tmp_path):
    """A configuration that is refused is printed for all to see."""
    path = tmp_path / "exporter.yml"
    for collector, address in (
        ("redis", f"redis://:{SECRET}@127.0.0.1:6379"),  # not escaped
        ("rq", f"http://:{IN_URL}@127.0.0.1:6379"),
        ("celery", f"amqp://guest:{SECRET}@[127.0.0.1"),
    ):
        path.write_text(f'collectors: {{{collector}: {{address: "{address}"}}}}')
        words = [sys.executable, "-m", "gnomon_exporter", "check-config", f"--config.file={path}"]
        checked = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        assert checked.returncode == 2, collector
        assert f"collectors.{collector}.address" in checked.stderr
        assert "hunter2" not in checked.stdout + checked.stderr
