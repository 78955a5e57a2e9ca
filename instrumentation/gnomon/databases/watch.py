"""One engine that is watched, and what is true of all of them at a scrape."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from prometheus_client.core import GaugeMetricFamily

from gnomon import guard, subjects
from gnomon.databases import families, shapes
from gnomon.databases.asking import asker
from gnomon.databases.pools import PoolWatch
from gnomon.databases.queries import QueryWatch, namespace, system
from gnomon.databases.statements import shape as shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from sqlalchemy import Engine

    from gnomon.databases.statements import Name


class Watch:
    """The pool and the statements of one engine."""

    def __init__(self, engine: Engine, name: str, slow_seconds: float, *, explain: bool) -> None:
        self.engine = ref(engine)
        self.name = name
        self.slow_seconds = slow_seconds
        self.explain = explain
        self.hinted: set[tuple[str, str]] = set()
        self.pool = PoolWatch(engine, name)
        self.queries = QueryWatch(
            engine, name, slow_seconds, slow=self._slow, lost=self.pool.failed
        )

    def undo(self) -> None:
        """Leave the engine as if it had never been watched."""
        asker.forget(self)
        self.queries.undo()
        self.pool.undo()

    def _slow(self, called: Name, statement: str, values: Any, seconds: float) -> None:
        engine = self.engine()
        if engine is None:
            return
        kind = system(engine)
        shape = shapes.shapes.add(
            pool=self.name,
            system=kind,
            namespace=namespace(engine),
            summary=called.summary,
            text=shape_of(statement, kind),
            seconds=seconds,
        )
        asker.slow(self, shape, statement, called.operation, values)

    def hint(self) -> None:
        """Show for which columns an index is missing."""
        wanted = {hint for shape in shapes.shapes.of(self.name) for hint in shape.hints}
        for hint in self.hinted - wanted:
            families.missing_index.remove(self.name, *hint)
        for hint in wanted:
            families.missing_index.child(self.name, *hint).set(1)
        self.hinted = wanted


_watches: WeakKeyDictionary[Engine, Watch] = WeakKeyDictionary()
_lock = threading.Lock()


def watch(engine: Engine, name: str, slow_seconds: float, *, explain: bool) -> Watch | None:
    """Watch an engine; return the watch that there was before, None if there was none."""
    with _lock:
        present = _watches.get(engine)
        if present is None:
            _watches[engine] = Watch(engine, name, slow_seconds, explain=explain)
        return present


def unwatch(engine: Engine) -> None:
    """Watch an engine no longer."""
    with _lock:
        present = _watches.pop(engine, None)
    if present is not None:
        present.undo()


_STATE = {"used": "used", "idle": "idle"}


def gather() -> Iterator[Metric]:
    """Yield what is true of the pools now. Pools of the same name are added up."""
    found: dict[str, dict[str, float]] = {}
    for each in list(_watches.values()):
        total = found.setdefault(each.name, {})
        for key, value in each.pool.levels().items():
            total[key] = total.get(key, 0) + value
        if each.explain:
            try:
                asker.look(each)
            except Exception:
                guard.failed("statistics of indexes")
    count = GaugeMetricFamily(
        "db_client_connection_count",
        "Connections of a pool, by state: used or idle.",
        labels=[families.POOL, families.STATE],
    )
    gauges = {
        "max": GaugeMetricFamily(
            "db_client_connection_max",
            "Connections that a pool opens at most, overflow included.",
            labels=[families.POOL],
        ),
        "pending": GaugeMetricFamily(
            "db_client_connection_pending_requests",
            "Callers that wait for a connection of a pool.",
            labels=[families.POOL],
        ),
        "size": GaugeMetricFamily(
            "gnomon_db_pool_size",
            "Connections that a pool keeps open.",
            labels=[families.POOL],
        ),
        "overflow": GaugeMetricFamily(
            "gnomon_db_pool_overflow",
            "Connections that a pool has opened beyond those that it keeps.",
            labels=[families.POOL],
        ),
    }
    for name, levels in sorted(found.items()):
        for key, value in levels.items():
            if key in _STATE:
                count.add_metric([name, _STATE[key]], value)
            else:
                gauges[key].add_metric([name], value)
    for family in (count, *gauges.values()):
        if family.samples:
            yield family


subjects.look("database pools", gather)
