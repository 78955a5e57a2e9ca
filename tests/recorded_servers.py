"""Collectors of servers on recorded conversations, where a page must be the same everywhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from caches import replaying
from gnomon_exporter.celery_broker import Queues
from gnomon_exporter.celery_messages import Answers
from gnomon_exporter.collector import Collector
from gnomon_exporter.collectors.celery import CeleryCollector
from gnomon_exporter.collectors.memcached import MemcachedCollector
from gnomon_exporter.collectors.processes import ProcessesCollector
from gnomon_exporter.collectors.redis import RedisCollector
from gnomon_exporter.collectors.rq import RqCollector
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
    elif name == "rq":
        with replaying(FIXTURES / "rq-3.0.json") as port:
            yield RqCollector(Paths(), address=f"redis://127.0.0.1:{port}")
    elif name == "celery":
        yield _celery()
    elif name == "processes":
        host = Paths(str(FIXTURES / "debian-12-vm"))
        yield ProcessesCollector(host, groups=("worker=worker",), smaps=True)


class _Broker:
    """A broker that says all that Redis and RabbitMQ together can; written by hand."""

    def greet(self, deadline: float) -> None:
        """Be there."""

    def ask(self, deadline: float) -> None:
        """Ask nobody."""

    def queues(self, names: Sequence[str], deadline: float) -> Queues:
        """Return a queue with two messages."""
        del names, deadline
        return Queues({"celery": 2}, {"celery": {0: 1, 9: 1}}, {"celery": 1}, 1)


class _Listening:
    """A listener to whom nothing comes."""

    is_listening = True
    problem = ""

    def start(self) -> None:
        """Do not listen."""


def _celery() -> CeleryCollector:
    """Return a collector that was told of a task at each stage."""
    collector = CeleryCollector(Paths(), inspect_interval=0.0)
    collector._broker = _Broker()
    collector._listener = _Listening()
    answers = collector._answers = Answers()
    answers.queues["anna@one"] = ["celery"]
    for event in (
        {"type": "worker-heartbeat", "active": 1, "pid": 1},
        {"type": "task-sent", "uuid": "1", "name": "add", "queue": "celery", "timestamp": 1},
        {"type": "task-started", "uuid": "1", "timestamp": 2},
        {"type": "task-succeeded", "uuid": "1", "runtime": 1},
        {"type": "task-received", "uuid": "2", "name": "add"},
    ):
        collector._tally.take({"hostname": "anna@one", **event})
    return collector
