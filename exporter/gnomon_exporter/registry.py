"""How a collector is entered in the registry."""

from collections.abc import Callable
from dataclasses import dataclass

from gnomon_exporter.collector import Collector


@dataclass(frozen=True, slots=True)
class Entry:
    """A collector's class and how it is run.

    factory: called with the host's ``Paths`` and the settings as keyword arguments.
    threaded: it may hang (a file system, device or socket), so it runs in a thread of its own.
    default: on without being asked for.
    node: one of node_exporter's collectors, so ``node_scrape_collector_*`` reports it too.
    """

    factory: Callable[..., Collector]
    threaded: bool = False
    default: bool = True
    node: bool = True
