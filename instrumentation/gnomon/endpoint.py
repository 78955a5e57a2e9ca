"""The page of metrics that an instrumented application serves."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from gnomon import guard
from gnomon.access import Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

    from gnomon.asgi import Receive, Scope, Send

#: Most scrapes at a time; Prometheus makes one.
LIMIT = 8

#: Below the page's path: slow queries by shape, as JSON, for ``gnomon queries``.
QUERIES = "/queries"

#: What is answered to whoever may not read the page.
REFUSALS = {
    Verdict.FORBIDDEN: (
        403,
        b"The page of metrics answers loopback and private networks, but not through a proxy.\n"
        b"To read it from elsewhere, set GNOMON_METRICS_TOKEN and send it as a bearer token.\n",
    ),
    Verdict.WRONG_TOKEN: (401, b"This needs the bearer token of GNOMON_METRICS_TOKEN.\n"),
}


class Page:
    """What prometheus-client's writers take for a registry: families gathered beforehand."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families


class Endpoint:
    """Answers one path with the metrics; see ``gnomon.instrument`` for who may read them.

    gather: returns the families, in a thread of its own, for a collector may take its time.
    """

    def __init__(
        self, path: str, token: str | None, gather: Callable[[], Iterable[Metric]]
    ) -> None:
        self.path = path
        #: All paths that are answered.
        self.paths = frozenset({path, path + QUERIES})
        self._token = token
        self._gather = gather
        self._running = 0

    def is_at(self, path: str, root: str) -> bool:
        """Whether a request is for this page. path and root: the scope's."""
        # Servers put what --root-path says before the path.
        return path in self.paths or (path.startswith(root) and path[len(root) :] in self.paths)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b"The page of metrics is read by GET.\n", (b"allow", b"GET"))
            return
        headers = list(scope["headers"])
        decision = verdict(scope.get("client"), headers, self._token)
        if decision is not Verdict.GRANTED:
            status, why = REFUSALS[decision]
            extra = [(b"www-authenticate", b"Bearer")] if status == 401 else []
            await _answer(send, status, why, *extra)
            return
        if self._running >= LIMIT:
            await _answer(send, 503, b"Too many scrapes at a time.\n", (b"retry-after", b"1"))
            return
        self._running += 1
        try:
            if scope["path"].endswith(self.path + QUERIES):
                body, media_type, encoding = await _off_the_loop(queries)
            else:
                body, media_type, encoding = await _off_the_loop(
                    lambda: rendered(self._gather, headers)
                )
        except Exception:
            guard.failed("page of metrics")
            await _answer(send, 500, b"A collector failed; the application's log has more.\n")
            return
        finally:
            self._running -= 1
        extra = [(b"content-encoding", encoding)] if encoding else []
        await _answer(send, 200, body, *extra, media_type=media_type)


async def _off_the_loop(
    render: Callable[[], tuple[bytes, bytes, bytes]],
) -> tuple[bytes, bytes, bytes]:
    # Not of prometheus-client's needs, but every ASGI framework that is measured brings it.
    from anyio import CapacityLimiter, to_thread  # noqa: PLC0415

    # A limiter of its own: the page must be there when the application's threads are all taken,
    # for that is when it is needed.
    return await to_thread.run_sync(render, limiter=CapacityLimiter(1), abandon_on_cancel=True)


def rendered(
    gather: Callable[[], Iterable[Metric]], headers: list[tuple[bytes, bytes]]
) -> tuple[bytes, bytes, bytes]:
    """Return the page as a request wants it: body, media type and content encoding.

    headers: the request's, names in lower case. Raises what a collector raises.
    """
    accept = b",".join(value for name, value in headers if name == b"accept").decode("latin-1")
    zipped = any(name == b"accept-encoding" and b"gzip" in value.lower() for name, value in headers)
    encode, media_type = choose_encoder(accept)
    body = encode(Page(gather()))
    if zipped:
        return gzip.compress(body, 1), media_type.encode(), b"gzip"
    return body, media_type.encode(), b""


def queries() -> tuple[bytes, bytes, bytes]:
    """Return the slow queries of this run's workers, like ``rendered``; none without databases."""
    from gnomon.databases import kept  # noqa: PLC0415  # few applications' pages have queries

    shapes = sys.modules.get("gnomon.databases.shapes")
    own = shapes.page() if shapes is not None else {"queries": [], "unused_indexes": []}
    told = kept.merged(kept.of_this_run(own))
    return json.dumps(told).encode(), b"application/json", b""


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    *headers: tuple[bytes, bytes],
    media_type: bytes = b"text/plain; charset=utf-8",
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
