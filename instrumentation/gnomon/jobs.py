"""Jobs: what schedulers and workers run, how it ended, how long it took, when it last succeeded."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from contextvars import ContextVar
from functools import wraps
from time import perf_counter
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from gnomon import guard, subjects, traces
from gnomon.families import Counters, Gauges, Histograms
from gnomon.outcomes import outcome_of
from gnomon.usage.ledger import Ledger, current, driven, step
from gnomon.workplaces import submitted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")

#: Most jobs that are told apart.
CAP = 500

#: Seconds, from a refresh of a price to a night's work.
SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    *(300, 900, 1800, 3600, 7200, 14400, 28800),
)

_duration = Histograms(
    "gnomon_job_duration_seconds",
    "Duration of a job's runs, by outcome.",
    ("job_name", "outcome"),
    4 * CAP,
    SECONDS,
)
_runs = Counters(
    "gnomon_job_runs",
    "Runs of a job that ended, by outcome: success, failure, timeout or cancelled.",
    ("job_name", "outcome"),
    4 * CAP,
)
_retries = Counters(
    "gnomon_job_retries", "Attempts of a job that followed a failed one.", ("job_name",), CAP
)
_active = Gauges("gnomon_job_active", "Runs of a job that are under way.", ("job_name",), CAP)
_progress = Gauges(
    "gnomon_job_progress_ratio",
    "Share of a job's work that is done, of the run that is furthest behind; while it runs.",
    ("job_name",),
    CAP,
)
_succeeded = Gauges(
    "gnomon_job_last_success_timestamp_seconds",
    "When a run of a job last ended with success, in seconds since 1970.",
    ("job_name",),
    CAP,
)
_ran = Gauges(
    "gnomon_job_last_run_timestamp_seconds",
    "When a run of a job last ended, however, in seconds since 1970.",
    ("job_name",),
    CAP,
)
subjects.add(_duration, _runs, _retries, _active, _progress, _succeeded, _ran)

#: Called when a run has ended and is counted.
at_end: list[Callable[[], None]] = []

_current: ContextVar[Run | None] = ContextVar("gnomon job", default=None)
_shares_lock = threading.Lock()
_shares: dict[str, dict[int, float]] = {}


def _forked() -> None:
    """Begin anew in a child: what is under way is so in the parent. Takes no lock of families."""
    global _shares_lock  # noqa: PLW0603  # another thread may have held it at the fork
    _shares_lock = threading.Lock()
    _shares.clear()
    _active.zero()
    _progress.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Run:
    """One run of a job, while it is under way; outside of one, its methods do nothing."""

    __slots__ = ("_began", "_continued", "_outer", "_span", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._outer: Run | None = None
        self._began = 0.0
        self._span = traces.Span()
        self._continued: traces.Continued | None = None

    def progress(self, share: float) -> None:
        """Say how much of the work is done, from 0 to 1; what is beyond is taken as the bound.

        Never raises.
        """
        if not self._began:
            return
        try:
            share = float(share)
            if share != share:  # noqa: PLR0124  # NaN is no share
                return
            self._share(min(1.0, max(0.0, share)))
        except Exception:
            guard.failed("job's progress")

    def retried(self) -> None:
        """Count an attempt that follows a failed one within this run. Never raises."""
        if self._began:
            try:
                _retries.child(self.name).inc()
            except Exception:
                guard.failed("job")

    def _share(self, share: float | None) -> None:
        with _shares_lock:
            shares = _shares.setdefault(self.name, {})
            if share is None:
                shares.pop(id(self), None)
            else:
                shares[id(self)] = share
            if shares:
                _progress.child(self.name).set(min(shares.values()))
            else:
                del _shares[self.name]
                _progress.remove(self.name)

    def begin(self, headers: Mapping[str, str] | None, attempt: int = 0) -> None:
        """Begin.

        headers: the submitter's trace, None if its library tells of it. attempt: how many of
        this job's own have failed before it.
        """
        self._outer = _current.get()
        _current.set(self)
        try:
            _active.child(self.name).add(1)
            job = submitted()
            # A job within a job is none of the library's attempts.
            if attempt or (job.retries and self._outer is None):
                _retries.child(self.name).inc()
            self._continued = traces.Continued(job.headers if headers is None else headers)
            self._continued.enter()
            self._span.enter(f"job {self.name}", {"gnomon.job.name": self.name})
        except Exception:
            guard.failed("job")
        self._began = perf_counter()

    def end(self, error: BaseException | None) -> None:
        """End, with what ended it."""
        try:
            seconds = perf_counter() - self._began
            outcome = outcome_of(error)
            _duration.child(self.name, outcome).observe(seconds, traces.exemplar())
            _runs.child(self.name, outcome).inc()
            _active.child(self.name).add(-1)
            now = time.time()
            _ran.child(self.name).set(now)
            if outcome == "success":
                _succeeded.child(self.name).set(now)
            if self.name in _shares:
                self._share(None)
            failed = error if outcome in ("failure", "timeout") else None
            self._span.leave({"gnomon.job.outcome": outcome}, failed)
            if self._continued is not None:
                self._continued.leave()
        except Exception:
            guard.failed("job")
        self._began = 0.0
        if _current.get() is self:
            _current.set(self._outer)
        for call in at_end:
            try:
                call()
            except Exception:
                guard.failed("job")


def current_run() -> Run:
    """Return the run of the job that this code is a part of.

    ``gnomon.current_run().progress(0.4)`` says so from wherever the work is done; outside of a
    job that does nothing.
    """
    return _current.get() or _NONE


_NONE = Run("")


class job:  # noqa: N801  # it is a decorator, and read as such
    """Measure each run of a job: a decorator, or a ``with`` or ``async with`` block.

    ``@gnomon.job("nightly_report")`` on the function that a scheduler or worker calls, sync or
    async, below the library's own decorator: APScheduler, Celery, RQ or a loop with a sleep. Or
    ``with gnomon.job("nightly_report") as run:``; ``run.progress(0.4)`` says how far it is. What
    the function raises passes through.

    Shown are ``gnomon_job_runs_total`` and ``gnomon_job_duration_seconds`` by outcome,
    ``gnomon_job_retries_total``, ``gnomon_job_active``, ``gnomon_job_progress_ratio`` and when it
    last ran and last succeeded. The outcome is ``success``; ``timeout`` for TimeoutError and the
    time limits of Celery and RQ; ``cancelled`` for a cancelled task, a key press, and Celery's
    Ignore and Reject; ``failure`` for any other exception. Each attempt is a run; one that
    follows a failed one counts as a retry too, be it Celery's, RQ's or gnomon's own. What kills
    the process ends the run uncounted.

    name: the label ``job_name``, a word of the program's, not an id.
    retries: how often a decorated function that fails is called again, for whom no library does
    that; the last failure is raised. pause: seconds before the first of these calls, twice as
    many before each further one.
    parent: headers of the submitter's trace (``gnomon.trace_headers()``), which the run then
    continues; Celery's and RQ's are found without it. Each run is a span where there are spans.

    Raises TypeError for what is no name or no function that can be a job, ValueError for an
    empty name and for numbers that cannot be right.
    """

    def __init__(
        self,
        name: str,
        *,
        retries: int = 0,
        pause: float = 1.0,
        parent: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f'gnomon.job needs a name, as in @gnomon.job("nightly"), not {name!r}')
        if not name:
            raise ValueError("gnomon.job: the name is empty; give the job's")
        self._name = name
        if retries < 0 or not pause >= 0:
            raise ValueError(f"gnomon.job {name!r}: retries and pause cannot be below 0")
        self._retries = retries
        self._pause = pause
        self._parent = parent
        self._open: list[Run] = []
        for outcome in ("success", "failure"):  # both exist before the first run
            _runs.child(name, outcome)
        _retries.child(name)
        _active.child(name)

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, T]: ...
    def __call__(self, function: Any) -> Any:
        """Return the function, measured; of the same kind and signature."""
        if hasattr(function, "apply_async") or hasattr(function, "delay"):
            raise TypeError(
                f"gnomon.job {self._name!r}: put @gnomon.job below the task's own decorator"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"gnomon.job {self._name!r}: a generator does nothing when it is called; use"
                " `with gnomon.job(…):` in it"
            )
        if not callable(function):
            raise TypeError(f"gnomon.job {self._name!r}: {function!r} is no function")
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def measured(*args: Any, **options: Any) -> Any:
                for attempt in range(self._retries + 1):
                    run = Run(self._name)
                    run.begin(self._parent, attempt)
                    try:
                        # What is measured in it knows its own CPU seconds: see gnomon.measure.
                        result = await driven(function(*args, **options), Ledger(current()))
                    except BaseException as error:
                        run.end(error)
                        if not self._again(attempt, error):
                            raise
                    else:
                        run.end(None)
                        return result
                    await asyncio.sleep(self._pause * 2**attempt)
                return None

            return measured

        @wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            for attempt in range(self._retries + 1):
                run = Run(self._name)
                run.begin(self._parent, attempt)
                try:
                    with step(Ledger(current())):
                        result = function(*args, **options)
                except BaseException as error:
                    run.end(error)
                    if not self._again(attempt, error):
                        raise
                else:
                    run.end(None)
                    return result
                time.sleep(self._pause * 2**attempt)
            return None

        return called

    def _again(self, attempt: int, error: BaseException) -> bool:
        return attempt < self._retries and outcome_of(error) in ("failure", "timeout")

    def __enter__(self) -> Run:
        """Begin a run."""
        if self._retries:
            raise TypeError(
                f"gnomon.job {self._name!r}: a block cannot be run again; use retries with the"
                " decorator"
            )
        run = Run(self._name)
        self._open.append(run)
        run.begin(self._parent)
        return run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run that was begun last in this thread or task."""
        run = _current.get()
        if run is None or run not in self._open:
            run = self._open[-1]  # it was begun in another context
        self._open.remove(run)
        run.end(error)

    async def __aenter__(self) -> Run:
        """Begin a run."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run."""
        self.__exit__(kind, error, trace)
