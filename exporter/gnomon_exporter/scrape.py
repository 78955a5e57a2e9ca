"""A scrape: every collector under its guard, their families as one page."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from gnomon_exporter import version
from gnomon_exporter.exposition import encode, write
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.guard import Guard, Outcome
from gnomon_exporter.helpers import PAUSE

log = logging.getLogger(__name__)

_LABELS = ("collector",)


class Scraper:
    """Runs guarded collectors and adds what is known about the runs themselves.

    guards: by name. node: the names that ``node_scrape_collector_*`` reports as well.
    """

    def __init__(self, guards: Mapping[str, Guard], node: Collection[str] = ()) -> None:
        self.guards = guards
        self._node = frozenset(node)
        self._clashes: set[str] = set()

    def scrape(self, names: Collection[str] | None, deadline: float) -> bytes:
        """Return the page of a scrape that is over by ``deadline`` (monotonic seconds).

        names: the collectors asked for, None for all.
        """
        chosen = [guard for name, guard in self.guards.items() if names is None or name in names]
        # What may hang starts first, and has the interpreter to itself for as long as a healthy
        # one takes: beside the others, both would wait for its lock at every system call.
        flights = [(guard, guard.begin()) for guard in chosen if guard.threaded]
        until = time.monotonic() + PAUSE
        for guard, flight in reversed(flights):  # when the last is over, so are all healthy ones
            guard.wait(flight, until)
        flights += [(guard, guard.begin()) for guard in chosen if not guard.threaded]
        outcomes = {guard.name: guard.finish(flight, deadline) for guard, flight in flights}
        ordered = [(guard, outcomes[guard.name]) for guard in chosen]
        return encode([*self._one_each(ordered), *map(write, self._own(ordered))])

    def _one_each(self, ordered: Sequence[tuple[Guard, Outcome]]) -> Iterable[str]:
        """Return the text of each name's family, for a second HELP line would spoil the page.

        A textfile may repeat a name: its series join when the types agree and are left out when
        they do not, or when the same series is there already.
        """
        families: dict[str, Metric] = {}
        texts: dict[str, str] = {}
        for _, outcome in ordered:
            for family, text in zip(outcome.families, outcome.texts, strict=True):
                first = families.setdefault(family.name, family)
                if first is family:
                    texts[family.name] = text
                else:
                    families[family.name] = joined = self._joined(first, family)
                    texts[family.name] = write(joined)
        return texts.values()

    def _joined(self, first: Metric, second: Metric) -> Metric:
        joined = Metric(first.name, first.documentation, first.type)
        joined.others = first.samples
        if first.type == second.type:
            there = {(sample.name, frozenset(sample.labels.items())) for sample in joined.others}
            joined.others += [
                sample
                for sample in second.samples
                if (sample.name, frozenset(sample.labels.items())) not in there
            ]
        if len(joined) < len(first) + len(second) and first.name not in self._clashes:
            self._clashes.add(first.name)
            log.warning("metric %s comes twice: series of the second are left out", first.name)
        return joined

    def _own(self, ordered: Sequence[tuple[Guard, Outcome]]) -> Iterator[Metric]:
        """Yield what is known about this scrape and about the exporter itself."""
        own = [(guard, outcome) for guard, outcome in ordered if outcome.success is not None]
        yield _gauge(
            "gnomon_scrape_collector_success",
            "1 if the collector's last run succeeded.",
            ((guard, int(outcome.success is True)) for guard, outcome in own),
        )
        yield _gauge(
            "gnomon_scrape_collector_duration_seconds",
            "Duration of the collector's run.",
            ((guard, outcome.duration) for guard, outcome in own),
        )
        yield _gauge(
            "gnomon_scrape_collector_last_success_timestamp_seconds",
            "Unix time of the collector's last successful run.",
            ((guard, guard.last_success) for guard, _ in own if guard.last_success is not None),
        )
        dropped = CounterMetricFamily(
            "gnomon_scrape_dropped_series_total",
            "Series left out because their family is over the limit or cannot be written.",
            labels=_LABELS,
        )
        dropped.rows = [((guard.name,), guard.dropped_total) for guard, _ in own]
        yield dropped
        node = [(guard, outcome) for guard, outcome in ordered if guard.name in self._node]
        yield _gauge(
            "node_scrape_collector_success",
            "1 if the collector succeeded, 0 if it failed or found nothing.",
            ((guard, int(outcome.success is True)) for guard, outcome in node),
        )
        yield _gauge(
            "node_scrape_collector_duration_seconds",
            "Duration of the collector's run.",
            ((guard, outcome.duration) for guard, outcome in node),
        )
        yield from version.families()


def _gauge(
    name: str, documentation: str, values: Iterable[tuple[Guard, float]]
) -> GaugeMetricFamily:
    """Return a gauge by collector."""
    family = GaugeMetricFamily(name, documentation, labels=_LABELS)
    family.rows = [((guard.name,), value) for guard, value in values]
    return family
