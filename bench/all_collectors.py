"""What a scrape of everything costs: one gnomon-exporter beside the exporters that it replaces.

All watch the same servers: a Redis with 10,000 keys, a memcached, RQ with a worker, and Celery
with three, where it is installed. Measured as in scrape_cost.py; the peers' figures are added up.
Peers are taken from PATH, or from the directories in $PEERS; the table says which were there.

Run by ``make bench``. The exit status is 1 without any peer, and for a figure over its budget.
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import redis
import rq
from rich.console import Console
from rich.table import Table
from scrape_cost import Figures, free_port, least, measure

import celery_app
from brokers import celery_workers
from caches import memcached_server, redis_server, say
from servers import ROOT, Server

CPU_RATIO = 1.0  # of all peers' together, per scrape
RESIDENT_RATIO = 0.5
KEYS = 10_000
#: Groups of processes, by a pattern of their command lines; both exporters read it alike.
GROUPS = {
    "redis": "redis-server",
    "memcached": "memcached",
    "celery": "celery_app",
    "rq": "rq worker",
}
WORKERS = ("anna", "bert", "carl")


class Services(NamedTuple):
    """What is watched: the ports of Redis and memcached, whether there is Celery, and a folder."""

    redis: int
    memcached: int
    celery: bool
    directory: Path


class Peer(NamedTuple):
    """An exporter that one of our collectors stands in for.

    programs: what it may be called. words: its arguments for a port to listen on.
    """

    programs: Sequence[str]
    words: Callable[[Services, int], Sequence[str]]


PEERS: Mapping[str, Peer] = {
    "node_exporter": Peer(
        ("prometheus-node-exporter", "node_exporter"),
        lambda _, port: [f"--web.listen-address=127.0.0.1:{port}"],
    ),
    "redis_exporter": Peer(
        ("prometheus-redis-exporter", "redis_exporter"),
        lambda services, port: [
            f"--web.listen-address=127.0.0.1:{port}",
            f"--redis.addr=redis://127.0.0.1:{services.redis}",
            "--check-single-keys=db0=key:0,db0=key:1",
        ],
    ),
    "memcached_exporter": Peer(
        ("prometheus-memcached-exporter", "memcached_exporter"),
        lambda services, port: [
            f"--web.listen-address=127.0.0.1:{port}",
            f"--memcached.address=127.0.0.1:{services.memcached}",
        ],
    ),
    "process-exporter": Peer(
        ("prometheus-process-exporter", "process-exporter"),
        lambda services, port: [
            f"--web.listen-address=127.0.0.1:{port}",
            f"--config.path={services.directory / 'processes.yml'}",
            "--gather-smaps=false",  # as our default is; with it, it takes far more
        ],
    ),
    "rq-exporter": Peer(
        ("rq-exporter",),
        lambda services, port: [
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--redis-url", f"redis://127.0.0.1:{services.redis}/0"),
        ],
    ),
    "celery-exporter": Peer(
        ("celery-exporter",),
        lambda services, port: [
            *("--host", "127.0.0.1", "--port", str(port)),
            f"--broker-url=redis://127.0.0.1:{services.redis}/1",
        ],
    ),
}


@contextmanager
def _services(directory: Path) -> Iterator[Services]:
    """Run what is watched, and write the configurations of those who watch."""
    with ExitStack() as stack:
        port, _ = stack.enter_context(redis_server(directory))
        memcached, _ = stack.enter_context(memcached_server(directory))
        client = stack.enter_context(redis.Redis(port=port))
        client.mset({f"key:{number}": "x" * 100 for number in range(KEYS)})
        say(memcached, *("set key 0 0 5", "hello") * 100)
        for number in range(5):
            queue = rq.Queue(f"queue-{number}", connection=client)
            for _ in range(20):
                queue.enqueue("queue_jobs.done")
        rq_worker = Path(sys.executable).with_name("rq")
        url = f"redis://127.0.0.1:{port}"
        words = [str(rq_worker), "worker", "--url", f"{url}/0", "queue-0"]
        stack.enter_context(Server(words, log=directory / "rq.log", cwd=ROOT / "tests"))
        has_celery = importlib.util.find_spec("celery") is not None
        if has_celery:
            workers = dict.fromkeys(WORKERS, "--pool solo")
            stack.enter_context(celery_workers(f"{url}/1", directory, **workers))
            with celery_app.application(f"{url}/1") as app:
                for _ in range(100):
                    app.send_task("add", (1, 2))
        services = Services(port, memcached, has_celery, directory)
        _write(services)
        yield services


def _write(services: Services) -> None:
    address = f"redis://127.0.0.1:{services.redis}"
    collectors = {
        "cgroup": {},
        "memcached": {"address": f"127.0.0.1:{services.memcached}"},
        "processes": {"groups": [f"{name}={word}" for name, word in GROUPS.items()]},
        "redis": {"address": address, "keys": ["key:0", "key:1"]},
        "rq": {"address": address},
    }
    if services.celery:
        collectors["celery"] = {"address": f"{address}/1"}
    # JSON is YAML, too.
    (services.directory / "exporter.yml").write_text(json.dumps({"collectors": collectors}))
    names = [{"name": name, "cmdline": [word]} for name, word in GROUPS.items()]
    (services.directory / "processes.yml").write_text(json.dumps({"process_names": names}))


def _rounds(
    services: Services, rounds: int, scrapes: int
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Return the least figures of each program, and why a peer has none."""
    path = os.pathsep.join(filter(None, (os.environ.get("PEERS"), os.environ.get("PATH"))))
    config = f"--config.file={services.directory / 'exporter.yml'}"

    def ours(*words: str) -> Callable[[int], Sequence[str]]:
        return lambda port: [*words, config, f"--web.listen-address=127.0.0.1:{port}"]

    scripted = Path(__file__).with_name("scripted_gpus.py")
    programs: dict[str, Callable[[int], Sequence[str]]] = {
        "gnomon-exporter": ours(str(Path(sys.executable).with_name("gnomon-exporter"))),
        "… with two scripted GPUs": ours(sys.executable, str(scripted)),
    }
    missing: dict[str, str] = {}
    for name, peer in PEERS.items():
        found = next(filter(None, (shutil.which(word, path=path) for word in peer.programs)), None)
        if found is None:
            missing[name] = f"not on PATH ({' or '.join(peer.programs)})"
        else:
            programs[name] = _command(found, peer, services)
    figures: dict[str, list[Figures]] = {name: [] for name in programs}
    env = {"PYTHONPATH": str(ROOT / "tests")}
    for _ in range(rounds):
        for name, words in programs.items():
            if name not in missing:
                port = free_port()
                try:
                    figures[name].append(measure(words(port), port, scrapes, env))
                except SystemExit as error:
                    if name not in PEERS:
                        raise
                    missing[name] = str(error)
    return {name: least(of) for name, of in figures.items() if name not in missing}, missing


def _command(program: str, peer: Peer, services: Services) -> Callable[[int], Sequence[str]]:
    return lambda port: [program, *peer.words(services, port)]


def _together(peers: Sequence[Figures]) -> Figures:
    """Return the sum of the figures."""
    return Figures(
        *(sum(getattr(peer, name) for peer in peers) for name in Figures.__dataclass_fields__)
    )


def main() -> int:
    """Measure, print a table, and return 1 when a figure is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scrapes", type=int, default=40)
    options = parser.parse_args()
    console = Console()
    if absent := [word for word in ("redis-server", "memcached") if not shutil.which(word)]:
        console.print(f"not measured: no {' and no '.join(absent)} on PATH", style="red")
        return 1
    with tempfile.TemporaryDirectory() as name, _services(Path(name)) as services:
        result, missing = _rounds(services, options.rounds, options.scrapes)
    peers = [figures for name, figures in result.items() if name in PEERS]
    result["all peers measured"] = together = _together(peers)
    table = Table("", "samples", "families", "CPU ms/scrape", "idle CPU %", "RSS MiB")
    for name, figures in result.items():
        if name in ("node_exporter", "all peers measured"):
            table.add_section()
        table.add_row(
            name,
            f"{figures.samples:.0f}",
            f"{figures.families:.0f}",
            f"{figures.cpu_ms:.2f}",
            f"{figures.idle_percent:.2f}",
            f"{figures.resident_mib:.1f}",
        )
    console.print(table)
    for name, why in missing.items():
        console.print(f"not measured: {name}: {why}")
    console.print("not measured: exporters for GPUs: none runs over a scripted NVML")
    if not services.celery:
        console.print("not measured: Celery, which is not installed")
    if not peers:
        console.print("no peer at hand, so no ratio", style="red")
        return 1
    is_over = False
    ours = result["gnomon-exporter"]
    for what, ratio, budget in (
        ("CPU per scrape", ours.cpu_ms / together.cpu_ms, CPU_RATIO),
        ("resident memory", ours.resident_mib / together.resident_mib, RESIDENT_RATIO),
    ):
        over = ratio > budget
        console.print(
            f"{what}: {ratio:.2f} of the peers' together, budget {budget}",
            style="red" if over else None,
        )
        is_over = is_over or over
    return int(is_over)


if __name__ == "__main__":
    sys.exit(main())
