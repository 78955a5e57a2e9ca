"""One collector under guard: timed, bounded, and unable to harm the others.

This is the exporter's only broad ``except``.
"""

import logging
import threading
import time
from dataclasses import dataclass, field

from prometheus_client import Metric

from gnomon_exporter.collector import Collector, NoData
from gnomon_exporter.exposition import check

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """What one run of a collector gave.

    success: True, False, or None when the machine has nothing of the subject.
    duration: seconds, from the start of the run.
    families: what was yielded, also before a failure; valid names, at most ``cap`` series each.
    dropped: series beyond the cap, or in families that cannot be written.
    """

    success: bool | None
    duration: float = 0.0
    families: list[Metric] = field(default_factory=list)
    error: str | None = None
    dropped: int = 0


@dataclass(slots=True)
class _Flight:
    """A run under way, shared by every scrape that asks meanwhile."""

    started: float
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None


class Guard:
    """Runs one collector for any number of scrapes at once.

    A scrape calls ``begin``, then ``finish``. While a run is under way, further scrapes share it
    instead of starting another; so a collector that hangs holds one thread, whatever the number
    of scrapes. Once it is over its timeout, they fail at once instead of waiting.

    timeout: seconds a run may take. An unthreaded collector cannot be interrupted: if it hangs
    against all expectation, it takes the one scrape that started it along, and no other.
    cap: most series of one family, and most families.
    """

    def __init__(
        self, name: str, collector: Collector, *, threaded: bool, timeout: float, cap: int
    ) -> None:
        self.name = name
        self.collector = collector
        self.last: Outcome | None = None
        self.last_run: float | None = None  # unix time
        self.last_success: float | None = None  # unix time
        self.dropped_total = 0
        self.threaded = threaded
        self.timeout = timeout
        self._cap = cap
        self._lock = threading.Lock()
        self._flight: _Flight | None = None

    def begin(self) -> _Flight:
        """Start a run, or join the one under way.

        A threaded collector is running when this returns, any other has run.
        """
        with self._lock:
            if self._flight is not None:
                return self._flight
            flight = self._flight = _Flight(started=time.monotonic())
        if not self.threaded:
            self._run(flight)
            return flight
        try:
            threading.Thread(
                target=self._run, args=(flight,), name=f"collect {self.name}", daemon=True
            ).start()
        except RuntimeError as error:  # the process or its cgroup is out of threads
            self._land(flight, Outcome(success=False, error=str(error)))
        return flight

    def finish(self, flight: _Flight, deadline: float) -> Outcome:
        """Return the outcome of a run, a failure if it is not there by ``deadline`` (monotonic)."""
        now = time.monotonic()
        patience = min(deadline, flight.started + self.timeout) - now
        if flight.done.wait(max(0.0, patience)) and flight.outcome is not None:
            return flight.outcome
        running = time.monotonic() - flight.started
        outcome = Outcome(
            success=False, duration=running, error=f"timed out: no answer after {running:.3g} s"
        )
        self._note(outcome)
        return outcome

    def _run(self, flight: _Flight) -> None:
        outcome = Outcome(success=True)
        try:
            self._gather(outcome, until=flight.started + self.timeout)
        except NoData as reason:
            outcome.success, outcome.error = None, str(reason)
        except OSError as error:
            outcome.success, outcome.error = False, str(error)
        except Exception as error:  # the one place that must outlive any collector
            outcome.success, outcome.error = False, f"{type(error).__name__}: {error}"
            if self._is_news(outcome):
                log.debug("collector %s: traceback follows", self.name, exc_info=True)
        outcome.duration = time.monotonic() - flight.started
        self._land(flight, outcome)

    def _gather(self, outcome: Outcome, until: float) -> None:
        """Fill an outcome, family by family, within the bounds."""
        for family in self.collector.collect():
            try:
                check(family)
            except ValueError as error:
                outcome.dropped += len(family.samples)
                outcome.success, outcome.error = False, str(error)
                continue
            if excess := max(0, len(family.samples) - self._cap):
                outcome.dropped += excess
                del family.samples[self._cap :]
            outcome.families.append(family)
            if len(outcome.families) > self._cap:
                raise RuntimeError(f"yields more than {self._cap} families")
            if time.monotonic() > until:
                raise TimeoutError(f"timed out: not done after {self.timeout:.3g} s")

    def _land(self, flight: _Flight, outcome: Outcome) -> None:
        with self._lock:
            self._flight = None
            self.dropped_total += outcome.dropped
        flight.outcome = outcome
        self._note(outcome)
        flight.done.set()  # last, so that who waited finds everything noted

    def _is_news(self, outcome: Outcome) -> bool:
        return self.last is None or self.last.success != outcome.success

    def _note(self, outcome: Outcome) -> None:
        """Remember an outcome and log a change of state, not every repetition."""
        now = time.time()
        with self._lock:
            news, before = self._is_news(outcome), self.last
            self.last, self.last_run = outcome, now
            if outcome.success:
                self.last_success = now
        if not news:
            return
        if outcome.success is False:
            log.error("collector %s failed: %s", self.name, outcome.error)
        elif outcome.success is None:
            log.debug("collector %s has nothing to report: %s", self.name, outcome.error)
        elif before is not None:
            log.info("collector %s works again", self.name)
