"""Limiters: what they refused, by route and reason, and what they let through."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from gnomon import guard, subjects
from gnomon.families import Counters
from gnomon.routes import of_scope

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

L = TypeVar("L")

#: Most combinations of limiter, route and reason that are told apart.
CAP = 1000

_refused = Counters(
    "gnomon_limiter_refused",
    "Requests that a limiter refused, by route and reason.",
    ("limiter", "http_route", "reason"),
    CAP,
)
_allowed = Counters(
    "gnomon_limiter_allowed", "Checks of a limiter that let a request through.", ("limiter",), CAP
)
subjects.add(_refused, _allowed)


def refused(limiter: str, reason: str, *, request: HTTPConnection | None = None) -> None:
    """Count a request that a limiter refused: ``gnomon_limiter_refused_total``. Never raises.

    For limiters that ``watch_limiter`` does not know. limiter: its name. reason: a word or the
    limit, such as ``5 per 1 minute``; not who was refused. request: Starlette's or FastAPI's, or
    a WebSocket, for the label ``http_route``, which is "" without it.
    """
    try:
        route = of_scope(request.scope) if request is not None else ""
        _refused.child(str(limiter), route, str(reason)).inc()
    except Exception:
        guard.failed("limiter")


def watch_limiter(limiter: L, name: str) -> L:
    """Count what a limiter refuses and lets through, and return it.

    limiter: slowapi's Limiter, whose refusals are told by route, or a strategy of the library
    limits, sync or async, whose ``hit`` is watched. name: the label ``limiter``. The reason is
    the limit that was reached, such as ``5 per 1 minute``.

    Shown are ``gnomon_limiter_refused_total`` and ``gnomon_limiter_allowed_total``; responses
    with status 429 are among those of ``http_server_request_duration_seconds`` in any case. A
    limiter that is watched already stays as it is. Raises TypeError for any other limiter:
    call ``gnomon.refused`` where that one refuses. Raises ValueError for an empty name.
    """
    if not name:
        raise ValueError("watch_limiter: the name is empty; give the limiter's")
    own: Any = limiter
    if callable(getattr(own, "_check_request_limit", None)):
        _watch_slowapi(own, name)
    elif callable(getattr(own, "hit", None)) and callable(getattr(own, "get_window_stats", None)):
        _watch_limits(own, name)
    else:
        raise TypeError(
            f"watch_limiter knows slowapi's Limiter and the strategies of limits, not"
            f" {type(limiter).__name__}: call gnomon.refused({name!r}, reason, request=request)"
            " where it refuses"
        )
    _allowed.child(name)
    return limiter


def _watch_slowapi(limiter: Any, name: str) -> None:
    if "_check_request_limit" in limiter.__dict__:
        return
    check = limiter._check_request_limit  # noqa: SLF001  # the one place that all its ways share

    @wraps(check)
    def checked(request: Any, *args: Any, **options: Any) -> Any:
        try:
            result = check(request, *args, **options)
        except Exception as error:
            limit = getattr(error, "limit", None)
            if limit is not None:
                refused(name, str(getattr(limit, "limit", limit)), request=request)
            raise
        _count(name)
        return result

    limiter._check_request_limit = checked  # noqa: SLF001


def _watch_limits(limiter: Any, name: str) -> None:
    if "hit" in limiter.__dict__:
        return
    hit = limiter.hit
    if inspect.iscoroutinefunction(hit):

        @wraps(hit)
        async def hit_later(item: Any, *args: Any, **options: Any) -> Any:
            return _told(name, item, await hit(item, *args, **options))

        limiter.hit = hit_later
        return

    @wraps(hit)
    def hit_now(item: Any, *args: Any, **options: Any) -> Any:
        return _told(name, item, hit(item, *args, **options))

    limiter.hit = hit_now


def _told(name: str, item: Any, passed: Any) -> Any:
    if passed:
        _count(name)
    else:
        refused(name, str(item))
    return passed


def _count(name: str) -> None:
    try:
        _allowed.child(name).inc()
    except Exception:
        guard.failed("limiter")
