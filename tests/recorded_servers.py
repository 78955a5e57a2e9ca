"""Collectors of servers on recorded conversations, where a page must be the same everywhere."""

from collections.abc import Iterator
from pathlib import Path

from caches import replaying
from gnomon_exporter.collector import Collector
from gnomon_exporter.collectors.memcached import MemcachedCollector
from gnomon_exporter.collectors.processes import ProcessesCollector
from gnomon_exporter.collectors.redis import RedisCollector
from gnomon_exporter.paths import Paths

FIXTURES = Path(__file__).parent / "exporter/fixtures"


def collectors(name: str) -> Iterator[Collector]:
    """Yield a collector by its name, set up to report all that was recorded, if that was at all.

    What one yields has to be read before the next.
    """
    if name == "redis":
        for role in ("master", "replica"):
            with replaying(FIXTURES / f"redis-7.0-{role}.json") as port:
                yield RedisCollector(
                    Paths(),
                    address=f"redis://127.0.0.1:{port}",
                    keys=("jobs", "hits"),
                    key_values=True,
                    count_keys=("*",),
                    streams=("events",),
                )
    elif name == "memcached":
        with replaying(FIXTURES / "memcached-1.6.json") as port:
            yield MemcachedCollector(Paths(), address=f"127.0.0.1:{port}")
    elif name == "processes":
        host = Paths(str(FIXTURES / "debian-12-vm"))
        yield ProcessesCollector(host, groups=("worker=worker",), smaps=True)
