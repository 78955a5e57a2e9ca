"""Spans of client libraries: each request one connected trace, against real servers."""

import os
import subprocess
import sys
import textwrap
import time

import httpx
import pytest

import servers
from caches import redis_server
from otlp import attributes, http_receiver

pytestmark = pytest.mark.timeout(300)  # the first test starts five servers

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5

APP = """
    import asyncio, os
    from contextlib import asynccontextmanager

    import aio_pika, aiohttp, asyncpg, httpx, psycopg, redis.asyncio, requests
    from fastapi import FastAPI
    # By name and before: so the instrumentation sees no engine being made.
    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import create_async_engine

    import gnomon
    from traced_tasks import add

    PEER, DATABASE = os.environ["PEER"], os.environ["DATABASE"]
    QUEUE = f"traced {os.getpid()}"
    sqlite = create_engine("sqlite://")
    postgresql = create_async_engine(DATABASE.replace("postgresql:", "postgresql+asyncpg:"))
    by_psycopg = create_engine(DATABASE.replace("postgresql:", "postgresql+psycopg:"))
    cache = redis.asyncio.Redis(port=int(os.environ["REDIS"]))
    received = []

    @asynccontextmanager
    async def lifespan(app):
        connection = await aio_pika.connect_robust(os.environ["RABBITMQ"])
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(QUEUE, auto_delete=True)

            async def take(message):
                async with message.process():
                    received.append(message.body)

            await queue.consume(take)
            app.state.channel = channel
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/httpx")
    async def by_httpx():
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{PEER}/peer?token=hunter2")).json()

    @app.get("/aiohttp")
    async def by_aiohttp():
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{PEER}/peer?token=hunter2") as answer:
                return await answer.json()

    @app.get("/requests")
    def by_requests():
        return requests.get(f"{PEER}/peer?token=hunter2", timeout=20).json()

    @app.get("/sqlite")
    def of_sqlite():
        with sqlite.execution_options(isolation_level="SERIALIZABLE").connect() as connection:
            return connection.execute(text("SELECT 'hunter2' AS a")).scalar()

    @app.get("/sqlalchemy-asyncpg")
    async def of_postgresql():
        async with postgresql.connect() as connection:
            return (await connection.execute(text("SELECT 'hunter2'"))).scalar()

    @app.get("/sqlalchemy-psycopg")
    def of_postgresql_by_psycopg():
        with by_psycopg.connect() as connection:
            return connection.execute(text("SELECT 'hunter2'")).scalar()

    @app.get("/sql-error")
    def error():
        with by_psycopg.connect() as connection:
            try:
                connection.execute(text("SELECT 'hunter2'::int"))
            except Exception as error:
                return "hunter2" in str(error)

    @app.get("/asyncpg")
    async def by_asyncpg():
        connection = await asyncpg.connect(DATABASE)
        try:
            return await connection.fetchval("SELECT 'hunter2'")
        finally:
            await connection.close()

    @app.get("/psycopg")
    async def by_async_psycopg():
        async with await psycopg.AsyncConnection.connect(DATABASE) as connection:
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT 'hunter2'")
                return (await cursor.fetchone())[0]

    @app.get("/redis")
    async def of_redis():
        await cache.set("a", "hunter2")
        return (await cache.get("a")).decode()

    @app.get("/celery")
    def to_celery():
        add.delay(1, 2)

    @app.get("/aio-pika")
    async def to_rabbitmq():
        message = aio_pika.Message(b"hunter2")
        await app.state.channel.default_exchange.publish(message, routing_key=QUEUE)

    @app.get("/received")
    def what_came():
        return len(received)

    gnomon.instrument(app, service="desk")
"""
PEER = """
    from fastapi import FastAPI, Request
    import gnomon

    app = FastAPI()

    @app.get("/peer")
    def peer(request: Request):
        return request.headers.get("traceparent")

    @app.get("/late")
    def by_what_is_imported_late(request: Request):
        import httpx
        return httpx.get(f"{request.base_url}peer").json()

    gnomon.instrument(app, service="peer")
"""


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory, postgresql, rabbitmq):
    """A receiver of spans, and all servers that the libraries talk to."""
    directory = tmp_path_factory.mktemp("libraries")
    (directory / "program.py").write_text(textwrap.dedent(APP))
    (directory / "peer.py").write_text(textwrap.dedent(PEER))
    with (
        http_receiver() as received,
        redis_server(directory) as (redis_port, _),
        served(directory, "peer", received) as peer,
    ):
        environment = {
            "PEER": peer,
            "DATABASE": postgresql.url(password="hunter2"),
            "REDIS": str(redis_port),
            "RABBITMQ": f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}/",
            "TEST_BROKER": f"redis://127.0.0.1:{redis_port}/1",
        }
        yield directory, received, environment


class served:  # noqa: N801  # it reads as a function
    """Serve a module's application in a process of its own; give its address."""

    def __init__(self, directory, module, received, **environment):
        port = servers.free_port()
        self._address = f"http://127.0.0.1:{port}"
        self._server = servers.Server(
            [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", str(port)],
            ready=f"{self._address}/metrics",
            log=directory / f"{module}-{port}.log",
            cwd=directory,
            env=telemetry(received) | environment,
        )

    def __enter__(self):
        self._server.__enter__()
        return self._address

    def __exit__(self, *what):
        self._server.__exit__(*what)


def telemetry(received):
    """Give the settings of a program that is traced."""
    path = f"{servers.ROOT / 'tests'}:{os.environ.get('PYTHONPATH', '')}"
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": received.address,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "PYTHONPATH": path,
    }


@pytest.fixture(scope="module")
def desk(surroundings):
    """The application, with every request sampled, and a worker of Celery."""
    directory, received, environment = surroundings
    worker = [sys.executable, "-m", "celery", "-A", "traced_tasks", "worker", "--concurrency", "1"]
    with (
        servers.Server(worker, log=directory / "celery.log", env=telemetry(received) | environment),
        served(directory, "program", received, **environment) as address,
    ):
        yield address


def whole(trace):
    """Whether every span of a trace but one hangs below another of it."""
    there = {told.span.span_id for told in trace}
    return [told.span.parent_span_id in there for told in trace].count(False) == 1


def asked(desk, received, until, path, scopes):
    """Ask for a path; give the spans of its trace once it is whole and has these scopes."""
    trace = os.urandom(16).hex()
    parent = f"00-{trace}-{'b' * 16}-01"
    answer = httpx.get(f"{desk}/{path}", headers={"traceparent": parent}, timeout=60)
    assert answer.status_code == 200
    found = []

    def complete():
        found[:] = received.traces().get(trace, [])
        return {told.scope for told in found} >= scopes and whole(found)

    until(complete, 30)
    return answer.json(), found


HTTP = ("httpx", "aiohttp", "requests")
SCOPES = {
    "httpx": "httpx",
    "aiohttp": "aiohttp_client",
    "requests": "requests",
    "sqlite": "sqlalchemy",
    "sqlalchemy-asyncpg": "sqlalchemy",
    "sqlalchemy-psycopg": "sqlalchemy",
    "sql-error": "sqlalchemy",
    "asyncpg": "asyncpg",
    "psycopg": "psycopg",
    "redis": "redis",
    "celery": "celery",
    "aio-pika": "aio_pika",
}


@pytest.mark.parametrize("path", SCOPES)
def test_one_connected_trace(path, desk, surroundings, until):
    """Below the request is the library's span, and below that what it led to elsewhere."""
    scope = f"opentelemetry.instrumentation.{SCOPES[path]}"
    _, found = asked(desk, surroundings[1], until, path, {"gnomon", scope})
    spans = [told for told in found if told.scope == scope]
    (server,) = [told.span for told in found if told.service == "desk" and told.span.kind == SERVER]
    first = next(told.span for told in spans if told.span.parent_span_id == server.span_id)
    assert first.kind == (PRODUCER if path in ("celery", "aio-pika") else CLIENT)
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("path", HTTP)
def test_the_trace_goes_on_at_the_peer(path, desk, surroundings, until):
    """W3C's header goes out with the client's span; the peer's server span hangs below it."""
    _, received, _ = surroundings
    scope = f"opentelemetry.instrumentation.{SCOPES[path]}"
    traceparent, found = asked(desk, received, until, path, {"gnomon", scope})
    until(lambda: {"peer", "desk"} <= {t.service for t in received.traces()[_id(found)]}, 30)
    found = received.traces()[_id(found)]
    (client,) = [told.span for told in found if told.scope == scope]
    (peer,) = [told.span for told in found if told.service == "peer"]
    assert peer.parent_span_id == client.span_id
    assert traceparent == f"00-{_id(found)}-{client.span_id.hex()}-01"
    told = attributes(client)
    assert told["http.request.method"] == "GET"
    assert told["url.full"].endswith("/peer")  # and nothing of the query


def _id(trace):
    return trace[0].span.trace_id.hex()


def test_a_task_of_celery_hangs_below_what_sent_it(desk, surroundings, until):
    """The worker's span, and what the task does in it, are of the request's trace."""
    scope = "opentelemetry.instrumentation.celery"
    _, found = asked(desk, surroundings[1], until, "celery", {"gnomon", scope, "app"})
    (sent,) = [t.span for t in found if t.scope == scope and t.service == "desk"]
    (ran,) = [t.span for t in found if t.scope == scope and t.service == "tasks"]
    (own,) = [t.span for t in found if t.scope == "app"]
    assert (sent.kind, ran.kind) == (PRODUCER, CONSUMER)
    assert ran.parent_span_id == sent.span_id
    assert own.parent_span_id == ran.span_id


def test_a_message_is_received_below_what_published_it(desk, surroundings, until):
    """The consumer's span is of the request's trace."""
    _, received, _ = surroundings
    scope = "opentelemetry.instrumentation.aio_pika"
    _, found = asked(desk, received, until, "aio-pika", {"gnomon", scope})
    until(lambda: len(received.traces()[_id(found)]) == 3, 30)
    sent, came = sorted(
        (t.span for t in received.traces()[_id(found)] if t.scope == scope), key=lambda s: s.kind
    )
    assert (sent.kind, came.kind) == (PRODUCER, CONSUMER)
    assert came.parent_span_id == sent.span_id


def test_engines_made_before_are_traced_once(desk, surroundings, until):
    """An engine that the instrumentation has not seen being made has one span for a statement."""
    scope = "opentelemetry.instrumentation.sqlalchemy"
    for _ in range(2):
        _, found = asked(desk, surroundings[1], until, "sqlite", {"gnomon", scope})
        (span,) = [t.span for t in found if t.scope == scope and t.span.name != "connect"]
        assert attributes(span)["db.query.text"] == "SELECT ? AS a"
        assert attributes(span)["db.system.name"] == "sqlite"


def test_an_errors_text_stays_here(desk, surroundings, until):
    """A statement that fails is an error of its class; the server's words, and values, stay."""
    scope = "opentelemetry.instrumentation.psycopg"
    answer, found = asked(desk, surroundings[1], until, "sql-error", {"gnomon", scope})
    assert answer is True
    (span,) = [t.span for t in found if t.scope == scope and t.span.status.code == 2]
    assert span.status.message == ""
    (event,) = span.events
    assert attributes(event)["exception.type"].endswith("InvalidTextRepresentation")
    assert "hunter2" not in str(found)


def test_polling_starts_no_traces(desk, surroundings, until):
    """What Celery's worker asks Redis by itself, and the pool its database, is no trace."""
    _, received, _ = surroundings
    asked(desk, received, until, "celery", {"gnomon", "app"})
    time.sleep(1)  # in which the worker asks many times
    roots = {
        told.scope.rpartition(".")[2]
        for told in list(received.spans)
        if not told.span.parent_span_id
    }
    assert roots <= {"gnomon"}


def test_unsampled_requests_start_no_traces(desk, surroundings, until):
    """Nothing below a request that is not sampled is exported, here or elsewhere."""
    directory, received, environment = surroundings
    environment = environment | {"OTEL_TRACES_SAMPLER_ARG": "0"}
    with served(directory, "program", received, **environment) as address:
        before = len(received.spans)
        for path in SCOPES:
            answer = httpx.get(f"{address}/{path}", timeout=60)
            assert answer.status_code == 200
            if path in HTTP:  # they pass on that it is not sampled
                assert answer.json().endswith("-00")
        # The worker takes this task after the other one: then that has ended as well.
        _, found = asked(desk, received, until, "celery", {"gnomon", "app"})
        until(lambda: int(httpx.get(f"{address}/received", timeout=60).text) >= 1, 30)
    new = received.spans[before:]
    assert {told.span.trace_id.hex() for told in new} == {_id(found)}


def test_what_is_imported_late_is_traced(surroundings, until):
    """A library that a request imports is traced soon after, and its requests counted."""
    _, received, environment = surroundings
    scope = "opentelemetry.instrumentation.httpx"

    def traced():
        httpx.get(f"{environment['PEER']}/late", timeout=60)
        return any(t.scope == scope and t.service == "peer" for t in list(received.spans))

    until(traced, 30)
    page = httpx.get(f"{environment['PEER']}/metrics", timeout=60).text
    assert "http_client_request_duration_seconds_count{" in page


LEFT_AS_IT_WAS = """
import os
import httpx, redis, requests, sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine
from opentelemetry.sdk.trace import TracerProvider

environment = dict(os.environ)

def methods():
    return redis.Redis.execute_command, requests.Session.send, Engine.connect

before = methods()
from gnomon import engines, libraries

libraries.install(TracerProvider())
assert libraries._installed.keys() >= {"httpx", "redis", "requests", "sqlalchemy"}
assert redis.Redis.execute_command is not before[0]
assert event.contains(Engine, "engine_connect", engines._connected)
engine = sqlalchemy.create_engine("sqlite://")
libraries.uninstall()
assert all(now is then for now, then in zip(methods(), before)), "not as it was"
assert not event.contains(Engine, "engine_connect", engines._connected)
with engine.connect() as connection:
    connection.execute(sqlalchemy.text("SELECT 1"))
assert engine not in engines._known
assert dict(os.environ) == environment
"""


def test_the_libraries_are_left_as_they_were():
    """After uninstall nothing traces them, and the environment is as it was."""
    done = subprocess.run(
        [sys.executable, "-c", LEFT_AS_IT_WAS], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


WITHOUT_THE_EXTRA = """
import sys
sys.modules["opentelemetry.instrumentation"] = None  # the extra `clients` is not installed
import httpx, requests
from opentelemetry.sdk.trace import TracerProvider
from gnomon import guard, libraries
libraries.install(TracerProvider(shutdown_on_exit=False))
libraries.uninstall()
print([sample for family in guard.families() for sample in family.samples])
"""


def test_without_instrumentations_nothing_is_amiss():
    """Where the extra is not installed, libraries are not traced, and nobody is told of a fault."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
