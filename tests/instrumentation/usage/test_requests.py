"""What a request uses, in a FastAPI application with real servers and threads."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from typing import Annotated

import anyio.to_thread
import httpx
import pytest
import websockets
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

import gnomon

WITHIN = 0.05


@pytest.fixture
def app(registry, burn):
    """An application whose endpoints burn CPU in many ways, and say how much and what was told."""
    app = FastAPI()
    gnomon.instrument(app, service="burner", registry=registry, tracing="off")
    measure = gnomon.measure("request")
    gates = {"meet": None}

    def answer(burnt, usage):
        return {"burnt": burnt, **usage.as_dict(), **usage.own.as_dict()}

    @app.get("/block/{seconds}")
    async def block(seconds: float):
        async with measure as usage:
            burnt = burn(seconds / 2)
            await asyncio.sleep(0.01)
            burnt += burn(seconds / 2)
        return answer(burnt, usage)

    @app.get("/together/{seconds}")
    async def together(seconds: float):
        gates["meet"] = gates["meet"] or asyncio.Barrier(3)
        async with measure as usage:
            await gates["meet"].wait()
            burnt = 0
            for _ in range(10):
                burnt += burn(seconds / 10)
                await asyncio.sleep(0)
            await gates["meet"].wait()
        return answer(burnt, usage)

    @app.get("/dependency/{seconds}")
    async def dependency(
        seconds: float, usage: Annotated[gnomon.Usage, Depends(measure.dependency)]
    ):
        return answer(burn(seconds), usage)

    @app.get("/sync/{seconds}")
    def sync(seconds: float, usage: Annotated[gnomon.Usage, Depends(measure.dependency)]):
        return answer(burn(seconds), usage)

    @app.get("/sync-block/{seconds}")
    def sync_block(seconds: float):
        with measure as usage:
            burnt = burn(seconds)
        return answer(burnt, usage)

    @app.get("/threads/{seconds}")
    async def threads(seconds: float):
        async with measure as usage:
            burnt = await asyncio.to_thread(burn, seconds / 4)
            burnt += await run_in_threadpool(burn, seconds / 4)
            burnt += await anyio.to_thread.run_sync(burn, seconds / 4)
            burnt += await gnomon.to_thread(burn, seconds / 4)
        return answer(burnt, usage)

    @app.get("/stream/{seconds}")
    async def stream(seconds: float):
        @measure
        async def parts():
            burnt = 0
            usage = gnomon.current_usage()
            for _ in range(2):
                burnt += burn(seconds / 2)
                yield ""
            yield json.dumps(answer(burnt, usage))

        return StreamingResponse(parts())

    yield app
    gnomon.uninstrument(app)


@pytest.mark.parametrize("path", ["block", "dependency", "sync", "sync-block", "threads", "stream"])
def test_half_a_second(app, serve, path):
    """A request that burns 0.5 s of CPU is told 0.5, wherever it burns them."""
    numbers = httpx.get(f"http://{serve(app)}/{path}/0.5", timeout=60).json()
    assert numbers["cpu_seconds"] == pytest.approx(numbers["burnt"], abs=WITHIN)
    assert numbers["burnt"] == pytest.approx(0.5, abs=WITHIN)


def test_three_at_once(app, serve):
    """Each of three requests in one thread is told its own 0.5, and that it was not alone."""
    address = serve(app)
    answers = []

    def ask():
        answers.append(httpx.get(f"http://{address}/together/0.5", timeout=60).json())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 3
    for numbers in answers:
        assert numbers["cpu_seconds"] == pytest.approx(numbers["burnt"], abs=WITHIN)
        assert numbers["concurrent"] == 2
        # The process's number is that of all three: it cannot be told apart by itself.
        seconds = numbers["cpu_percent_avg"] / 100 * numbers["processing_time_sec"]
        assert seconds > 2.5 * numbers["cpu_seconds"]


def test_middleware_that_runs_the_rest_in_a_task(app, ask):
    """Starlette's function middleware does; inside it and below it the request's own is told."""
    seen = {}

    @app.middleware("http")
    async def around(request: Request, call_next):
        async with gnomon.measure("around") as usage:
            response = await call_next(request)
        seen["around"] = usage.own.cpu_seconds
        return response

    numbers = ask(app, ("GET", "/block/0.2")).json()
    assert numbers["cpu_seconds"] == pytest.approx(numbers["burnt"], abs=WITHIN)
    assert seen["around"] == pytest.approx(numbers["burnt"], abs=WITHIN)


def test_a_failing_request_is_counted_and_fails_as_before(registry, ask, shown):
    """A dependency sees what the endpoint raises, and hands it on."""
    app = FastAPI()
    gnomon.instrument(app, service="failing", registry=registry, tracing="off")
    measure = gnomon.measure("failing request")

    @app.get("/", dependencies=[Depends(measure.dependency)])
    async def fail():
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        asyncio.run(_raised(app))
    assert ask(app, ("GET", "/")).status_code == 500
    found = shown("gnomon_usage_errors_total", name="failing request", error_type="LookupError")
    assert found == 2
    assert shown("gnomon_usage_active", name="failing request") == 0


async def _raised(app):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/")


def test_websocket_messages(registry, serve, burn):
    """What one message of a WebSocket uses is told as a request's is."""
    app = FastAPI()
    gnomon.instrument(app, service="talker", registry=registry, tracing="off")
    measure = gnomon.measure("message")

    @app.websocket("/")
    async def talk(websocket: WebSocket):
        await websocket.accept()
        for _ in range(2):
            seconds = float(await websocket.receive_text())
            async with measure as usage:
                burnt = burn(seconds / 2)
                await asyncio.sleep(0.01)
                burnt += burn(seconds / 2)
            await websocket.send_json([burnt, usage.own.cpu_seconds])

    address = serve(app)

    async def speak():
        async with websockets.connect(f"ws://{address}/", open_timeout=30) as connection:
            told = []
            for seconds in (0.1, 0.2):
                await connection.send(str(seconds))
                told.append(json.loads(await connection.recv()))
            return told

    for burnt, own in asyncio.run(speak()):
        assert own == pytest.approx(burnt, abs=WITHIN)
    gnomon.uninstrument(app)


def test_in_an_application_that_is_not_instrumented(ask, burn):
    """The process's numbers are there; the work's own only where one thread had it to itself."""
    app = FastAPI()
    measure = gnomon.measure("bare")

    @app.get("/async")
    async def later(usage: Annotated[gnomon.Usage, Depends(measure.dependency)]):
        burn(0.05)
        return [usage.as_dict()["cpu_percent_avg"] > 0, usage.own.cpu_seconds]

    @app.get("/sync")
    def sync():
        with measure as usage:
            burnt = burn(0.05)
        return [burnt, usage.own.cpu_seconds]

    @app.get("/decorated")
    async def decorated():
        return await work()

    @measure
    async def work():
        return [burn(0.05), gnomon.current_usage().own.cpu_seconds]

    later_, sync_, decorated_ = (
        answer.json()
        for answer in ask(app, *[("GET", f"/{p}") for p in ("async", "sync", "decorated")])
    )
    assert later_ == [True, None]
    for burnt, own in (sync_, decorated_):
        assert own == pytest.approx(burnt, abs=WITHIN)


PROGRAM = """
    import asyncio, json, sys
    import httpx
    from fastapi import Depends, FastAPI
    from prometheus_client import CollectorRegistry
    import gnomon
    {prepare}

    app = FastAPI()
    registry = CollectorRegistry()
    gnomon.instrument(app, service="x", registry=registry{options})

    @app.get("/")
    async def root():
        async with gnomon.measure("inner") as usage:
            sum(range(10000))
        return usage.own.cpu_seconds

    {rest}

    async def ask(*paths):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [(await client.get(path)).json() for path in paths]
"""


def run(rest, prepare="", options="", end=""):
    """Run a program of its own, and return what it says."""
    code = textwrap.dedent(PROGRAM).format(prepare=prepare, options=options, rest=rest)
    code += textwrap.dedent(end)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_driven_before_something_is_measured():
    """Who never measures pays nothing; the first to do so is told from the second request on."""
    end = """
    from gnomon.usage.driving import Driven
    asyncio.run(ask("/nowhere"))
    layer, driven, late = app.middleware_stack, [], "gnomon.usage.measuring" in sys.modules
    while layer is not None:
        driven.append(isinstance(layer, Driven))
        layer = getattr(layer, "app", None)
    own = asyncio.run(ask("/", "/"))
    print(json.dumps([late, any(driven), own[0] is None, own[1] is None]))
    """
    assert run("", end=end) == [False, False, True, False]


def test_from_the_first_request_on():
    """Who asks for it when instrumenting is told from the first request on."""
    end = 'print(json.dumps(asyncio.run(ask("/"))[0] > 0))'
    assert run("", options=", usage=True", end=end) is True


def test_taken_off_again():
    """After ``uninstrument`` no request is driven and no thread is entered, as before."""
    prepare = """
import anyio.to_thread
before = anyio.to_thread.run_sync, asyncio.to_thread
"""
    end = """
    from gnomon.usage.driving import Driven
    def driven():
        layer, found = app.middleware_stack, 0
        while layer is not None:
            found += isinstance(layer, Driven)
            layer = getattr(layer, "app", None)
        return found, (anyio.to_thread.run_sync, asyncio.to_thread) == before
    own = asyncio.run(ask("/"))
    during = driven()
    gnomon.uninstrument(app)
    own += asyncio.run(ask("/"))
    print(json.dumps([own[0] > 0, during, own[1], driven()]))
    """
    found = run("", prepare=prepare, options=", usage=True", end=end)
    assert found == [True, [2, False], None, [0, True]]


TRACED = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""


def test_the_span_has_the_same_numbers():
    """A request's span has what its block and its dependency found, and an exemplar leads to it."""
    rest = textwrap.dedent(
        """
        @app.get("/dependency", dependencies=[Depends(gnomon.measure("dependency").dependency)])
        async def dependency():
            return 1

        @app.get("/plain")
        async def plain():
            return 1

        @app.middleware("http")
        async def in_a_task_of_its_own(request, call_next):
            return await call_next(request)
        """
    )
    end = """
    asyncio.run(ask("/", "/", "/dependency", "/plain"))
    exemplars = [
        sample.exemplar.labels["trace_id"]
        for family in registry.collect() if family.name == "gnomon_usage_duration_seconds"
        for sample in family.samples if sample.exemplar
    ]
    spans = [(span.name, dict(span.attributes), f"{span.context.trace_id:032x}")
             for span in exporter.get_finished_spans()]
    print(json.dumps([spans, exemplars]))
    """
    spans, exemplars = run(rest, prepare=TRACED, end=end)
    told = [
        (name, {key.removeprefix("gnomon.usage."): value for key, value in attributes.items()})
        for name, attributes, _ in spans
        if "gnomon.usage.name" in attributes
    ]
    # A block tells the span in which it lies, here one of FastAPI's own below the request's.
    assert [numbers["name"] for _, numbers in told] == ["inner", "inner", "dependency"]
    assert told[2][0] == "GET /dependency"
    for _, numbers in told[1:]:
        assert numbers["own.cpu_seconds"] > 0
        assert numbers["cpu_percent_max"] >= numbers["cpu_percent_avg"] > 0
        assert numbers["ram_mb_peak"] >= numbers["ram_mb_avg"] > 0
        assert numbers["processing_time_sec"] > 0
        assert numbers["own.concurrent"] == 0
        assert "gpu_percent" not in numbers
    assert exemplars
    assert set(exemplars) <= {trace_id for _, _, trace_id in spans}
