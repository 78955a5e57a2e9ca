"""Asks a Prometheus what the dashboards ask, and tells which questions it has no answer to."""

import functools
import json
import math
import time
import urllib.error
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import servers
from dashboards import asked


@dataclass
class Answers:
    """What one Prometheus answers. url: its address. errors: what it refused, and why."""

    url: str
    errors: dict[str, str] = field(default_factory=dict)

    def _get(self, path: str, **words: str) -> Any:
        query = urllib.parse.urlencode(words)
        return json.loads(servers.fetch(f"{self.url}/api/v1/{path}?{query}", timeout=60))["data"]

    def series(self, matchers: str) -> list[dict[str, str]]:
        """Return the sets of labels that were seen in the last hour."""
        now = time.time()
        words = {"match[]": matchers, "start": f"{now - 3600:.0f}", "end": f"{now:.0f}"}
        found: list[dict[str, str]] = self._get("series", **words)
        return found

    def numbers(self, query: asked.Query, chosen: Mapping[str, str]) -> list[float]:
        """Return all numbers that a query gives, without NaN; raise OSError where it is refused."""
        expr = query.asked(chosen)
        now = time.time()
        samples = []
        if not query.instant:
            step = query.step_s
            words = {
                "start": f"{(now - query.span_s) // step * step:.0f}",
                "end": f"{now // step * step:.0f}",
                "step": f"{step}",
            }
            result = self._get("query_range", query=expr, **words)["result"]
            samples = [sample for one in result for sample in one["values"]]
        if not samples:
            # Of this moment; on a graph, what its next point will be.
            result = self._get("query", query=expr, time=f"{now:.0f}")["result"]
            samples = [one["value"] for one in result]
        values = (float(value) for _, value in samples)
        return [value for value in values if not math.isnan(value)]

    def empty(self, path: Path) -> list[asked.Query]:
        """Return the queries of a dashboard that give no number, whatever is chosen at its head."""
        board = asked.dashboard(path)
        series = functools.cache(self.series)
        offered = asked.choices(board, series)
        return [query for query in asked.queries(path) if not self._answered(query, offered)]

    def _answered(self, query: asked.Query, offered: list[dict[str, str]]) -> bool:
        names = asked.named(query.expr)
        tried: dict[tuple[str, ...], dict[str, str]] = {}
        for one in offered:
            tried.setdefault(tuple(one[name] for name in names), one)
        for chosen in tried.values():
            try:
                if self.numbers(query, chosen):
                    return True
            except urllib.error.HTTPError as error:
                self.errors[str(query)] = error.read().decode(errors="replace")
                return False
        return False
