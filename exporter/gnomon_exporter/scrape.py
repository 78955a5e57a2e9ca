"""A scrape: every collector under its guard, their families as one page."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from gnomon_exporter import version
from gnomon_exporter.exposition import encode, write
from gnomon_exporter.families import Metric
from gnomon_exporter.guard import Guard, Outcome
from gnomon_exporter.helpers import PAUSE

log = logging.getLogger(__name__)


class Scraper:
    """Runs guarded collectors and adds what is known about the runs themselves.

    guards: by name. node: the names that ``node_scrape_collector_*`` reports as well.
    build: whether the page says which build of the exporter made it.
    """

    def __init__(
        self, guards: Mapping[str, Guard], node: Collection[str] = (), *, build: bool = True
    ) -> None:
        self.guards = guards
        self._node = frozenset(node)
        self._build = build
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
        return encode(
            [
                *self._one_each(ordered),
                *runs(ordered, self._node),
                *(map(write, version.families()) if self._build else ()),
            ]
        )

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


def runs(ordered: Sequence[tuple[Guard, Outcome]], node: Collection[str] = ()) -> Iterator[str]:
    """Yield the text of the families about the runs themselves, one series for each collector.

    They are up to half of a page's series: written as what they are, lines with one label that
    needs no escaping, they cost a third of what families would.
    """
    own = [(guard, outcome) for guard, outcome in ordered if outcome.success is not None]
    yield _family(
        "gnomon_scrape_collector_success",
        "gauge",
        "1 if the collector's last run succeeded, 0 if it failed.",
        [(guard.name, int(outcome.success is True)) for guard, outcome in own],
    )
    yield _family(
        "gnomon_scrape_collector_duration_seconds",
        "gauge",
        "Duration of the collector's last run.",
        [(guard.name, outcome.duration) for guard, outcome in own],
    )
    yield _family(
        "gnomon_scrape_collector_last_success_timestamp_seconds",
        "gauge",
        "Unix time of the collector's last successful run.",
        [(guard.name, guard.last_success) for guard, _ in own if guard.last_success is not None],
    )
    yield _family(
        "gnomon_scrape_dropped_series_total",
        "counter",
        "Series left out because their family is over the limit or cannot be written.",
        [(guard.name, guard.dropped_total) for guard, _ in own],
    )
    known = [(guard.name, outcome) for guard, outcome in ordered if guard.name in node]
    yield _family(
        "node_scrape_collector_success",
        "gauge",
        "1 if the collector succeeded, 0 if it failed or found nothing.",
        [(name, int(outcome.success is True)) for name, outcome in known],
    )
    yield _family(
        "node_scrape_collector_duration_seconds",
        "gauge",
        "Duration of the collector's last run.",
        [(name, outcome.duration) for name, outcome in known],
    )


def _family(name: str, kind: str, documentation: str, values: Sequence[tuple[str, float]]) -> str:
    if not values:
        return ""
    lines = [f'{name}{{collector="{collector}"}} {value}\n' for collector, value in values]
    return f"# HELP {name} {documentation}\n# TYPE {name} {kind}\n{''.join(lines)}"
