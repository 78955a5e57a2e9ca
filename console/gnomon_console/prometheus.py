"""What Prometheus says: each question is asked once, however many look."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from gnomon_console.ranges import Range

#: Questions at the same time: Prometheus answers 20 by itself, and others ask, too.
_AT_ONCE = 12

#: Seconds that an answer may take.
_PATIENCE_S = 20.0

#: Answers that are kept, at most, and the points in them; a point takes 120 bytes. Seconds between
#: two looks for what is more than that, or old.
_KEPT, _POINTS, _FORGET_S = 400, 100_000, 1.0


class AskError(Exception):
    """Prometheus did not answer, or refused the question; the text says which."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and its points as Unix seconds and values."""

    labels: dict[str, str]
    points: list[tuple[float, float]]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


class Prometheus:
    """A client of Prometheus' HTTP API."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._forgot = 0.0
        self._asked: dict[tuple[Any, ...], tuple[float, asyncio.Task[Any]]] = {}

    async def close(self) -> None:
        """Give back its connections."""
        if self._session is not None:
            await self._session.close()

    async def range(self, expr: str, at: Range) -> list[Series]:
        """Return the series of an expression over a time. Raise AskError."""
        key = ("query_range", expr, at.start, at.end, at.step)
        asked = {"query": expr, "start": at.start, "end": at.end, "step": at.step}
        found: list[Series] = await self._once(
            key, min(at.step, 30), lambda: self._matrix("query_range", asked)
        )
        return found

    async def now(self, expr: str, at: float) -> list[Series]:
        """Return the series of an expression at one moment. Raise AskError."""
        asked = {"query": expr, "time": at}
        found: list[Series] = await self._once(
            ("query", expr, at), 10, lambda: self._matrix("query", asked)
        )
        return found

    async def once(self, expr: str, at: float) -> list[Series]:
        """Return what ``now`` does, and keep none of it: it may be large. Raise AskError."""
        return await self._matrix("query", {"query": expr, "time": at})

    async def exemplars(self, expr: str, at: Range) -> list[dict[str, Any]]:
        """Return the exemplars of the series in an expression, each with labels, value, timestamp.

        Raise AskError.
        """
        key = ("query_exemplars", expr, at.start, at.end)
        asked = {"query": expr, "start": at.start, "end": at.end}
        found = await self._once(key, 15, lambda: self._ask("query_exemplars", asked))
        return [each for series in found for each in series.get("exemplars", ())]

    async def label_values(self, label: str, selector: str, at: Range) -> list[str]:
        """Return the values that a label has in the series of a selector. Raise AskError."""
        # A day is long enough to choose from, and quickly asked for.
        start = max(at.start, at.end - 86400) // 60 * 60
        asked: dict[str, Any] = {"start": start, "end": at.end // 60 * 60 + 60}
        if selector:
            asked["match[]"] = selector
        path = f"label/{label}/values"
        key = (path, selector, asked["start"], asked["end"])
        found: list[str] = await self._once(key, 30, lambda: self._ask(path, asked, get=True))
        return found

    async def page(self, path: str) -> Any:
        """Return what the API says at a path without any question. Raise AskError."""
        return await self._once((path,), 5, lambda: self._ask(path, {}, get=True))

    async def _once(
        self, key: tuple[Any, ...], keep_s: float, ask: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Return the answer to a question that is asked once within a time, whoever wants it."""
        now = time.monotonic()
        until, task = self._asked.get(key, (0.0, None))
        if task is None or until < now:
            self._forget(now)
            task = asyncio.ensure_future(ask())
            self._asked[key] = (now + keep_s, task)
        try:
            # One who goes away takes the answer from nobody.
            return await asyncio.shield(task)
        except AskError:
            self._asked.pop(key, None)
            raise

    def _forget(self, now: float) -> None:
        """Let go of old answers: those of a few dashboards take tens of megabytes."""
        if now - self._forgot > _FORGET_S:
            self._forgot = now
            for key in [key for key, (until, _) in self._asked.items() if until < now]:
                del self._asked[key]
            points = {key: _points(task) for key, (_, task) in self._asked.items()}
            for key in list(self._asked):
                if sum(points.values()) <= _POINTS:
                    break
                del self._asked[key], points[key]
        while len(self._asked) >= _KEPT:
            del self._asked[next(iter(self._asked))]

    async def _matrix(self, path: str, asked: dict[str, Any]) -> list[Series]:
        found = await self._ask(path, asked)
        kind, result = found["resultType"], found["result"]
        if kind == "scalar":
            return [Series({}, [(float(result[0]), float(result[1]))])]
        if kind == "vector":
            return [Series(each["metric"], [_point(each["value"])]) for each in result]
        return [Series(each["metric"], [_point(p) for p in each["values"]]) for each in result]

    async def _ask(self, path: str, asked: dict[str, Any], *, get: bool = False) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_PATIENCE_S),
                connector=aiohttp.TCPConnector(limit=_AT_ONCE),
            )
        url = f"{self._address}/api/v1/{path}"
        given = {key: str(value) for key, value in asked.items()}
        try:
            async with (
                self._turns,
                self._session.get(url, params=given)
                if get
                else self._session.post(url, data=given) as answer,
            ):
                body = await answer.read()
        except TimeoutError:
            raise AskError(f"Prometheus took more than {_PATIENCE_S:.0f} s to answer") from None
        except aiohttp.ClientError as error:
            raise AskError(f"Prometheus at {self._address} cannot be reached: {error}") from None
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise AskError(f"Prometheus answered {answer.status} without JSON") from None
        if said.get("status") != "success":
            raise AskError(f"Prometheus refused the query: {said.get('error', answer.status)}")
        return said["data"]


def _points(task: asyncio.Task[Any]) -> int:
    """Return how many points an answer has, 0 while it is awaited."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return 0
    found = task.result()
    series = found if isinstance(found, list) else []
    return sum(len(each.points) for each in series if isinstance(each, Series))


def _point(given: list[Any]) -> tuple[float, float]:
    return given[0], float(given[1])
