"""RED metrics of requests, against what really happened."""

import asyncio
import gc
import socket
import tracemalloc

import anyio
import httpx
import psutil
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

import gnomon

COUNT = "http_server_request_duration_seconds_count"
SUM = "http_server_request_duration_seconds_sum"
ACTIVE = {"http_request_method": "GET", "url_scheme": "http"}


def labels(route, status="200", error="", method="GET"):
    """Give the labels of a request's series."""
    return {
        "http_request_method": method,
        "http_route": route,
        "http_response_status_code": status,
        "error_type": error,
    }


class OddError(Exception):
    """The application's own."""


@pytest.fixture
def app(registry):
    """Make an instrumented application without routes."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    return app


def test_counts_by_route_method_and_status(app, ask, value):
    """Each request is one observation under its route, method and status."""

    @app.get("/a/{n}")
    async def a(n: int):
        return n

    ask(app, ("GET", "/a/1"), ("GET", "/a/2"), ("GET", "/a/x"), ("PUT", "/a/1"))
    assert value(COUNT, **labels("/a/{n}")) == 2
    assert value(COUNT, **labels("/a/{n}", "422")) == 1
    assert value(COUNT, **labels("/a/{n}", "405", method="PUT")) == 1
    assert value("http_server_active_requests", **ACTIVE) == 0


def test_duration_is_true_and_has_a_bucket_at_300_ms(app, serve, value):
    """A handler that takes 200 ms counts between 0.2 and 0.3 s."""

    @app.get("/slow")
    async def slow():
        await asyncio.sleep(0.2)

    httpx.get(f"http://{serve(app)}/slow")
    assert 0.2 <= value(SUM, **labels("/slow")) < 0.7
    bucket = "http_server_request_duration_seconds_bucket"
    assert value(bucket, **labels("/slow"), le="0.1") == 0
    assert value(bucket, **labels("/slow"), le="0.3") is not None


def test_sizes_are_the_bodies(app, ask, value):
    """Body sizes are the bytes of the request's and the response's body, read or not."""

    @app.post("/read")
    async def read(request: Request):
        return Response((await request.body()) * 2)

    @app.post("/ignored")
    async def ignored():
        return Response(b"")

    ask(app, ("POST", "/read"), ("POST", "/ignored"), content=b"x" * 1000)
    was_read = labels("/read", method="POST")
    was_not = labels("/ignored", method="POST")
    assert value("http_server_request_body_size_bytes_sum", **was_read) == 1000
    assert value("http_server_response_body_size_bytes_sum", **was_read) == 2000
    assert value("http_server_request_body_size_bytes_sum", **was_not) == 1000
    assert value("http_server_response_body_size_bytes_sum", **was_not) == 0
    assert value("http_server_response_body_size_bytes_count", **was_not) == 1


def test_a_request_without_a_body_has_no_body_size(app, ask, counted):
    """Requests that carry no body are not counted as bodies of 0 bytes."""
    app.add_api_route("/a", lambda: 1)
    ask(app, ("GET", "/a"))
    assert counted("http_server_request_body_size_bytes_count") == 0


def test_head_sends_no_body(registry, serve, value):
    """What the application says to HEAD is not sent, so it has no size."""
    app = FastAPI()
    app.add_api_route("/a", lambda: "text", methods=["GET", "HEAD"])
    gnomon.instrument(app, registry=registry)
    httpx.head(f"http://{serve(app)}/a")
    assert value("http_server_response_body_size_bytes_sum", **labels("/a", method="HEAD")) == 0


def test_sizes_of_concurrent_requests_are_not_mixed(app, serve, value):
    """Each of many requests at once reports its own size."""

    @app.get("/n/{n}")
    async def n(n: int):
        await asyncio.sleep(0.01)
        return Response(b"x" * n)

    address = serve(app)

    async def load():
        async with httpx.AsyncClient() as http:
            await asyncio.gather(
                *(http.get(f"http://{address}/n/{size}") for size in [10, 5000] * 20)
            )

    asyncio.run(load())
    name = "http_server_response_body_size_bytes"
    assert value(f"{name}_sum", **labels("/n/{n}")) == 20 * 5010
    assert value(f"{name}_bucket", **labels("/n/{n}"), le="256.0") == 20


def test_an_exception_before_the_response_is_an_error_of_its_class(
    app, serve, value, counted, until
):
    """An unhandled exception counts once: as 500, with its class."""

    @app.get("/fails")
    async def fails():
        raise OddError

    assert httpx.get(f"http://{serve(app)}/fails").status_code == 500
    kind = f"{OddError.__module__}.OddError"
    # The answer is out before the exception has left the application.
    until(lambda: not value("http_server_active_requests", **ACTIVE))
    assert value(COUNT, **labels("/fails", "500", kind)) == 1
    assert counted(COUNT) == 1
    assert counted("gnomon_http_background_errors_total") == 0
    assert value("http_server_active_requests", **ACTIVE) == 0


def test_the_applications_exception_passes_unchanged(app):
    """The exception that leaves the application is the one that entered, one frame longer."""
    raised = OddError("as it was")

    @app.get("/fails")
    async def fails():
        raise raised

    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            await http.get("/fails")

    with pytest.raises(OddError) as caught:
        asyncio.run(run())
    assert caught.value is raised
    ours = [frame for frame in caught.traceback if "/gnomon/" in str(frame.path)]
    assert len(ours) == 1


def test_an_error_handlers_answer_still_names_the_exception(registry, ask, value, counted):
    """An exception answered by the application's own handler keeps the handler's status."""
    app = FastAPI()

    @app.exception_handler(Exception)
    async def handler(_request, _error):
        return Response(status_code=418)

    @app.get("/fails")
    async def fails():
        raise OddError

    gnomon.instrument(app, registry=registry)
    ask(app, ("GET", "/fails"))
    kind = f"{OddError.__module__}.OddError"
    assert value(COUNT, **labels("/fails", "418", kind)) == counted(COUNT) == 1


def test_a_handled_http_exception_is_no_error(app, ask, value, counted):
    """HTTPException is an answer; from 500 on it is an error of that status."""

    @app.get("/{status}")
    async def fails(status: int):
        raise HTTPException(status)

    ask(app, ("GET", "/404"), ("GET", "/503"))
    assert value(COUNT, **labels("/{status}", "404")) == 1
    assert value(COUNT, **labels("/{status}", "503", "503")) == 1
    assert counted(COUNT) == 2


def test_an_exception_during_the_response_counts_once(app, serve, value, counted):
    """A response that breaks off has its status and the exception's class."""

    @app.get("/breaks")
    async def breaks():
        async def body():
            yield b"a"
            raise OddError

        return StreamingResponse(body())

    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://{serve(app)}/breaks")
    kind = f"{OddError.__module__}.OddError"
    assert value(COUNT, **labels("/breaks", "200", kind)) == counted(COUNT) == 1
    assert value("http_server_active_requests", **ACTIVE) == 0


def test_an_exception_after_the_response_is_the_background_tasks(app, serve, value, counted, until):
    """What a background task takes and raises does not change its request."""

    @app.get("/later")
    async def later(tasks: BackgroundTasks):
        async def work():
            await asyncio.sleep(0.5)
            raise OddError

        tasks.add_task(work)
        return 1

    assert httpx.get(f"http://{serve(app)}/later").status_code == 200
    until(lambda: counted("gnomon_http_background_errors_total") == 1)
    assert value(COUNT, **labels("/later")) == counted(COUNT) == 1
    assert value(SUM, **labels("/later")) < 0.4
    assert value("http_server_active_requests", **ACTIVE) == 0


def test_cancellation_is_an_error_and_passes(app, value, counted):
    """A cancelled request counts once, and the cancellation reaches its canceller."""
    begun = asyncio.Event()

    @app.get("/waits")
    async def waits():
        begun.set()
        await asyncio.sleep(60)

    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            task = asyncio.create_task(http.get("/waits"))
            await begun.wait()
            assert value("http_server_active_requests", **ACTIVE) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert value(COUNT, **labels("/waits", "", "asyncio.exceptions.CancelledError")) == 1
    assert counted(COUNT) == 1
    assert value("http_server_active_requests", **ACTIVE) == 0


def test_a_client_that_leaves_while_its_body_is_read_is_counted_as_such(app, serve, until, counted):
    """Where ASGI reports that the client is gone, the request says so."""

    @app.post("/upload")
    async def upload(request: Request):
        return len(await request.body())

    host, port = serve(app).split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        until(lambda: counted("http_server_active_requests", http_request_method="POST") == 1)
    until(lambda: counted(COUNT) == 1)
    assert counted(COUNT, http_route="/upload", error_type="client_disconnected") == 1
    assert counted("http_server_active_requests") == 0


def test_an_application_that_does_not_answer_is_an_error(registry, value):
    """Returning without a complete response is an error of its own."""
    from starlette.applications import Starlette

    async def silent(_scope, _receive, _send):
        return

    app = Starlette()
    app.mount("/silent", silent)
    gnomon.instrument(app, registry=registry)
    scope = {"type": "http", "method": "GET", "path": "/silent/x", "headers": [], "scheme": "http"}
    asyncio.run(app(scope, None, None))
    assert value(COUNT, **labels("/silent", "", "incomplete_response")) == 1


def test_unknown_methods_are_one(app, ask, counted):
    """Methods that no standard knows are _OTHER."""
    ask(app, ("BREW", "/"), ("POUR", "/"))
    assert counted(COUNT, http_request_method="_OTHER") == counted(COUNT) == 2


def test_health_checks_are_excluded(registry, ask, counted):
    """Paths of health checks are neither counted nor active, those of the application are."""
    app = FastAPI()
    for path in ("/healthz", "/healthy-food"):
        app.add_api_route(path, lambda: 1)
    gnomon.instrument(app, registry=registry)
    ask(app, ("GET", "/healthz"), ("GET", "/healthy-food"), ("GET", "/metrics"))
    assert counted(COUNT) == counted(COUNT, http_route="/healthy-food") == 1


def test_excluded_paths_are_the_callers(registry, ask, counted):
    """Patterns of the caller replace the default ones."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry, exclude=[r"^/internal/"])
    ask(app, ("GET", "/internal/x"), ("GET", "/healthz"))
    assert counted(COUNT) == 1


def test_works_on_trio(app, counted):
    """Nothing on the request's way needs asyncio's loop."""
    pytest.importorskip("trio")
    app.add_api_route("/a", lambda: 1)

    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            await http.get("/a")
            return (await http.get("/metrics")).text

    assert "http_server_request_duration" in anyio.run(run, backend="trio")
    assert counted(COUNT) == 1


def test_a_fault_of_telemetry_stays_there(app, ask, monkeypatch, counted, value):
    """When measuring itself fails, the answer is the application's and the fault is counted."""
    from gnomon.routes import Routes

    app.add_api_route("/a", lambda: 1)

    def broken(*_):
        raise OddError

    monkeypatch.setattr(Routes, "resolve", broken)
    before = counted("gnomon_internal_errors_total")
    assert ask(app, ("GET", "/a")).json() == 1
    assert counted("gnomon_internal_errors_total") == before + 1
    assert value("http_server_active_requests", **ACTIVE) == 0


@pytest.mark.timeout(300)  # a few seconds of CPU, which a busy machine may stretch
def test_random_paths_methods_hosts_and_agents_leave_series_and_memory_flat(registry, counted):
    """100,000 requests that try to grow every label grow none, nor what the process holds."""

    async def known(_request):
        return Response(b"known")

    app = Starlette(routes=[Route("/a/{n}", known)])
    gnomon.instrument(app, service="attacked", registry=registry)

    async def attack(first, last):
        async def receive():
            return {"type": "http.request", "body": b""}

        async def send(_message):
            return

        for n in range(first, last):
            await app(
                {
                    "type": "http",
                    "asgi": {"version": "3.0"},
                    "method": f"M{n}" if n % 3 else "GET",
                    "scheme": f"s{n}" if n % 2 else "http",
                    "path": f"/x{n}" if n % 5 else f"/a/{n}",
                    "query_string": b"q=%d" % n,
                    "headers": [(b"host", b"h%d" % n), (b"user-agent", b"u%d" % n)],
                },
                receive,
                send,
            )

    def series():
        # Not those of the process: the first full run of the garbage collector adds some.
        return {
            (sample.name, *sample.labels.items())
            for family in registry.collect()
            for sample in family.samples
            if "http" in sample.name
        }

    def resident():
        gc.collect()
        return psutil.Process().memory_info().rss

    asyncio.run(attack(0, 10_000))
    before, held = series(), resident()
    asyncio.run(attack(10_000, 90_000))
    assert resident() - held < 8 * 2**20  # a hundred bytes for each request
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        asyncio.run(attack(90_000, 100_000))
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - start
    finally:
        tracemalloc.stop()
    assert grown < 250_000
    assert series() == before
    assert counted(COUNT) == 100_000
    routes = {
        sample.labels["http_route"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == COUNT
    }
    assert routes == {"/a/{n}", "_UNMATCHED"}


def test_a_familys_cap_is_kept_and_what_is_beyond_is_counted(registry, ask, counted):
    """Beyond the cap there is one more series for all the rest, and a counter that says so."""
    app = FastAPI()
    for n in range(10):
        app.add_api_route(f"/{n}", lambda: 1)
    gnomon.instrument(app, registry=registry, max_series=4)
    ask(app, *[("GET", f"/{n}") for n in range(10)] * 2)
    assert counted(COUNT) == 20
    assert counted(COUNT, http_route="_OVERFLOW") == 12
    assert (
        counted("gnomon_series_overflow_total", family="http_server_request_duration_seconds") == 12
    )


def test_hostile_text_cannot_break_the_page(registry, ask):
    """Quotes, newlines and broken Unicode in a route leave a page that parses."""
    from prometheus_client.parser import text_string_to_metric_families

    app = FastAPI()
    app.add_api_route('/a"\n\\\ud800' + "x" * 5000, lambda: 1)

    @app.middleware("http")
    async def rewrite(request, call_next):
        request.scope["path"] = '/a"\n\\\ud800' + "x" * 5000
        return await call_next(request)

    gnomon.instrument(app, registry=registry)
    ask(app, ("GET", "/a"))
    page = ask(app, ("GET", "/metrics"))
    assert page.status_code == 200
    routes = {
        sample.labels["http_route"]
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
        if sample.name == COUNT
    }
    assert len(routes) == 1
    assert max(map(len, routes)) <= 256
