"""What is found, scraped and told, put together; asked once for all who look."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from gnomon_console.prometheus import AskError, Prometheus, Series
from gnomon_console.settings import Settings
from gnomon_console.setup import lines, machine

#: Seconds for which an answer holds: of Prometheus, and of the machine and Alertmanager.
_KEEP_S, _KEEP_LONG_S = 4.0, 30.0

_PATIENCE_S = 5.0

#: What the stack itself brings; everything else is somebody's own application.
_OWN = frozenset({"gnomon-console", "desk", "exchange", "desk-worker"})

#: Collectors, applications with the library, databases that they use, endpoints from outside.
_QUERIES = (
    "gnomon_scrape_collector_success",
    "group by (service, service_version) (gnomon_build_info)",
    "group by (db_system_name) (db_client_operation_duration_seconds_count)",
    "probe_success",
)

WATCHED, MISSING, FAILS, ABSENT = "watched", "not watched", "fails", "not here"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that could be watched. here: how it was found, "" if not. line: what adds it."""

    name: str
    here: str
    state: str
    line: str = ""


@dataclass(frozen=True, slots=True)
class Scraped:
    """One target of Prometheus. health: up, down or unknown; trouble: why it is down."""

    service: str
    job: str
    address: str
    health: str
    trouble: str


@dataclass(frozen=True, slots=True)
class Service:
    """One application with the library. own: it is the stack's, as the demo is."""

    name: str
    version: str
    own: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the page shows.

    trouble: why Prometheus could not be asked, "" if it could. samples: whether it has any.
    working, failing: collectors of the exporters. told: kinds of channels by receiver, None where
    Alertmanager does not say.
    """

    trouble: str
    samples: bool
    things: tuple[Thing, ...]
    scraped: tuple[Scraped, ...]
    working: int
    failing: tuple[str, ...]
    services: tuple[Service, ...]
    told: tuple[tuple[str, tuple[str, ...]], ...] | None

    @property
    def missing(self) -> list[Thing]:
        """What is here and nobody watches, or fails."""
        return [thing for thing in self.things if thing.state in {MISSING, FAILS}]

    @property
    def applications(self) -> list[Service]:
        """What is not the stack's own."""
        return [service for service in self.services if not service.own]


class Setup:
    """Looks at the machine, at Prometheus and at Alertmanager."""

    def __init__(
        self, settings: Settings, prometheus: Prometheus, ports: machine.Ports | None = None
    ) -> None:
        self._settings = settings
        self._prometheus = prometheus
        self._ports = ports or machine.Ports()
        self._kept: dict[str, tuple[float, asyncio.Task[Any]]] = {}

    @property
    def receiver(self) -> str:
        """Where applications send their traces to, "" where Jaeger takes them."""
        here = self._settings
        return "" if here.jaeger else f"http://{here.host}:{here.port}"

    async def look(self) -> Seen:
        """Return what is here and how it is."""
        found: Seen = await self._once("seen", _KEEP_S, self._look)
        return found

    async def _once(self, name: str, keep_s: float, ask: Callable[[], Awaitable[Any]]) -> Any:
        until, task = self._kept.get(name, (0.0, None))
        if task is None or until < time.monotonic():
            task = asyncio.ensure_future(ask())
            self._kept[name] = (time.monotonic() + keep_s, task)
        # One who goes away takes the answer from nobody.
        return await asyncio.shield(task)

    async def _look(self) -> Seen:
        here, told = await asyncio.gather(
            self._once("machine", _KEEP_LONG_S, self._machine),
            self._once("told", _KEEP_LONG_S, self._told),
        )
        trouble, targets = "", []
        answers: list[list[Series]] = [[] for _ in _QUERIES]
        now = time.time() // 5 * 5
        try:
            given, *answers = await asyncio.gather(
                self._prometheus.page("targets?state=active"),
                *(self._prometheus.now(query, now) for query in _QUERIES),
            )
            targets = given["activeTargets"]
        except AskError as error:
            # What a socket said of it helps nobody here.
            trouble = str(error).split(": ", maxsplit=1)[0]
        collectors, services, databases, probes = answers
        # Of what is looked at from outside, `up` says only that somebody looks.
        unwell = {each.labels.get("instance", "") for each in probes if not each.last}
        scraped = tuple(sorted((_scraped(each, unwell) for each in targets), key=_order))
        works = {each.labels.get("collector", ""): each.last > 0 for each in collectors}
        pools = {each.job for each in scraped if each.health == "up"}
        systems = {each.labels.get("db_system_name", "") for each in databases}
        return Seen(
            trouble=trouble,
            samples=any(each.health == "up" for each in scraped),
            things=tuple(
                things(
                    here,
                    self._ports,
                    works=works,
                    pools=pools,
                    systems=systems,
                    written=_written(self._settings.root),
                )
            ),
            scraped=scraped,
            working=sum(each.last > 0 for each in collectors),
            failing=tuple(sorted(_failing(collectors))),
            services=tuple(sorted(map(_service, services), key=lambda each: (each.own, each.name))),
            told=told,
        )

    async def _machine(self) -> machine.Machine:
        return await asyncio.to_thread(machine.look, self._ports)

    async def _told(self) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
        """Return the kinds of channels behind each receiver that has any."""
        patience = aiohttp.ClientTimeout(total=_PATIENCE_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=patience) as session,
                session.get(f"{self._settings.alertmanager}/api/v2/status") as answer,
            ):
                status = await answer.json()
            config = await asyncio.to_thread(yaml.safe_load, status["config"]["original"])
            return tuple(
                (each["name"], kinds)
                for each in config["receivers"]
                if (kinds := tuple(key[:-8] for key in each if key.endswith("_configs")))
            )
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, yaml.YAMLError):
            return None


def _scraped(given: Mapping[str, Any], unwell: Collection[str]) -> Scraped:
    job = given["scrapePool"]
    address = given["labels"].get("instance", given["scrapeUrl"])
    health, trouble = given["health"], given["lastError"]
    if job == "blackbox" and health == "up" and address in unwell:
        health, trouble = "down", "it does not answer as it should from outside"
    return Scraped(given["labels"].get("service", ""), job, address, health, trouble)


def _order(each: Scraped) -> tuple[bool, str, str, str]:
    return each.health == "up", each.job, each.service, each.address


def _failing(collectors: Sequence[Series]) -> set[str]:
    return {
        f"{each.labels.get('collector', '')} on {each.labels.get('instance', '')}"
        for each in collectors
        if each.last <= 0
    }


def _service(found: Series) -> Service:
    name = found.labels.get("service", "")
    return Service(name, found.labels.get("service_version", ""), name in _OWN)


def _written(root: Path) -> set[str]:
    """Return the collectors that exporter.yml names, whether or not they are in force."""
    try:
        found = yaml.safe_load((root / "exporter.yml").read_text())
        return set(found.get("collectors") or ())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError):
        return set()


def things(
    here: machine.Machine,
    ports: machine.Ports,
    *,
    works: Mapping[str, bool],
    pools: Collection[str],
    systems: Collection[str],
    written: Collection[str],
) -> list[Thing]:
    """Return what could be watched.

    works: collectors that run, and whether they succeed. pools: jobs that have an answering
    target. systems: databases that applications tell of. written: collectors in exporter.yml.
    """
    found = here.servers

    def collected(name: str, collector: str, where: str, setting: str) -> Thing:
        if collector in works:
            return Thing(name, where, WATCHED if works[collector] else FAILS)
        line = lines.collector(collector, setting, written=collector in written)
        return Thing(name, where, MISSING if where else ABSENT, line if where else "")

    def other(name: str, where: str, watched: object, line: str) -> Thing:
        if watched:
            return Thing(name, where, WATCHED)
        return Thing(name, where, MISSING if where else ABSENT, line if where else "")

    redis = f"{machine.HOST}:{ports.known.redis}"
    locked = ', password_file: "/etc/gnomon/redis.password"' if found.redis_locked else ""
    at_redis = f"answers on {redis}" if found.redis or found.redis_locked else ""
    at_redis += ", wants a password" if found.redis_locked else ""
    broker = f'{{address: "redis://{redis}"{locked}}}'
    memcached = f"{machine.HOST}:{ports.known.memcached}"
    groups = [*(["systemd"] if here.systemd else []), *here.runtimes]
    return [
        other("This machine", platform.system(), "cpu" in works, lines.START),
        collected(
            "NVIDIA GPUs",
            "gpu",
            f"{found.gpus} here" if found.gpus else "",
            f"{{expected: {found.gpus}}}",
        ),
        collected("Services and containers", "cgroup", ", ".join(groups), "{}"),
        collected("Redis", "redis", at_redis, broker),
        collected("Celery", "celery", f"its queues are in {redis}" * found.celery, broker),
        collected("RQ", "rq", f"its queues are in {redis}" * found.rq, broker),
        collected(
            "memcached",
            "memcached",
            f"answers on {memcached}" if found.memcached else "",
            f'{{address: "{memcached}"}}',
        ),
        other(
            "RabbitMQ",
            f"a broker answers on {machine.HOST}:{ports.known.amqp}" * found.amqp,
            "rabbitmq" in pools,
            lines.RABBITMQ,
        ),
        other(
            "PostgreSQL",
            f"answers on {machine.HOST}:{ports.postgresql}" * here.postgresql,
            "postgresql" in systems,
            lines.ENGINE,
        ),
        other(
            "Endpoints from outside",
            f"blackbox_exporter answers on {machine.HOST}:{ports.blackbox}" * here.blackbox,
            "blackbox" in pools,
            lines.PROBE,
        ),
    ]
