"""What one worker has to tell: its registry, read cheaply every second and wholly for a page."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from prometheus_client import Gauge, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from gnomon.workers.merging import cumulative, exact, is_created

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.registry import Collector


class Source:
    """The families of one registry.

    Collectors of prometheus-client's own kinds, and gnomon's, are read whenever there is something
    to save. All others, which may ask a database for what they show, are read for pages alone, and
    stay as they were between two of them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._asking = threading.Lock()
        self._foreign: list[Metric] = []

    def ask(self) -> None:
        """Read the collectors that may take their time. Raises what they raise."""
        with self._asking:
            # In one go, or a collector that fails would leave half of the others old.
            self._foreign = [
                family
                for collector in self._collectors()
                if not _is_cheap(collector)
                for family in collector.collect()
            ]

    def families(self) -> list[Metric]:
        """Return all families: the cheap ones as they are now, the others as asked for last."""
        families = [
            family
            for collector in self._collectors()
            if _is_cheap(collector)
            for family in collector.collect()
        ]
        return [*families, *self._foreign]

    def counted(self) -> list[Metric]:
        """Return what this process has counted itself so far, and leaves to a forked child."""
        return exact(
            family
            for collector in self._collectors()
            # The kernel counts a child's resources from nothing.
            if _is_cheap(collector) and not isinstance(collector, ProcessCollector)
            for family in cumulative(collector.collect())
            if any(sample.value and not is_created(sample) for sample in family.samples)
        )

    def after_fork(self) -> None:
        """Forget a lock that another thread may have held at the fork."""
        self._asking = threading.Lock()

    def modes(self) -> dict[str, str]:
        """Return the gauges that say how they are merged, by ``multiprocess_mode``."""
        found = {}
        for collector in self._collectors():
            if isinstance(collector, Gauge):
                mode = collector._multiprocess_mode  # noqa: SLF001  # there is no public way
                if mode != "all":
                    found[collector._name] = mode.removeprefix("live")  # noqa: SLF001
        return found

    def _collectors(self) -> list[Collector]:
        registry = self._registry
        with registry._lock:  # noqa: SLF001  # it has no public list of its collectors
            collectors = list(registry._collector_to_names)  # noqa: SLF001
        if registry.get_target_info():
            collectors.append(_TargetInfo(registry))
        return collectors


class _TargetInfo:
    """A registry's own ``target_info``, which no collector of it yields."""

    __module__ = "prometheus_client"

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Return the one family."""
        return [self._registry._target_info_metric()]  # type: ignore[no-untyped-call]  # noqa: SLF001


def _is_cheap(collector: Collector) -> bool:
    origin = type(collector).__module__.partition(".")[0]
    return origin in ("gnomon", "prometheus_client") or isinstance(collector, MetricWrapperBase)
