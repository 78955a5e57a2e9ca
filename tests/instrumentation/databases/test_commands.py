"""gnomon queries, from files, an application and Prometheus."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import httpx
import pytest
import yaml
from click.testing import CliRunner
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import event

import gnomon
import servers
from gnomon.databases.commands import queries


@pytest.fixture
def command():
    """Return a function that runs the command and gives its status and output."""

    def run(*words, **env):
        done = CliRunner().invoke(queries, words, env=env)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run


@pytest.fixture
def slow(sleepy, pool):
    """Watch an engine and run a slow query on it."""
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0.01, explain=True)
    with watched.connect() as connection:
        connection.exec_driver_sql(
            "SELECT nap(0.02), 'hunter2' UNION SELECT 1, 2 FROM sqlite_master"
        )
        connection.exec_driver_sql("SELECT nap(0.7), 'hunter2'")
    return watched


@pytest.fixture
def address(serve, registry):
    """The address of an instrumented application of this process."""
    app = FastAPI()
    gnomon.instrument(app, service="desk", registry=registry, tracing="off")
    yield f"http://{serve(app)}"
    gnomon.uninstrument(app)


SCRIPT = """
import sys, time
from sqlalchemy import create_engine, event
import gnomon
engine = create_engine("sqlite://")
event.listen(engine, "connect", lambda raw, _: raw.create_function("nap", 1, time.sleep))
gnomon.watch_engine(engine, name=sys.argv[1], slow_seconds=0.01)
with engine.connect() as connection:
    connection.exec_driver_sql("SELECT nap(0.5)")
"""


def in_a_script(pool):
    """Run a slow query in a process that ends at once."""
    words = [sys.executable, "-c", textwrap.dedent(SCRIPT), pool]
    subprocess.run(words, check=True, timeout=60, capture_output=True)


def test_without_an_address_it_reads_what_processes_have_written(command, pool):
    """A script's slow queries can be read after its end, as a table and as JSON."""
    status, output = command()
    assert status == 0
    assert "No process of this user has written down a slow query" in output
    in_a_script(pool)
    status, output = command("--plan")
    assert status == 0
    assert "SELECT nap(?)" in output
    assert "no plan: it was not asked for" in output
    status, output = command("--json")
    (query,) = json.loads(output)["queries"]
    assert (query["pool"], query["count"], query["summary"]) == (pool, 1, "SELECT")
    assert query["longest_seconds"] >= 0.5


@pytest.mark.usefixtures("slow")
def test_an_application_tells_the_slowest_first(command, address, pool, shape):
    """Of an application there are shapes, plans and hints, and no literal."""
    shape(pool, lambda each: each.plan is not None and "UNION" in each.text)
    shape(pool, lambda each: each.plan is not None and "UNION" not in each.text)
    for where in (address, f"{address}/", f"{address}/metrics", f"{address}/metrics/queries"):
        status, output = command(where, "--plan")
        assert status == 0, output
        lines = output.splitlines()
        first = next(n for n, line in enumerate(lines) if "SELECT nap(?), ?" in line)
        assert first < next(n for n, line in enumerate(lines) if "UNION" in line)
        assert "COMPOUND QUERY" in output
        assert "hunter2" not in output
    _, output = command(address, "--limit", "1", "--by", "count", "--json")
    assert len(json.loads(output)["queries"]) == 1


@pytest.mark.usefixtures("slow")
def test_an_application_tells_what_its_fellow_workers_have_written(address, pool):
    """Whichever worker answers, it answers for all of the same run."""
    in_a_script(pool)
    told = httpx.get(f"{address}/metrics/queries").json()
    assert {query["shape"] for query in told["queries"]} == {
        "SELECT nap(?)",
        "SELECT nap(?), ?",
        "SELECT nap(?), ? UNION SELECT ? FROM sqlite_master",
    }


FORKING = """
import os, sys, time
from sqlalchemy import create_engine, event
import gnomon
engine = create_engine("sqlite:///forked.db")
event.listen(engine, "connect", lambda raw, _: raw.create_function("nap", 1, time.sleep))
gnomon.watch_engine(engine, name="forked", slow_seconds=0.01)
with engine.connect() as connection:
    connection.exec_driver_sql("SELECT nap(0.02) AS parent")
engine.dispose()
page = gnomon.expose(service="worker")
for number in range(2):
    if not os.fork():
        engine.dispose(close=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT nap(0.02) AS child, {number}")
        time.sleep(60)
print(page.url, flush=True)
time.sleep(60)
"""


def test_a_worker_that_forks_tells_of_its_children(tmp_path, command, until):
    """The page of a process without an application has its children's slow queries, once each."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        address = process.stdout.readline().strip()

        def told():
            queries = json.loads(command(address, "--json", "--by", "count")[1])["queries"]
            return [(query["shape"], query["count"]) for query in queries]

        wanted = [("SELECT nap(?) AS child, ?", 2), ("SELECT nap(?) AS parent", 1)]
        until(lambda: told() == wanted, 30)
        assert told() == wanted
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_who_may_not_read_the_metrics_may_not_read_the_queries(ask, registry):
    """The page has the metrics' own rules: loopback and private networks, or the token."""
    app = FastAPI()
    gnomon.instrument(app, service="desk", registry=registry, metrics_token="s3cret")
    path = ("GET", "/metrics/queries")
    assert ask(app, path).status_code == 200
    assert ask(app, path).json().keys() == {"queries", "unused_indexes"}
    assert ask(app, path, client=("203.0.113.7", 1)).status_code == 401
    assert ask(app, path, headers={"x-forwarded-for": "10.0.0.1"}).status_code == 401
    assert (
        ask(app, path, client=("203.0.113.7", 1), headers={"authorization": "Bearer s3cret"})
    ).status_code == 200
    assert ask(app, ("POST", "/metrics/queries")).status_code == 405
    assert ask(app, ("GET", "/prefix/metrics/queries"), root_path="/prefix").status_code == 200
    assert ask(app, ("GET", "/metrics/queries/x")).status_code == 404
    gnomon.uninstrument(app)

    elsewhere = FastAPI()
    gnomon.instrument(elsewhere, service="desk", registry=CollectorRegistry(), metrics_path=None)
    assert ask(elsewhere, path).status_code == 404
    gnomon.uninstrument(elsewhere)


def test_a_token_opens_the_page(serve, command):
    """The command sends the token of the environment, and says so where it is missing."""
    app = FastAPI()

    @app.get("/metrics/queries")
    def refuse():
        from fastapi import HTTPException

        raise HTTPException(401)

    where = f"http://{serve(app)}"
    status, output = command(where)
    assert status == 1
    assert "refuses (401): set GNOMON_METRICS_TOKEN" in output


def test_addresses_that_answer_nothing_of_use(command, serve):
    """A mistake is told in a line, with the remedy."""
    status, output = command("localhost:8000")
    assert status == 2
    assert "is no address" in output
    status, output = command(f"http://127.0.0.1:{servers.free_port()}")
    assert status == 1
    assert "does not answer" in output
    where = f"http://{serve(FastAPI())}"
    status, output = command(where)
    assert status == 1
    assert f"{where} is neither an application that gnomon measures nor Prometheus" in output
    status, output = command(where, "--since", "for ever")
    assert status == 2


def test_prometheus_tells_of_all_queries_by_summary(
    slow, command, address, tmp_path, program, until
):
    """Of Prometheus there are runs, mean and 95th percentile of each summary."""
    port = servers.free_port()
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "scrape_configs": [
                    {
                        "job_name": "desk",
                        "scrape_interval": "200ms",
                        "scrape_timeout": "200ms",
                        "static_configs": [{"targets": [address.removeprefix("http://")]}],
                    }
                ]
            }
        )
    )
    words = [
        *program("prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    where = f"http://127.0.0.1:{port}"
    with servers.Server(words, ready=f"{where}/-/ready", log=tmp_path / "prometheus.log"):

        def told_of():
            with slow.connect() as connection:
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master")
            return "SELECT sqlite_master" in command(where, "--json")[1]

        until(told_of, 60)
        status, output = command(where)
        assert status == 0, output
        _, told = command(where, "--json", "--by", "mean")
    summaries = {each["summary"] for each in json.loads(told)["summaries"]}
    assert "SELECT sqlite_master" in summaries
    assert "SELECT sqlite_master" in output


def test_what_a_terminal_would_obey_is_not_printed(command, engine, pool, until):
    """Names from a database cannot colour a terminal or move its cursor."""
    watched = engine()
    event.listen(watched, "connect", lambda raw, _: raw.execute('ATTACH ":memory:" AS "a\x1b[31m"'))
    gnomon.watch_engine(watched, name=pool, slow_seconds=0)
    with watched.connect() as connection:
        connection.exec_driver_sql('SELECT * FROM "a\x1b[31m".sqlite_master')
    until(lambda: "sqlite_master" in command()[1], 30)
    assert "\x1b" not in command()[1]
    assert "[31m" in command()[1]
