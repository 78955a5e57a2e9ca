"""One line on, one line off."""

import subprocess
import sys

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware

import gnomon

COUNT = "http_server_request_duration_seconds_count"


def test_twice_is_once(registry, ask, counted, caplog):
    """A second call changes nothing, and says so if it wanted something else."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    gnomon.instrument(app, registry=registry)
    assert not caplog.records
    gnomon.instrument(app, registry=registry, service="other")
    assert "first call" in caplog.text
    ask(app, ("GET", "/"))
    assert counted(COUNT) == 1


@pytest.mark.parametrize("started", [False, True])
def test_is_undone_without_a_trace(registry, ask, started):
    """After uninstrument the application is as it was, and the registry empty."""
    app = FastAPI()
    before = dict(vars(app))
    gnomon.instrument(app, registry=registry)
    if started:
        ask(app, ("GET", "/"))
    gnomon.uninstrument(app)
    after = dict(vars(app))
    before.pop("middleware_stack")
    stack = after.pop("middleware_stack")
    assert after == before
    assert not isinstance(stack, gnomon.asgi.Pass)
    assert ask(app, ("GET", "/metrics")).status_code == 404
    assert list(registry.collect()) == []


def test_may_be_put_on_again(registry, ask, counted):
    """Instrument, uninstrument and instrument again measures once."""
    app = FastAPI()
    for _ in range(3):
        gnomon.instrument(app, registry=registry)
        ask(app, ("GET", "/"))
        gnomon.uninstrument(app)
    gnomon.instrument(app, registry=registry)
    ask(app, ("GET", "/"))
    assert counted(COUNT) == 1


def test_is_undone_below_another_wrapper(registry, ask, counted):
    """If something else has wrapped the application since, only our part falls silent."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    ours = app.build_middleware_stack
    app.build_middleware_stack = lambda: GZipMiddleware(ours())
    ask(app, ("GET", "/"))
    gnomon.uninstrument(app)
    ask(app, ("GET", "/"))
    assert counted(COUNT) == 0


def test_undoing_what_was_never_done_is_nothing():
    """Uninstrument of a bare application leaves it alone."""
    app = FastAPI()
    before = dict(vars(app))
    gnomon.uninstrument(app)
    assert vars(app) == before


def test_a_running_application_can_be_instrumented(registry, ask, counted):
    """Its stack is built already; requests from now on are measured."""
    app = FastAPI()
    ask(app, ("GET", "/"))
    gnomon.instrument(app, registry=registry)
    ask(app, ("GET", "/"))
    assert counted(COUNT) == 1


def test_middleware_may_be_added_afterwards(registry, ask):
    """Instrumenting builds no stack that would refuse more middleware."""
    app = Starlette()
    gnomon.instrument(app, registry=registry)
    app.add_middleware(GZipMiddleware)
    assert ask(app, ("GET", "/")).status_code == 404


def test_lifespan_passes(registry, serve):
    """Startup and shutdown run as without instrumentation."""
    import contextlib

    seen = []

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        seen.append("up")
        yield
        seen.append("down")

    app = FastAPI(lifespan=lifespan)
    gnomon.instrument(app, registry=registry)
    serve(app, lifespan="on")
    assert seen == ["up"]


def test_two_applications_share_a_registry(registry, ask, counted):
    """Their requests stand in the same families; the last one takes them away."""
    one, two = FastAPI(), FastAPI()
    gnomon.instrument(one, registry=registry)
    gnomon.instrument(two, registry=registry)
    ask(one, ("GET", "/"))
    ask(two, ("GET", "/"))
    assert counted(COUNT) == 2
    gnomon.uninstrument(one)
    assert counted(COUNT) == 2
    gnomon.uninstrument(two)
    assert list(registry.collect()) == []


def test_what_is_no_application_is_refused():
    """A wrapped application is a TypeError that says what to do."""
    with pytest.raises(TypeError, match="before the application is wrapped"):
        gnomon.instrument(GZipMiddleware(FastAPI()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"metrics_path": "metrics"},
        {"max_series": 0},
        {"sample_ratio": 1.5},
        {"exclude": ["("]},
        {"exclude": "/health"},
        {"streams": "/events"},
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(wrong, registry):
    """The message names the argument, and the application stays bare."""
    app = FastAPI()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        gnomon.instrument(app, registry=registry, **wrong)
    assert "build_middleware_stack" not in vars(app)
    assert list(registry.collect()) == []


@pytest.mark.parametrize(
    ("environment", "name", "version"),
    [
        ({}, "unknown_service", ""),
        ({"OTEL_SERVICE_NAME": "one"}, "one", ""),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=two,service.version=1%2E2,x"}, "two", "1.2"),
        ({"OTEL_SERVICE_NAME": "one", "OTEL_RESOURCE_ATTRIBUTES": "service.name=two"}, "one", ""),
    ],
)
def test_the_environment_names_the_service(
    environment, name, version, registry, monkeypatch, counted
):
    """Without arguments the standard variables say who this is, read when it is called."""
    for key, text in environment.items():
        monkeypatch.setenv(key, text)
    gnomon.instrument(FastAPI(), registry=registry)
    labels = {"service_name": name} | ({"service_version": version} if version else {})
    assert counted("target_info", **labels) == 1


def test_importing_is_cheap():
    """`import gnomon` needs prometheus-client and no framework, tracing or HTTP client."""
    code = (
        "import sys, gnomon;"
        "heavy = {'fastapi', 'starlette', 'opentelemetry', 'anyio', 'httpx', 'asyncio.runners'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() in ("[]", "['asyncio.runners']")
