"""The script that browsers load, and where they report to."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gnomon import guard, routes
from gnomon.extras import require
from gnomon.vitals import families, reports
from gnomon.vitals.rates import Limits
from gnomon.vitals.reports import Rejected

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from gnomon.asgi import Receive, Scope, Send

#: Seconds that a browser may take for its report.
PATIENCE = 5.0

#: Seconds that a browser keeps the script.
KEPT = 3600


def web_vitals(
    app: Starlette,
    *,
    prefix: str = "/gnomon",
    sample: float = 1.0,
    rate: float = 50.0,
    client_rate: float = 1.0,
) -> None:
    """Let browsers report the Web Vitals of a FastAPI or Starlette application's pages.

    Adds ``GET {prefix}/vitals.js`` and ``POST {prefix}/vitals``, and nothing else: a page takes
    part by ``<script src="/gnomon/vitals.js" async></script>``. Each view is told once, when the
    page is first hidden: LCP, FCP, TTFB and INP in seconds, CLS without unit, those that the
    browser knows, in ``gnomon_web_vitals_*`` by the template of the page's route. A page that
    the application does not serve itself says which template it is: ``data-route="/reports/{id}"``
    on the script's tag; it must be one of the application's.

    Reports are anonymous: five numbers and the path, which the server turns into a template and
    forgets. They are believed only as far as they can be: JSON of at most 4 KiB from a page of
    this site, with numbers within bounds, so often; all others are counted in
    ``gnomon_web_vitals_rejected_total`` by reason. Whoever wants to can send wrong numbers all
    the same: they are no ground for anything automatic.

    prefix: where; "" for the application's root. sample: share of page views that report, above
    0 up to 1. rate, client_rate: reports a second, of all clients and of each one, that are
    taken in the long run; twice ``rate``, and 60 of one client, at once.

    A second call with the same prefix changes nothing. Raises TypeError for what is no such
    application, ValueError for a setting that cannot be right.
    """
    router = getattr(app, "router", None)
    if not isinstance(getattr(router, "routes", None), list):
        raise TypeError(
            f"gnomon.web_vitals takes a FastAPI or Starlette application, not {type(app).__name__}"
        )
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
        raise ValueError(f"prefix: {prefix!r} is no path such as /gnomon")
    if not 0 < sample <= 1:
        raise ValueError(f"sample: {sample} is not above 0 and at most 1")
    if not (rate > 0 and client_rate > 0):
        raise ValueError("rate and client_rate must be above 0")
    route = require("starlette.routing", "fastapi").Route
    paths = {getattr(known, "path", None) for known in app.router.routes}
    if f"{prefix}/vitals" in paths:
        return
    # First, for applications that end with a route for every path.
    app.router.routes[:0] = [
        route(f"{prefix}/vitals.js", _Script(sample), methods=["GET"], include_in_schema=False),
        route(
            f"{prefix}/vitals",
            _Reports(app, Limits(rate, client_rate)),
            methods=["POST"],
            include_in_schema=False,
        ),
    ]


class _Script:
    """Answers with the script."""

    def __init__(self, sample: float) -> None:
        text = files("gnomon.vitals").joinpath("vitals.js").read_text(encoding="utf-8")
        self._body = text.replace("__SAMPLE__", repr(float(sample))).encode()
        self._tag = b'"' + hashlib.sha256(self._body).hexdigest()[:16].encode() + b'"'

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"cache-control", f"public, max-age={KEPT}".encode()),
            (b"etag", self._tag),
            (b"x-content-type-options", b"nosniff"),
        ]
        if _headers(scope).get(b"if-none-match") == self._tag:
            await _answer(send, 304, b"", headers)
            return
        headers.append((b"content-length", str(len(self._body)).encode()))
        await _answer(send, 200, b"" if scope["method"] == "HEAD" else self._body, headers)


class _Reports:
    """Takes the reports of an application's pages."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        families.rejected.child("rate")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = []
        try:
            status = await self._taken(scope, receive)
        except Rejected as why:
            families.rejected.child(why.reason).inc()
            status = why.status
            headers = [(b"connection", b"close")] if status == 413 else []
        except Exception:
            guard.failed("web vitals")
            status = 204  # the browser can do nothing about it
        await _answer(send, status, b"", headers)

    async def _taken(self, scope: Scope, receive: Receive) -> int:
        client = scope.get("client")
        if not self._limits.allow(client[0] if client else ""):
            raise Rejected("rate", 429)
        reports.check(_headers(scope))
        report = reports.parsed(await _body(receive))
        route = self._route(report, scope.get("root_path", ""))
        for name, value in report.values.items():
            family = families.vitals[name]
            family.child(route).observe(value if name == "cls" else value / 1000)
        return 204

    def _route(self, report: reports.Report, root: str) -> str:
        """Return the template of a page. Raises Rejected for one that is not the application's."""
        if report.route:
            if report.route in routes.templates(self._app):
                return report.route
            raise Rejected("route", 400)
        for path in (report.path, report.path.removeprefix(root)):
            found = routes.of_path(self._app, path)
            if found is not None:
                return found
        raise Rejected("route", 400)


async def _body(receive: Receive) -> bytes:
    """Return a request's body. Raises Rejected if it is too long or too slow."""
    from anyio import fail_after  # noqa: PLC0415  # every application that gets here has it

    body: bytes = b""
    try:
        with fail_after(PATIENCE):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Rejected("disconnected", 400)
                body += message.get("body", b"")
                if len(body) > reports.SIZE:
                    raise Rejected("size", 413)
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        raise Rejected("slow", 408) from None


def _headers(scope: Scope) -> dict[bytes, bytes]:
    return dict(scope["headers"])


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
