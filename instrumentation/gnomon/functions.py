"""Functions: calls, errors by type, duration, CPU time, memory, and the slow ones by name."""

from __future__ import annotations

import inspect
import logging
import sys
from bisect import bisect_left
from functools import wraps
from time import perf_counter, thread_time
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar, overload

from gnomon import guard, logs, subjects
from gnomon.errors import error_type
from gnomon.families import Counters, Histograms
from gnomon.resident import resident

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

log = logging.getLogger("gnomon")

#: Most functions, and most types of errors of all of them, that are told apart.
CAP = 1000

#: Seconds, from a call that does next to nothing to a batch.
SECONDS = (
    *(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300),
)

#: Bytes, from 64 KiB to 16 GiB.
BYTES = tuple(4.0**power for power in range(8, 18))

MIB = 1 << 20

#: Seconds between two exemplars of one bucket, and between two log lines about one function.
EXEMPLAR_PAUSE = 0.1
LOG_PAUSE = 10.0

_duration = Histograms(
    "gnomon_function_duration_seconds",
    "Time spent in a function, that of its consumer between a generator's items left out.",
    ("function",),
    CAP,
    SECONDS,
)
_cpu = Counters(
    "gnomon_function_cpu_seconds",
    "CPU time of the thread, or of the task's own steps, while it was in a function.",
    ("function",),
    CAP,
)
_errors = Counters(
    "gnomon_function_errors",
    "Calls that ended with an exception, by its type.",
    ("function", "error_type"),
    CAP,
)
_slow = Counters(
    "gnomon_function_slow",
    "Calls that took at least as long as the function's threshold.",
    ("function",),
    CAP,
)
_memory = Histograms(
    "gnomon_function_memory_added_bytes",
    "Resident memory that the process had gained when a call ended, 0 if it had lost some.",
    ("function",),
    CAP,
    BYTES,
)
subjects.add(_duration, _cpu, _errors, _slow, _memory)

#: Whether adding to a number in a slot or list is never seen half done by another thread: CPython
#: takes the GIL away at calls and at jumps back only.
_WHOLE = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()

F = TypeVar("F", bound="Callable[..., Any]")


@overload
def timed(name: F, /) -> F: ...


@overload
def timed(
    name: str | None = None,
    *,
    memory_warn_mb: float | None = None,
    slow_seconds: float | None = 1.0,
) -> Callable[[F], F]: ...


def timed(
    name: Any = None, *, memory_warn_mb: float | None = None, slow_seconds: float | None = 1.0
) -> Any:
    """Measure each call of a function: how often, how long, how much CPU, how it failed.

    A decorator, with or without arguments, for functions and generators, both also asynchronous;
    what it returns is of the same kind and signature. What the function raises, a cancellation
    too, passes through and is counted by its class. A generator counts when it has ended, also
    when it was closed early, which is no error; the time and CPU are those of its own steps, not
    of whoever consumes it. What one call calls counts for both.

    name: the label ``function``; else the module and the qualified name. Functions of the same
    name share their series.
    memory_warn_mb: also measure by how much the process's resident memory has grown when a call
    ends, and log a warning from so many MiB on. It is the whole process's: what runs at the same
    time is in it, and what was freed before the end is not. It costs about 10 µs a call, and
    nothing is measured where there is no /proc.
    slow_seconds: a call that takes so long is counted as slow and logged, with the id of its
    trace, at most every ten seconds for each function; None for never.

    The CPU time is the calling thread's, in seconds. That of an asynchronous function is summed
    over the steps of its own task: what other tasks did meanwhile, and what it awaited in
    threads or other tasks, is not in it.

    Raises TypeError for what cannot be called, ValueError for a threshold that cannot be right.
    """
    for threshold in (memory_warn_mb, slow_seconds):
        if threshold is not None and not threshold > 0:
            raise ValueError(f"gnomon.timed: {threshold!r} is no threshold: above 0, or None")

    def decorated(function: Any) -> Any:
        if isinstance(function, staticmethod | classmethod):
            return type(function)(decorated(function.__func__))
        if not callable(function) or isinstance(function, type):
            raise TypeError(
                f"gnomon.timed measures functions, not {function!r}: put it around a function or"
                " method"
            )
        label = name if isinstance(name, str) else _name(function)
        meter = _Meter(label, slow_seconds, memory_warn_mb)
        for is_kind, around in _KINDS:
            if is_kind(function) or is_kind(getattr(function, "__call__", None)):  # noqa: B004
                return around(function, meter)
        return _function(function, meter)

    if name is None or isinstance(name, str):
        return decorated
    return decorated(name)


def _name(function: Any) -> str:
    if not hasattr(function, "__qualname__"):  # functools.partial, or an object that is called
        function = getattr(function, "func", type(function))
    return f"{function.__module__}.{getattr(function, '__qualname__', '')}"


class _Meter:
    """What is kept of one function."""

    __slots__ = (
        "_logged",
        "_memory",
        "_name",
        "_slow",
        "_unlogged",
        "_warn_bytes",
        "bounds",
        "cpu",
        "due",
        "duration",
        "lock",
        "memory",
        "slow_seconds",
    )

    def __init__(self, name: str, slow_seconds: float | None, memory_warn_mb: float | None) -> None:
        self._name = name
        self.duration = _duration.child(name)
        self.cpu = _cpu.child(name)
        self._slow = _slow.child(name)
        self._memory = _memory.child(name) if memory_warn_mb is not None else None
        self.slow_seconds = float("inf") if slow_seconds is None else slow_seconds
        self._warn_bytes = (memory_warn_mb or 0) * MIB
        self.bounds = self.duration.bounds
        self.lock = _duration.lock
        #: When each bucket may have its next exemplar, and each kind of line its next.
        self.due = [0.0] * (len(self.bounds) + 1)
        self._logged = {"slow": -LOG_PAUSE, "memory": -LOG_PAUSE}
        self._unlogged = {"slow": 0, "memory": 0}
        #: Reads the process's memory; None if that is not asked for.
        self.memory = resident if memory_warn_mb is not None else None

    def record(
        self,
        seconds: float,
        cpu: float,
        error: BaseException | None = None,
        before: int | None = None,
    ) -> None:
        """Count one call. before: resident bytes at its start, if measured. Never raises."""
        try:
            bucket = bisect_left(self.bounds, seconds)
            now = perf_counter()
            exemplar = None
            if now >= self.due[bucket]:
                self.due[bucket] = now + EXEMPLAR_PAUSE
                tracing = sys.modules.get("gnomon.tracing")
                if tracing is not None:
                    exemplar = tracing.Tracing.current()
            with self.lock:
                if exemplar is None:
                    self.duration.counts[bucket] += 1
                    self.duration.total += seconds
                else:
                    self.duration.put(seconds, exemplar)
                # Read with the family's own lock, and written with this one only.
                self.cpu.value += cpu
            # GeneratorExit: who called has no use for the rest.
            if error is not None and not isinstance(error, GeneratorExit):
                _errors.child(self._name, error_type(error)).inc()
            if seconds >= self.slow_seconds:
                self._slow.inc()
                self._say(
                    "slow", now, "%s took %.3f s, %.3f s of it on the CPU", self._name, seconds, cpu
                )
            if before is not None and self._memory is not None and (after := resident()):
                self._memory.observe(max(0, after - before), exemplar)
                if after - before >= self._warn_bytes:
                    added = (after - before) / MIB
                    self._say("memory", now, "%s left %.1f MiB behind", self._name, added)
        except Exception:
            guard.failed("timed")

    def _say(self, kind: str, now: float, text: str, *values: object) -> None:
        """Log a line, unless one of its kind has just been."""
        with self.lock:
            silent = now - self._logged[kind] < LOG_PAUSE
            unlogged = self._unlogged[kind]
            self._unlogged[kind] = unlogged + 1 if silent else 0
            if not silent:
                self._logged[kind] = now
        if silent:
            return
        if unlogged:
            text += f"; {unlogged} more since the last line"
        if trace_id := logs.ids()[0]:
            text += f" (trace {trace_id})"
        log.warning(text, *values)


def _function(function: Callable[..., Any], meter: _Meter) -> Any:
    record, memory = meter.record, meter.memory
    # What record() does with a call that is like many others, without its price.
    plain = meter.slow_seconds if memory is None and _WHOLE else 0.0
    duration, used, due = meter.duration, meter.cpu, meter.due
    bounds, counts = duration.bounds, duration.counts

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        before = None if memory is None else memory()
        cpu = thread_time()
        began = perf_counter()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            record(perf_counter() - began, thread_time() - cpu, error, before)
            raise
        ended = perf_counter()
        cpu = thread_time() - cpu
        seconds = ended - began
        bucket = bisect_left(bounds, seconds)
        if seconds < plain and ended < due[bucket]:
            counts[bucket] += 1
            duration.total += seconds
            used.value += cpu
        else:
            record(seconds, cpu, None, before)
        return result

    return wrapper


class _Steps:
    """The time and CPU, in seconds, of the steps of one coroutine or generator."""

    __slots__ = ("cpu", "seconds")

    def __init__(self) -> None:
        self.cpu = 0.0
        self.seconds = 0.0

    @coroutine
    def run(self, awaited: Any) -> Generator[Any, Any, Any]:
        """Await what has a coroutine's methods, and add up the CPU time of its steps."""
        cpu = thread_time()
        try:
            yielded = awaited.send(None)
        except StopIteration as end:
            return end.value
        finally:
            self.cpu += thread_time() - cpu
        return (yield from self.go_on(awaited, yielded))

    @coroutine
    def go_on(self, awaited: Any, yielded: Any) -> Generator[Any, Any, Any]:
        """Await the rest of what has taken its first step, and yielded something in it."""
        while True:
            try:
                value = yield yielded
                step = awaited.send
            except GeneratorExit:
                awaited.close()
                raise
            except BaseException as error:
                step, value = awaited.throw, error
            cpu = thread_time()
            try:
                yielded = step(value)
            except StopIteration as end:
                return end.value
            finally:
                self.cpu += thread_time() - cpu
                # A traceback that holds this frame, which holds the error, would be a cycle.
                value = None

    def step(self, step: Callable[..., Any], *values: Any) -> Any:
        """Take one step of a generator, and add up its time and CPU time."""
        cpu = thread_time()
        began = perf_counter()
        try:
            return step(*values)
        finally:
            self.seconds += perf_counter() - began
            self.cpu += thread_time() - cpu
            values = ()  # as in ``go_on``


def _coroutine_function(function: Callable[..., Any], meter: _Meter) -> Any:
    record, memory = meter.record, meter.memory
    # As in _function.
    plain = meter.slow_seconds if memory is None and _WHOLE else 0.0
    duration, used, due = meter.duration, meter.cpu, meter.due
    bounds, counts = duration.bounds, duration.counts

    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        before = None if memory is None else memory()
        steps = None
        cpu = thread_time()
        began = perf_counter()
        try:
            awaited = function(*args, **kwargs)
            try:
                # Many never wait: those are spared the generator that drives the rest.
                yielded = awaited.send(None)
            except StopIteration as end:
                result = end.value
                cpu = thread_time() - cpu
            else:
                steps = _Steps()
                steps.cpu = thread_time() - cpu
                result = await steps.go_on(awaited, yielded)
                cpu = steps.cpu
        except BaseException as error:
            seconds = perf_counter() - began
            record(seconds, steps.cpu if steps else thread_time() - cpu, error, before)
            raise
        ended = perf_counter()
        seconds = ended - began
        bucket = bisect_left(bounds, seconds)
        if seconds < plain and ended < due[bucket]:
            counts[bucket] += 1
            duration.total += seconds
            used.value += cpu
        else:
            record(seconds, cpu, None, before)
        return result

    return wrapper


def _generator_function(function: Callable[..., Any], meter: _Meter) -> Any:
    record, memory = meter.record, meter.memory

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        before = None if memory is None else memory()
        steps = _Steps()
        try:
            generator = function(*args, **kwargs)
            step, value = generator.send, None
            while True:
                try:
                    yielded = steps.step(step, value)
                except StopIteration as end:
                    result = end.value
                    break
                finally:
                    value = None
                try:
                    value = yield yielded
                    step = generator.send
                except GeneratorExit:
                    steps.step(generator.close)
                    raise
                except BaseException as error:
                    step, value = generator.throw, error
        except BaseException as error:
            record(steps.seconds, steps.cpu, error, before)
            raise
        record(steps.seconds, steps.cpu, None, before)
        return result

    return wrapper


def _async_generator_function(function: Callable[..., Any], meter: _Meter) -> Any:
    record, memory = meter.record, meter.memory

    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        before = None if memory is None else memory()
        steps = _Steps()

        async def take(awaited: Any) -> Any:
            began = perf_counter()
            try:
                return await steps.run(awaited)
            finally:
                steps.seconds += perf_counter() - began

        try:
            generator = function(*args, **kwargs)
            step, value = generator.asend, None
            while True:
                try:
                    yielded = await take(step(value))
                except StopAsyncIteration:
                    break
                finally:
                    value = None
                try:
                    value = yield yielded
                    step = generator.asend
                except GeneratorExit:
                    await take(generator.aclose())
                    raise
                except BaseException as error:
                    step, value = generator.athrow, error
        except BaseException as error:
            record(steps.seconds, steps.cpu, error, before)
            raise
        record(steps.seconds, steps.cpu, None, before)

    return wrapper


_KINDS = (
    (inspect.iscoroutinefunction, _coroutine_function),
    (inspect.isasyncgenfunction, _async_generator_function),
    (inspect.isgeneratorfunction, _generator_function),
)
