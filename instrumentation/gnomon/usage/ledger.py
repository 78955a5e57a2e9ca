"""Own CPU seconds of a piece of work: its own steps, and the threads that were entered for it.

On an event loop many tasks take turns in one thread, so what the thread used between a block's
beginning and its end is also theirs. But whoever drives a coroutine knows when each of its steps
begins and ends, and the thread's clock tells what a step used.
"""

# ruff: noqa: SLF001  # a ledger writes into those above it: they are of one class

from __future__ import annotations

import contextlib
import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar, Token
from threading import RLock, get_ident
from time import thread_time
from types import coroutine
from typing import Any, ParamSpec, Self, TypeVar, overload

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: What a thread's clock is called is not known everywhere.
_clock_of = getattr(time, "pthread_getcpuclockid", None)

_current: ContextVar[Ledger | None] = ContextVar("gnomon usage ledger", default=None)


def current() -> Ledger | None:
    """Return the ledger of the work that this code is a part of."""
    ledger = _current.get()
    while ledger is not None and ledger.over:
        ledger = ledger._parent
    return ledger


class Ledger:
    """Sums the CPU seconds of one task, and of other tasks and threads that work for it.

    parent: whose part this is; what is counted here is counted there too, once.
    """

    __slots__ = (
        "_lock",
        "_mark",
        "_parent",
        "_readers",
        "_seconds",
        "_thread",
        "_threads",
        "at_response",
        "over",
    )

    def __init__(self, parent: Ledger | None = None) -> None:
        self._parent = parent
        #: Whether it ended in another context than the one in which it is still found.
        self.over = False
        #: What is to be done just before a request's response is complete.
        self.at_response: list[Callable[[], None]] = []
        self._lock = RLock()
        self._seconds = 0.0
        #: How many pieces of work are being measured by this ledger.
        self._readers = 0
        #: The thread in which a step is under way, 0 between steps.
        self._thread = 0
        #: That thread's clock when counting began in this step; negative while nobody counts.
        self._mark = -1.0
        #: Other threads at work, with their clocks when they were entered.
        self._threads: dict[int, float] = {}

    def here(self) -> bool:
        """Whether the caller runs inside one of the steps."""
        return self._thread == get_ident()

    def root(self) -> Ledger:
        """Return the ledger of the whole, such as a request, that this is a part of."""
        ledger = self
        while ledger._parent is not None:
            ledger = ledger._parent
        return ledger

    def enter(self) -> None:
        """Begin a step in this thread."""
        self._thread = get_ident()
        # Nobody pays for a clock that nobody reads.
        if self._readers or self._parent is not None:
            self._mark = thread_time()

    def leave(self) -> None:
        """End the step."""
        mark, self._mark = self._mark, -1.0
        if mark >= 0:
            self._add(thread_time() - mark)
        self._thread = 0

    def start(self) -> float:
        """Begin to read, in a step; return what ``seconds`` is now."""
        with self._lock:
            self._readers += 1
        if self._mark < 0:
            self._mark = thread_time()
        return self.seconds()

    def stop(self) -> None:
        """End what ``start`` began."""
        with self._lock:
            self._readers -= 1

    def seconds(self) -> float:
        """Return the CPU seconds so far: only differences between two readings mean something."""
        with self._lock:
            total = self._seconds
            if _clock_of is not None:
                for thread, began in self._threads.items():
                    # It cannot end meanwhile: to do so it would have to take the lock.
                    total += time.clock_gettime(_clock_of(thread)) - began
        if self._mark >= 0 and self.here():
            total += thread_time() - self._mark
        return total

    def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function in this thread and count what the thread uses."""
        thread = get_ident()
        entered: list[Ledger] = []
        began = thread_time()
        ledger: Ledger | None = self
        while ledger is not None:
            # A thread that is counted already, as a step or as a thread, is not counted twice.
            if ledger._thread != thread and thread not in ledger._threads:
                with ledger._lock:
                    ledger._threads[thread] = began
                entered.append(ledger)
            ledger = ledger._parent
        token = _current.set(self)
        try:
            return function(*args, **kwargs)
        finally:
            _current.reset(token)
            for ledger in entered:
                with ledger._lock:
                    del ledger._threads[thread]
                    ledger._seconds += thread_time() - began

    def _add(self, seconds: float) -> None:
        thread = get_ident()
        with self._lock:
            self._seconds += seconds
        ledger = self._parent
        while ledger is not None:
            if ledger._thread != thread and thread not in ledger._threads:
                with ledger._lock:
                    ledger._seconds += seconds
            ledger = ledger._parent


@contextlib.contextmanager
def step(ledger: Ledger) -> Generator[None]:
    """Count what this thread uses in a block that nothing else takes turns with."""
    token = _current.set(ledger)
    ledger.enter()
    try:
        yield
    finally:
        ledger.leave()
        _reset(token, ledger)


@coroutine
def driven(work: Coroutine[Any, Any, _T], ledger: Ledger) -> Generator[Any, Any, _T]:
    """Drive a coroutine and count its steps; to be awaited in the task that it belongs to."""
    token = _current.set(ledger)
    send = work.send
    thread = get_ident()
    counts = ledger._parent is not None
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            # As ``enter`` and ``leave``, whose calls would double the cost of a step.
            ledger._thread = thread
            if counts or ledger._readers:
                ledger._mark = thread_time()
            try:
                asked = send(value) if error is None else work.throw(error)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            finally:
                if ledger._mark >= 0:
                    ledger.leave()
                else:
                    ledger._thread = 0
                # A traceback that holds this frame, which holds the error, would be a cycle.
                value = error = None
            try:
                value = yield asked
            except GeneratorExit:
                work.close()
                raise
            except BaseException as raised:  # noqa: BLE001, RUF100  # it is the coroutine's to handle
                error = raised
    finally:
        _reset(token, ledger)


def _reset(token: Token[Ledger | None], ledger: Ledger) -> None:
    try:
        _current.reset(token)
    except ValueError:
        # What the garbage collector closes is closed in a context of its own.
        ledger.over = True


@overload
def counted(work: Awaitable[_T]) -> Coroutine[Any, Any, _T]: ...
@overload
def counted(work: Callable[_P, _T]) -> Callable[_P, _T]: ...
def counted(work: Any) -> Any:
    """Count another task's or thread's CPU seconds as this piece of work's own.

    For work that is handed to a task (``create_task(counted(coroutine()))``) or to a thread pool
    (``pool.submit(counted(function), argument)``). It counts to whatever is measured where
    ``counted`` is called, as long as that is measured.

    work: a coroutine or other awaitable, which comes back as a coroutine, or a function that is
    not async, which comes back as a function with the same parameters.
    Raises TypeError for anything else.
    """
    parent = current()
    if inspect.isawaitable(work):
        return _Counted(work if isinstance(work, Coroutine) else _awaited(work), Ledger(parent))
    if inspect.iscoroutinefunction(work):
        raise TypeError("gnomon.counted: call the async function first, and pass its coroutine")
    if not callable(work):
        raise TypeError(f"gnomon.counted takes a coroutine or a function, not {type(work)!r}")
    if parent is None:
        return work
    return functools.wraps(work, updated=())(functools.partial(parent.run, work))


async def to_thread(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a function in another thread as ``asyncio.to_thread`` does, and count its CPU seconds.

    They are this piece of work's own. In an instrumented application ``asyncio.to_thread``,
    ``anyio.to_thread.run_sync`` and FastAPI's functions that are not async count by themselves.
    """
    import asyncio  # noqa: PLC0415  # without one there is nothing to wait on

    return await asyncio.to_thread(counted(function), *args, **kwargs)


class _Counted(Coroutine[Any, Any, _T]):
    """A coroutine whose steps are counted wherever it is awaited."""

    __slots__ = ("_begun", "_steps", "_work")

    def __init__(self, work: Coroutine[Any, Any, _T], ledger: Ledger) -> None:
        self._work = work
        self._steps = driven(work, ledger)
        self._begun = False

    def send(self, value: Any) -> Any:
        self._begun = True
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        # What has not begun would not hand it on: a task that is cancelled before its first step.
        return (self._steps if self._begun else self._work).throw(*error)

    def close(self) -> None:
        self._steps.close()
        self._work.close()

    def __await__(self) -> Generator[Any, Any, _T]:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)


async def _awaited(work: Awaitable[_T]) -> _T:
    return await work
