"""A thousand scrapes of an exporter whose GPU driver, Redis and brokers are gone or hang."""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from running_exporter import Use, running_exporter
from series import series_of

from caches import memcached_server, redis_server, say, silent_server
from servers import ROOT, free_port

PROGRAM = Path(__file__).with_name("hostile_services.py")
SECOND = 'uuid="22222222-aaaa-bbbb-cccc-000000000000"'
PARTED = 'uuid="33333333-aaaa-bbbb-cccc-000000000000"'
FALLEN = f'nvidia_smi_xid_errors_total{{{SECOND},xid="79"}}'
BROKEN = ("gpu_hung", "redis", "celery", "rq")
SUCCESS = 'gnomon_scrape_collector_success{{collector="{}"}}'.format

CONFIG = """
disable_defaults: true
collectors:
  cpu: {{}}
  loadavg: {{}}
  meminfo: {{}}
  stat: {{}}
  processes: {{names: [memcached]}}
  memcached: {{address: "127.0.0.1:{memcached}"}}
  gpu: {{}}
  gpu_hung: {{}}
  redis: {{address: "redis://127.0.0.1:{silent}", server_timeout: 30ms}}
  celery: {{address: "redis://127.0.0.1:{down}/0"}}
  rq: {{address: "redis://127.0.0.1:{down}/0"}}
"""


@pytest.mark.timeout(300)
def test_a_thousand_scrapes_without_driver_redis_and_broker(tmp_path):
    """With a hung NVML, a Redis that swallows everything, and a broker that is down.

    In the middle a GPU falls off the bus. Threads, file descriptors and memory stay flat, every
    scrape is back inside its deadline, every other series is on every page, and what comes back
    is back without a restart.
    """
    down = free_port()
    lost, released = tmp_path / "lost", tmp_path / "released"
    with ExitStack() as stack:
        memcached, _ = stack.enter_context(memcached_server(tmp_path))
        swallowing = ExitStack()
        # Nobody accepts: the first connections wait in the kernel's queue, without an answer;
        # once that is full, SYNs go nowhere.
        silent = stack.enter_context(swallowing).enter_context(silent_server())
        config = CONFIG.format(memcached=memcached, silent=silent, down=down)
        env = {"GPU_SCRIPT": str(tmp_path), "PYTHONPATH": str(ROOT / "tests")}
        exporter = stack.enter_context(
            running_exporter(tmp_path, config, str(PROGRAM), timeout=2, env=env)
        )
        exporter.until(lambda page: page.get(SUCCESS("celery")) == 0 and SECOND in exporter.page)
        for _ in range(50):
            whole = exporter.scrape()
        uses = []
        for number in range(1000):
            if number == 300:
                lost.touch()
            elif number == 600:
                lost.unlink()
            page = exporter.scrape()
            uses.append(exporter.use())
            assert page["redis_up"] == 0
            assert [page[SUCCESS(name)] for name in BROKEN] == [0] * len(BROKEN)
            missing = whole.keys() - page.keys()
            assert all(SECOND in series for series in missing)
            assert number >= 300 or not missing
            if number == 599:
                assert missing
                assert page[SUCCESS("gpu")] == 0
                assert page[FALLEN] == 1
        early, late = (Use(*map(max, *part)) for part in (uses[:50], uses[-50:]))
        # A thread may just be beginning or ending; a leak at one scrape in a hundred makes nine.
        assert late.threads <= early.threads + 2
        assert late.descriptors <= early.descriptors + 2
        assert late.resident < early.resident + 2
        back = exporter.until(lambda page: page[SUCCESS("gpu")] == 1)
        assert whole.keys() <= back.keys()
        assert back[FALLEN] == 1
        # News, not repetitions: one line for each that fails.
        news = exporter.log
        for name in ("gpu", *BROKEN):
            assert news.count(f"collector {name} failed") == 1, name

        released.touch()
        swallowing.close()
        stack.enter_context(redis_server(tmp_path, port=silent))
        stack.enter_context(redis_server(tmp_path, port=down))
        back = exporter.until(
            lambda page: (
                page["redis_up"] == page["gnomon_celery_listening"] == 1
                and all(page[SUCCESS(name)] == 1 for name in BROKEN)
            )
        )
        assert whole.keys() <= back.keys()
        assert PARTED in exporter.page
        assert series_of(exporter.page) == back
    for name in ("gpu", *BROKEN):
        assert f"collector {name} works again" in exporter.log


def test_restarted_redis_shows_its_raw_counters(tmp_path):
    """While it is away redis_up is 0 and nothing stale stands; then its counters begin anew.

    They fall to what the new server itself says: nothing is clamped or carried over.
    """
    counters = (
        "redis_commands_processed_total",
        "redis_connections_received_total",
        'redis_commands_total{cmd="set"}',
        'redis_commands_duration_seconds_total{cmd="set"}',
    )
    with ExitStack() as stack:
        with redis_server(tmp_path) as (port, _):
            address = f"redis://127.0.0.1:{port}"
            config = (
                "disable_defaults: true\n"
                f'collectors: {{redis: {{address: "{address}"}}, rq: {{address: "{address}"}}}}'
            )
            exporter = stack.enter_context(running_exporter(tmp_path, config))
            say(port, *(["SET key value"] * 1000))
            for _ in range(20):  # connections
                say(port, "SADD rq:queues rq:queue:mail")
            say(port, "RPUSH rq:queue:mail a")
            before = exporter.scrape()
            assert before["redis_up"] == before[SUCCESS("rq")] == 1
            assert before[counters[2]] == 1000
            assert before['rq_jobs{queue="mail",status="queued"}'] == 1
        away = exporter.scrape()
        assert away["redis_up"] == away[SUCCESS("redis")] == away[SUCCESS("rq")] == 0
        assert [name for name in away if name.startswith(("redis_", "rq_"))] == ["redis_up"]

        stack.enter_context(redis_server(tmp_path, port=port))
        say(port, "SET key value")
        back = exporter.scrape()
        assert back["redis_up"] == back[SUCCESS("redis")] == back[SUCCESS("rq")] == 1
        assert all(back[name] < before[name] for name in counters)
        assert back[counters[2]] == 1
        info = say(port, "INFO ALL").decode()
        assert back[counters[3]] == int(re.search(r"cmdstat_set:.*?usec=(\d+)", info)[1]) / 1e6
        for counter, field in zip(
            counters, ("commands_processed", "connections_received"), strict=False
        ):
            assert 0 < back[counter] <= int(re.search(rf"total_{field}:(\d+)", info)[1]) < 100
        assert not any(name.startswith("rq_jobs") for name in back)
