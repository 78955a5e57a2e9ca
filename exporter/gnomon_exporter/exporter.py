"""The exporter: a configuration and the guarded collectors that it turned on."""

import logging
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from gnomon_exporter import config as configuration
from gnomon_exporter.config import CollectorConfig, Config
from gnomon_exporter.exposition import render
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.guard import Guard, Outcome
from gnomon_exporter.helpers import Helpers
from gnomon_exporter.options import summary
from gnomon_exporter.page import State
from gnomon_exporter.paths import Paths
from gnomon_exporter.registry import Entry
from gnomon_exporter.scrape import Scraper
from gnomon_exporter.strict_yaml import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    """A configuration and what runs by it; replaced as a whole."""

    config: Config
    scraper: Scraper
    probes: Mapping[tuple[str, str], Scraper]


class Exporter:
    """What the server shows, by the last configuration that was good.

    Raises ConfigError where the first one is not.
    """

    def __init__(self, options: Namespace, registry: Mapping[str, Entry]) -> None:
        given = vars(options)
        self._options = options
        self._registry = registry
        self._paths = Paths(given["path.rootfs"], given["path.procfs"], given["path.sysfs"])
        self._helpers = Helpers()
        self._reloading = threading.Lock()
        self._running = self._started(_Running(Config({}), Scraper({}), {}))
        self._reload_problem: str | None = None
        self._reloaded = round(time.time(), 3)
        #: Why the web config file on disk is not in force, None when it is; the server knows.
        self.web_problem: Callable[[], str | None] = lambda: None

    def reload(self) -> None:
        """Read the configuration again; a bad one is logged and changes nothing.

        Collectors whose settings stay the same go on as they are, with what they remember.
        """
        with self._reloading:
            before = self._running
            try:
                self._running = self._started(before)
            except ConfigError as error:
                self._reload_problem = str(error)
                log.error("configuration not reloaded, the old one stays: %s", error)  # noqa: TRY400
            else:
                self._reload_problem, self._reloaded = None, round(time.time(), 3)
                log.info("configuration reloaded, %d collectors on", len(self.names))

    @property
    def names(self) -> Sequence[str]:
        """The collectors that are on."""
        return list(self._running.scraper.guards)

    def render(self, names: Collection[str] | None, deadline: float) -> bytes:
        """Return the page of the named collectors, all for None, by ``deadline`` (monotonic)."""
        return self._running.scraper.scrape(names, deadline) + render(self._reloads())

    @property
    def targets(self) -> Mapping[str, Sequence[str]]:
        """The targets that can be probed, by collector."""
        found: dict[str, list[str]] = {}
        for name, target in self._running.probes:
            found.setdefault(name, []).append(target)
        return found

    def probe(self, collector: str, target: str, deadline: float) -> bytes | None:
        """Return the page of one target by ``deadline``; None where there is no such target."""
        scraper = self._running.probes.get((collector, target))
        return None if scraper is None else scraper.scrape(None, deadline)

    def states(self) -> Sequence[State]:
        """Return how each collector that is on fared last, and each target."""
        running = self._running
        guards = [(name, "", guard) for name, guard in running.scraper.guards.items()]
        guards += [
            (name, target, scraper.guards[name])
            for (name, target), scraper in running.probes.items()
        ]
        return [self._state(name, target, guard) for name, target, guard in guards]

    def _state(self, name: str, target: str, guard: Guard) -> State:
        last = guard.last or Outcome(success=None)
        return State(
            name=name,
            description=summary(self._registry[name]),
            duration=last.duration if guard.last else None,
            # What yields no series has nothing to report here, however it says so.
            success=last.success if last.texts or last.success is False else None,
            error=last.error,
            last_run=guard.last_run,
            target=target,
        )

    def ready(self) -> bool:
        """Whether any collector is on, or any target can be probed."""
        return bool(self._running.scraper.guards or self._running.probes)

    def config_text(self) -> str:
        """Return the configuration in force as YAML, without secrets."""
        return configuration.as_text(self._running.config, self._registry)

    def _started(self, before: _Running) -> _Running:
        """Return what the configuration gives now, keeping the guards it leaves as they were."""
        config = configuration.read(self._options, self._registry)
        old, same_cap = before.config, config.series_limit == before.config.series_limit
        guards = {
            name: before.scraper.guards[name]
            if same_cap and old.collectors.get(name) == settings
            else self._guard(name, settings, config.series_limit)
            for name, settings in config.collectors.items()
        }
        probes = {
            key: before.probes[key]
            if same_cap and old.targets.get(key) == settings
            else self._probe(*key, settings, config.series_limit)
            for key, settings in config.targets.items()
        }
        node = [name for name in guards if self._registry[name].node]
        return _Running(config, Scraper(guards, node), probes)

    def _probe(self, name: str, target: str, settings: CollectorConfig, cap: int) -> Scraper:
        return Scraper({name: self._guard(name, settings, cap, target)}, build=False)

    def _guard(self, name: str, settings: CollectorConfig, cap: int, target: str = "") -> Guard:
        entry = self._registry[name]
        try:
            collector = entry.factory(self._paths, **settings.settings)
        except ValueError as error:
            raise configuration.settings_error(name, settings, error) from None
        return Guard(
            name,
            collector,
            helpers=self._helpers if entry.threaded else None,
            timeout=settings.timeout,
            cap=cap,
            target=target,
        )

    def notes(self) -> Sequence[str]:
        """Return what whoever looks at the exporter ought to know, in sentences."""
        if self._reload_problem is None:
            return []
        return [f"The configuration on disk is not in force. {self._reload_problem}"]

    def _reloads(self) -> Sequence[GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "gnomon_exporter_config_last_reload_successful",
                "1 if the configuration was good when it was last read.",
                int(self._reload_problem is None),
            ),
            GaugeMetricFamily(
                "gnomon_exporter_config_last_reload_success_timestamp_seconds",
                "Unix time when the configuration in force was read.",
                self._reloaded,
            ),
            GaugeMetricFamily(
                "gnomon_exporter_web_config_last_reload_successful",
                "1 if the web config file was good when it was last read, or there is none.",
                int(self.web_problem() is None),
            ),
        )
