"""Limiters: refusals by route and reason."""

import asyncio

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from limits import parse
from limits.aio.storage import MemoryStorage as LaterStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIASGIMiddleware
from slowapi.util import get_remote_address
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import gnomon
from gnomon import routes

REFUSED = "gnomon_limiter_refused_total"
ALLOWED = "gnomon_limiter_allowed_total"


def test_slowapis_refusals_are_told_by_route(ask, seen):
    """Of a decorated route, with the limit that was reached; the answers are as ever."""
    limiter = gnomon.watch_limiter(Limiter(key_func=get_remote_address), "decorated")
    app = FastAPI()
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)

    @app.get("/items/{item}")
    @limiter.limit("2/minute")
    async def item(request: Request, item: int):  # noqa: ARG001  # slowapi wants it
        return item

    gnomon.watch_limiter(limiter, "decorated")  # changes nothing
    answers = ask(app, *[("GET", "/items/7")] * 5)
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429]
    assert seen(REFUSED, "decorated", "/items/{item}", "2 per 1 minute") == 3
    assert seen(ALLOWED, "decorated") == 2


def test_slowapis_middleware_is_told_by_route_as_well(ask, seen):
    """Though it refuses before the request is routed."""
    limiter = Limiter(key_func=get_remote_address, default_limits=["1/minute"])
    app = FastAPI()
    app.state.limiter = gnomon.watch_limiter(limiter, "middleware")
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    app.add_middleware(SlowAPIASGIMiddleware)

    @app.get("/api/{name}")
    async def by_name(name: str):
        return name

    answers = ask(app, ("GET", "/api/a"), ("GET", "/api/a"))
    assert [answer.status_code for answer in answers] == [200, 429]
    assert seen(REFUSED, "middleware", "/api/{name}", "1 per 1 minute") == 1


def test_strategies_of_limits(seen):
    """Sync and async: what they return is theirs."""
    now = gnomon.watch_limiter(FixedWindowRateLimiter(MemoryStorage()), "limits")
    limit = parse("2/minute")
    assert [now.hit(limit, "who") for _ in range(3)] == [True, True, False]
    later = gnomon.watch_limiter(MovingWindowRateLimiter(LaterStorage()), "later")

    async def run():
        return [await later.hit(limit, "who") for _ in range(3)]

    assert asyncio.run(run()) == [True, True, False]
    for name in ("limits", "later"):
        assert seen(REFUSED, name, "", "2 per 1 minute") == 1
        assert seen(ALLOWED, name) == 2
    assert gnomon.watch_limiter(now, "limits") is now
    assert now.hit(limit, "who") is False
    assert seen(REFUSED, "limits", "", "2 per 1 minute") == 2


def test_an_applications_own_limiter_tells(ask, seen):
    """Anywhere, with the request or without."""
    app = FastAPI()

    @app.get("/orders/{order}")  # noqa: FAST003  # who asks does not matter here
    async def refuse(request: Request):
        gnomon.refused("own", "burst", request=request)
        raise HTTPException(429)

    inner = FastAPI()
    inner.get("/deep/{x}")(refuse)
    app.mount("/below", inner)
    assert ask(app, ("GET", "/orders/3")).status_code == 429
    assert ask(app, ("GET", "/below/deep/3")).status_code == 429
    gnomon.refused("own", "burst")
    gnomon.refused("own", "burst", request="no request")
    assert seen(REFUSED, "own", "/orders/{order}", "burst") == 1
    assert seen(REFUSED, "own", "/deep/{x}", "burst") == 1
    assert seen(REFUSED, "own", "", "burst") == 1


def test_any_other_limiter_is_refused_with_the_remedy():
    """And a limiter needs a name."""
    with pytest.raises(TypeError, match=r"call gnomon\.refused\('x', reason"):
        gnomon.watch_limiter(asyncio.Semaphore(), "x")
    with pytest.raises(ValueError, match="give the limiter's"):
        gnomon.watch_limiter(FixedWindowRateLimiter(MemoryStorage()), "")


def test_the_template_that_would_serve_a_path():
    """Through mounts, included routers and files; None where nothing would."""

    async def page(_):
        return PlainTextResponse("x")

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/items/{item:int}")(page)
    app.post("/only-post")(page)
    router = APIRouter(prefix="/v1")
    router.get("/users/{user}")(page)
    app.include_router(router, prefix="/api")
    app.mount("/inner", Starlette(routes=[Route("/{x}/y", page), Mount("/m", routes=[])]))
    app.mount("/static", Middleware(object).cls())
    expected = {
        "/items/3": "/items/{item:int}",
        "/items/x": None,
        "/only-post": None,
        "/api/v1/users/anna": "/api/v1/users/{user}",
        "/inner/7/y": "/inner/{x}/y",
        "/inner/7": None,
        "/static/a/b.css": "/static",
        "/nowhere": None,
        "": None,
        "no path": None,
    }
    found = {path: routes.of_path(app, path) for path in expected}
    expected["/items/3"] = found["/items/3"]
    assert found["/items/3"] in ("/items/{item:int}", "/items/{item}")
    assert found == expected
