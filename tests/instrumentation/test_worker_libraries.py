"""Jobs of Celery and RQ: real workers on a real Redis, on one page with all their processes."""

import contextlib
import re
import sys
import textwrap
import time
import urllib.request

import pytest
import redis
import rq
from celery import Celery
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import gnomon
import otlp
import servers
from caches import redis_server

#: Seconds for a worker to start and to work off a few jobs, on a machine that is busy.
PATIENCE = 90

TASKS = """
    import os
    import time
    from celery import Celery
    from celery.exceptions import SoftTimeLimitExceeded
    from celery.signals import worker_init
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client import Counter
    import gnomon

    app = Celery("tasks", broker=os.environ["TEST_BROKER"], set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True
    own = Counter("own", "The program's own.")
    seen = Counter("seen", "Traces that a job was a part of.", ["trace_id"])

    @worker_init.connect
    def expose(**_):
        gnomon.expose(service="tasks", port=int(os.environ["TEST_PORT"]))

    @app.task(name="add")
    @gnomon.job("add")
    def add(a, b):
        own.inc()
        trace_id = trace.get_current_span().get_span_context().trace_id
        if trace_id:
            seen.labels(f"{trace_id:032x}").inc()
        return a + b

    @app.task(name="again", bind=True, max_retries=1)
    @gnomon.job("again")
    def again(self):
        if not self.request.retries:
            raise self.retry(countdown=0)

    @app.task(name="auto", autoretry_for=(OSError,), retry_backoff=False,
              default_retry_delay=0, max_retries=2)
    @gnomon.job("auto")
    def auto():
        raise OSError("as ordered")

    @app.task(name="long", soft_time_limit=1)
    @gnomon.job("long")
    def long():
        time.sleep(60)
"""

JOBS = """
    import time
    from opentelemetry import trace
    from prometheus_client import Counter
    import gnomon

    own = Counter("own", "The program's own.")
    seen = Counter("seen", "Traces that a job was a part of.", ["trace_id"])

    @gnomon.job("done")
    def done():
        own.inc()
        trace_id = trace.get_current_span().get_span_context().trace_id
        if trace_id:
            seen.labels(f"{trace_id:032x}").inc()

    @gnomon.job("broken")
    def broken():
        raise ValueError("as ordered")

    @gnomon.job("long")
    def long():
        time.sleep(60)
"""

WORKER = """
    import os
    import redis
    import rq
    import gnomon
    import jobs

    gnomon.expose(service="jobs", port=int(os.environ["TEST_PORT"]))
    connection = redis.Redis.from_url(os.environ["TEST_BROKER"])
    rq.Worker(["high"], connection=connection).work(with_scheduler=True)
"""


class Page:
    """A page, asked for again and again."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.text = ""

    def value(self, series):
        """Return a series' value on the page that was read last."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.text, re.MULTILINE)
        return float(found[1]) if found else None

    def runs(self, name, outcome):
        """Return how many runs of a job ended so."""
        return self.value(f'gnomon_job_runs_total{{job_name="{name}",outcome="{outcome}"}}')

    def until(self, condition, server):
        """Read it until a condition holds."""
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(self.url, timeout=PATIENCE) as answer:
                    self.text = answer.read().decode()
                if condition():
                    return
            assert time.monotonic() < end, server.last_words() + self.text[-6000:]
            time.sleep(0.1)


@pytest.fixture
def broker(tmp_path):
    """A Redis with nothing in it: its address."""
    with redis_server(tmp_path) as (port, _):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def submitter():
    """Return a span of who submits, which is current, and its trace id."""
    with TracerProvider().get_tracer("test").start_as_current_span("submit") as span:
        yield trace.format_trace_id(span.get_span_context().trace_id)


def running(tmp_path, broker, words, environment=(), **programs):
    """Return a worker for a ``with`` block, and its page."""
    for name, text in programs.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    (tmp_path / "run").mkdir()
    port = servers.free_port()
    env = {
        "PYTHONPATH": str(tmp_path),
        "TEST_BROKER": broker,
        "TEST_PORT": str(port),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        **dict(environment),
    }
    server = servers.Server(
        [sys.executable, "-m", *words], log=tmp_path / "worker.log", env=env, cwd=tmp_path
    )
    return server, Page(port)


@pytest.mark.parametrize("options", [("--max-tasks-per-child=3",), ("--pool=threads",)])
@pytest.mark.timeout(300)
def test_tasks_of_celery(options, tmp_path, broker, submitter):
    """Every task counts, in children that are replaced after three tasks, and in threads."""
    server, page = running(
        tmp_path,
        broker,
        ("celery", "-A", "tasks", "worker", "--concurrency=2", "--hostname=a@b", *options),
        tasks=TASKS,
    )
    app = Celery("test", broker=broker, set_as_current=False)
    with server:
        for number in range(20):
            app.send_task("add", (number, 1))
        app.send_task("again")
        app.send_task("auto")
        if "threads" not in options[0]:  # threads know no soft limit
            app.send_task("long")
            page.until(lambda: page.runs("long", "timeout") == 1, server)
        app.send_task("add", (1, 1), headers=gnomon.trace_headers())
        page.until(lambda: page.runs("add", "success") == 21, server)
        page.until(lambda: page.runs("again", "success") == 1, server)
        page.until(lambda: page.runs("auto", "failure") == 3, server)
        assert page.runs("again", "failure") == 1
        assert page.value('gnomon_job_retries_total{job_name="again"}') == 1
        assert page.value('gnomon_job_retries_total{job_name="auto"}') == 2
        assert page.value('gnomon_job_retries_total{job_name="add"}') == 0
        assert page.value("own_total") == 21
        assert page.value(f'seen_total{{trace_id="{submitter}"}}') == 1
        last = page.value('gnomon_job_last_success_timestamp_seconds{job_name="add"}')
        assert last == pytest.approx(time.time(), abs=PATIENCE)
        assert page.value('gnomon_job_active{job_name="add"}') == 0


@pytest.mark.timeout(300)
def test_jobs_of_rq(tmp_path, broker, submitter, until):
    """Each job has a process of its own that ends without a word; counts and spans come through."""
    with otlp.http_receiver() as received:
        _jobs_of_rq(tmp_path, broker, submitter, received)
        until(lambda: submitter in received.traces(), PATIENCE)
        (told,) = received.traces()[submitter]
        assert (told.service, told.span.name) == ("jobs", "job done")
        assert otlp.attributes(told.span)["gnomon.job.outcome"] == "success"


def _jobs_of_rq(tmp_path, broker, submitter, received):
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.address}
    server, page = running(tmp_path, broker, ("worker",), environment, jobs=JOBS, worker=WORKER)
    queue = rq.Queue("high", connection=redis.Redis.from_url(broker))
    for _ in range(5):
        queue.enqueue("jobs.done")
    queue.enqueue("jobs.broken", retry=rq.Retry(max=2))
    queue.enqueue("jobs.long", job_timeout=1)
    queue.enqueue("jobs.done", meta=gnomon.trace_headers())
    with server:
        page.until(lambda: page.runs("done", "success") == 6, server)
        page.until(lambda: page.runs("broken", "failure") == 3, server)
        page.until(lambda: page.runs("long", "timeout") == 1, server)
        assert page.value('gnomon_job_retries_total{job_name="broken"}') == 2
        assert page.value("own_total") == 6
        assert page.value(f'seen_total{{trace_id="{submitter}"}}') == 1
        last = page.value('gnomon_job_last_success_timestamp_seconds{job_name="done"}')
        assert last == pytest.approx(time.time(), abs=PATIENCE)
