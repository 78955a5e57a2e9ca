"""The slow statements of this process, by shape: counts, times, plans, hints."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from gnomon.logs import add_trace_ids

log = logging.getLogger("gnomon")

#: Most shapes that are kept; of more, those that have not been seen for longest go.
KEPT = 200

#: Seconds between two log lines about the same shape.
QUIET = 3600.0

#: Most shapes of which a line is written at all: a statement that is never the same twice may not
#: fill a disk.
LOGGED = 1000


@dataclass(slots=True)
class Shape:
    """One slow statement without its literals.

    count: how often it was slow. total, longest: seconds of those. first, last: when, in seconds
    since 1970. trace_id: of the last that had a trace, "" for none. plan: lines of the database's
    plan, without literals, None as long as there is none; why: what came instead of one. hints:
    pairs of table and column. explained: when, on the monotonic clock.
    """

    id: str
    pool: str
    system: str
    namespace: str
    summary: str
    text: str
    count: int = 0
    total: float = 0.0
    longest: float = 0.0
    first: float = 0.0
    last: float = 0.0
    trace_id: str = ""
    plan: list[str] | None = None
    why: str = ""
    hints: list[tuple[str, str]] = field(default_factory=list)
    explained: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what is told of it."""
        return {
            "id": self.id,
            "pool": self.pool,
            "system": self.system,
            "database": self.namespace,
            "summary": self.summary,
            "shape": self.text,
            "count": self.count,
            "total_seconds": self.total,
            "longest_seconds": self.longest,
            "first_timestamp_seconds": self.first,
            "last_timestamp_seconds": self.last,
            "trace_id": self.trace_id,
            "plan": self.plan,
            "no_plan_because": self.why or None,
            "missing_indexes": [{"table": table, "column": name} for table, name in self.hints],
        }


class Shapes:
    """All of one process."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know of nothing, as in a process that was forked off: the other keeps what was there."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Shape] = {}
        self._logged: dict[str, tuple[float, int]] = {}
        #: Counts changes, for whoever writes them down.
        self.changes = 0

    def add(
        self, *, pool: str, system: str, namespace: str, summary: str, text: str, seconds: float
    ) -> Shape:
        """Count a slow statement and log its shape, unless that was logged a short while ago."""
        found = add_trace_ids(None, "", {})
        trace_id = str(found.get("trace_id", ""))
        with self._lock:
            # The latest stands last, so that the first is the one to go.
            shape = self._known.pop((pool, text), None)
            if shape is None:
                name = hashlib.sha256(f"{pool}\0{text}".encode("utf-8", "replace")).hexdigest()[:8]
                shape = Shape(name, pool, system, namespace, summary, text, first=time.time())
                if len(self._known) >= KEPT:
                    del self._known[next(iter(self._known))]
            self._known[pool, text] = shape
            shape.count += 1
            shape.total += seconds
            shape.longest = max(shape.longest, seconds)
            shape.last = time.time()
            shape.trace_id = trace_id or shape.trace_id
            self.changes += 1
            count, of_these = shape.count, self._of_these(shape)
        if of_these:
            log.warning(
                "slow query %s on %s took %.3f s, count %d%s%s: %s",
                shape.id,
                pool,
                seconds,
                count,
                f" ({of_these} since the last line)" if of_these < count else "",
                f", trace {trace_id}" if trace_id else "",
                text,
            )
        return shape

    def _of_these(self, shape: Shape) -> int:
        """Return of how many runs a line is due now, 0 if none is."""
        now = time.monotonic()
        at, count = self._logged.get(shape.id, (None, 0))
        if at is None:
            if len(self._logged) >= LOGGED:
                return 0
        elif now - at < QUIET:
            return 0
        self._logged[shape.id] = now, shape.count
        return max(1, shape.count - count)

    def explained(
        self, shape: Shape, plan: list[str] | None, hints: list[tuple[str, str]], why: str = ""
    ) -> None:
        """Keep what the database said of a shape."""
        with self._lock:
            shape.plan, shape.hints, shape.why = plan, hints, why
            self.changes += 1

    def of(self, pool: str) -> list[Shape]:
        """Return the shapes of one pool."""
        with self._lock:
            return [shape for shape in self._known.values() if shape.pool == pool]

    def as_list(self) -> list[dict[str, Any]]:
        """Return all of them, the slowest first."""
        with self._lock:
            found = [shape.as_dict() for shape in self._known.values()]
        return sorted(found, key=lambda shape: -float(shape["longest_seconds"]))

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._known.clear()
            self._logged.clear()
            self.changes += 1


#: One for the process, for a scrape is of the process.
shapes = Shapes()
os.register_at_fork(after_in_child=shapes.begin)

#: Indexes that nothing uses, by pool: pairs of table and index. Absent where it is not known.
unused: dict[str, list[tuple[str, str]]] = {}


def page() -> dict[str, Any]:
    """Return everything that this process knows, as it is written down and answered."""
    return {
        "queries": shapes.as_list(),
        "unused_indexes": [
            {"pool": pool, "table": table, "index": index}
            for pool, found in sorted(unused.items())
            for table, index in found
        ],
    }
