"""Route templates as labels."""

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

import gnomon


async def page(_request):
    """Answer any route."""
    return PlainTextResponse("page")


async def opaque(_scope, _receive, send):
    """Answer anything, without routes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"opaque"})


def a_fastapi(folder):
    """Make a FastAPI application with everything that can stand below one."""
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int):
        return item_id

    @app.get("/old/{name}")
    @app.get("/new/{name}")
    async def twice(name: str):
        return name

    inner = APIRouter(prefix="/inner")

    @inner.get("/leaf/{leaf_id}")
    async def leaf(leaf_id: int):
        return leaf_id

    inner.add_route("/plain/{name}", page)
    outer = APIRouter(prefix="/outer")
    outer.include_router(inner)
    app.include_router(outer)
    app.include_router(inner, prefix="/again")
    app.add_route("/first/{name}", page)

    below = FastAPI()

    @below.get("/users/{user_id}")
    async def user(user_id: int):
        return user_id

    below.include_router(inner)
    app.mount("/below", below)
    app.mount("/static", StaticFiles(directory=folder))
    app.mount("/opaque", opaque)
    app.mount(
        "/tenants/{tenant}",
        Starlette(routes=[Route("/a/{b}", page), Mount("/deep", routes=[Route("/c/{d}", page)])]),
    )
    return app


def a_starlette(folder):
    """Make a Starlette application likewise."""
    return Starlette(
        routes=[
            Route("/items/{item_id:int}", page),
            Route("/old/{name}", page),
            Route("/new/{name}", page),
            Mount("/again/inner", routes=[Route("/leaf/{leaf_id}", page)]),
            Mount("/static", StaticFiles(directory=folder)),
            Mount("/opaque", opaque),
            Mount(
                "/tenants/{tenant}",
                Router(
                    [Route("/a/{b}", page), Mount("/deep", routes=[Route("/c/{d}", page)])],
                ),
            ),
        ]
    )


BOTH = [
    ("GET", "/items/1", "/items/{item_id}", 200),
    ("POST", "/items/1", "/items/{item_id}", 405),
    ("GET", "/old/x", "/old/{name}", 200),
    ("GET", "/new/x", "/new/{name}", 200),
    ("GET", "/again/inner/leaf/7", "/again/inner/leaf/{leaf_id}", 200),
    ("GET", "/tenants/acme/a/1", "/tenants/{tenant}/a/{b}", 200),
    ("GET", "/tenants/other/deep/c/1", "/tenants/{tenant}/deep/c/{d}", 200),
    ("GET", "/tenants/acme/none", "_UNMATCHED", 404),
    ("GET", "/static/a.txt", "/static", 200),
    ("GET", "/opaque/what/ever", "/opaque", 200),
    ("GET", "/none", "_UNMATCHED", 404),
    ("GET", "/items/1/", "_UNMATCHED", 307),
]

ONLY_FASTAPI = [
    ("GET", "/outer/inner/leaf/7", "/outer/inner/leaf/{leaf_id}", 200),
    ("GET", "/outer/plain/x", "/outer/plain/{name}", 200),
    ("GET", "/again/plain/x", "/again/plain/{name}", 200),
    ("GET", "/below/inner/leaf/7", "/below/inner/leaf/{leaf_id}", 200),
    ("GET", "/below/users/7", "/below/users/{user_id}", 200),
    ("GET", "/below/none", "_UNMATCHED", 404),
    ("GET", "/items/x", "/items/{item_id}", 422),
    ("GET", "/first/x", "/first/{name}", 200),
    ("GET", "/openapi.json", "/openapi.json", 200),
    ("GET", "/docs", "/docs", 200),
]

EACH = [(a_fastapi, *case) for case in BOTH + ONLY_FASTAPI] + [
    (a_starlette, *case) for case in BOTH
]


@pytest.fixture(params=["", "/proxied"])
def root_path(request):
    """Serve at the root, and below a prefix that a proxy adds."""
    return request.param


@pytest.fixture(params=["bare", "behind middleware"])
def middleware(request):
    """Put a middleware that starts a task of its own between, or none."""
    return request.param == "behind middleware"


@pytest.mark.parametrize(("make", "method", "path", "route", "status"), EACH)
def test_is_the_matched_template(
    make, method, path, route, status, root_path, middleware, tmp_path, registry, ask
):
    """A route is its template with the mounts' prefixes, twice in a row, wherever it is served."""
    (tmp_path / "a.txt").write_text("a")
    app = make(tmp_path)
    if middleware:

        async def dispatch(request, call_next):
            return await call_next(request)

        app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    gnomon.instrument(app, registry=registry)
    request = (method, root_path + path)
    answers = ask(app, request, request, root_path=root_path)
    assert [answer.status_code for answer in answers] == [status, status]
    found = {
        sample.labels["http_route"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count"
    }
    assert found == {route: 2}


def test_routes_may_be_added_after(registry, ask, counted):
    """A route that is added once requests have come has its own template."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    ask(app, ("GET", "/late/1"))
    app.add_api_route("/late/{n}", lambda n: n)
    ask(app, ("GET", "/late/1"))
    name = "http_server_request_duration_seconds_count"
    assert counted(name, http_route="_UNMATCHED") == 1
    assert counted(name, http_route="/late/{n}") == 1


def test_a_mounted_application_that_is_instrumented_too_counts_once(registry, ask, counted):
    """Of two passes around one request, the outer one counts."""
    below = FastAPI()
    below.add_api_route("/x", lambda: 1)
    app = FastAPI()
    app.mount("/below", below)
    gnomon.instrument(below, registry=registry)
    gnomon.instrument(app, registry=registry)
    ask(app, ("GET", "/below/x"))
    name = "http_server_request_duration_seconds_count"
    assert counted(name) == counted(name, http_route="/below/x") == 1
