"""``gnomon.measure``: what a piece of work uses, as a block, a function or a dependency."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gnomon import guard
from gnomon.usage import driving, turns
from gnomon.usage.piece import Usage
from gnomon.usage.work import Work
from gnomon.usage.wrappers import wrapped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

_Function = TypeVar("_Function", bound="Callable[..., Any]")

# From here on applications that are instrumented count their requests' own CPU seconds.
driving.want()


def measure(
    name: str,
    *,
    interval: float = 0.5,
    log_dir: str | os.PathLike[str] | None = None,
    file_id: str | Callable[..., str] | None = None,
    gpu_absent: float | None = None,
) -> Measure:
    """Measure what a piece of work uses: CPU, memory and GPU.

    As a block, ``async with gnomon.measure("transcribe") as usage:`` (or ``with``), in which
    ``usage`` tells what was used so far, and after which it tells all. As a decorator of
    functions, async functions and generators of both kinds. As a dependency of FastAPI,
    ``usage: Annotated[Usage, Depends(gnomon.measure("transcribe").dependency)]``, which measures
    everything from there to the end of the request's handling.

    ``usage.as_dict()`` gives the eight numbers of the whole process, ``usage.own`` what this work
    used by itself; see there. The same numbers become histograms (``gnomon_usage_*``) and
    attributes of the current span (``gnomon.usage.*``).

    name: of the work, not of the one thing that is worked on: it becomes a label.
    interval: seconds between two looks at the process, besides those at beginning and end; from
    0.01 to 3600. One thread looks for everything that is measured, while anything is.
    log_dir: a folder in which ``{file_id}.performance.json`` is written at the end, whole or not
    at all; it is made if it is not there. A fault in that is counted in
    ``gnomon_internal_errors_total{where="usage file"}``, never raised.
    file_id: names that file; characters that no file name should have are replaced. For a
    decorated function also a function of its arguments. Else it is made up;
    ``usage.file_id = …`` sets it later.
    gpu_absent: what the three GPU numbers are on a machine without a GPU; None unless said.

    Raises ValueError for an interval or a name that cannot be right, TypeError for a name that is
    no text. Measuring itself never raises.
    """
    if not isinstance(name, str):
        raise TypeError(f"gnomon.measure: the name must be a text, not {name!r}")
    if not name:
        raise ValueError("gnomon.measure: the name is empty")
    if not 0.01 <= interval <= 3600:
        raise ValueError(f"gnomon.measure: interval: {interval} is not from 0.01 to 3600 seconds")
    return Measure(
        name,
        interval=float(interval),
        log_dir=os.fspath(log_dir) if log_dir is not None else None,
        file_id=file_id,
        gpu_absent=gpu_absent,
    )


class Measure:
    """What ``gnomon.measure`` returns. One of them may measure many things, also at once."""

    def __init__(
        self,
        name: str,
        *,
        interval: float,
        log_dir: str | None,
        file_id: str | Callable[..., str] | None,
        gpu_absent: float | None,
    ) -> None:
        self._name = name
        self._interval = interval
        self._log_dir = log_dir
        self._file_id = file_id
        self._gpu_absent = gpu_absent
        self._lock = threading.RLock()
        #: The blocks that are open, with who opened them.
        self._open: list[tuple[Any, Work]] = []

    def __enter__(self) -> Usage:
        """Begin to measure a block."""
        work = self._work()
        with self._lock:
            self._open.append((turns.who(), work))
        return work.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it; what it raises is not touched."""
        work = self._close()
        if work is not None:
            work.end(error)

    async def __aenter__(self) -> Usage:
        """Begin to measure a block."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it; what it raises is not touched."""
        work = self._close()
        if work is not None:
            await work.end_async(error)

    async def dependency(self) -> AsyncIterator[Usage]:
        """Measure a request from here on: ``Depends(gnomon.measure("name").dependency)``."""
        work = self._work()
        usage = work.begin_dependency()
        try:
            yield usage
        except BaseException as error:
            await work.end_async(error)
            raise
        await work.end_async(None)

    def __call__(self, function: _Function) -> _Function:
        """Measure each call of a function, or each run of a generator.

        What it uses itself is always known: a function that is not async runs in one thread, the
        steps of all others are counted here.
        """
        if not callable(function):
            raise TypeError(f"gnomon.measure decorates functions, not {function!r}")
        return cast("_Function", wrapped(function, self._work))

    def _work(self, *args: Any, **kwargs: Any) -> Work:
        file_id: str | None = None
        try:
            if callable(self._file_id):
                if args or kwargs:
                    file_id = str(self._file_id(*args, **kwargs))
            else:
                file_id = self._file_id
        except Exception:
            guard.failed("usage file's id")
        usage = Usage(
            self._name, interval=self._interval, file_id=file_id, gpu_absent=self._gpu_absent
        )
        return Work(usage, self._log_dir)

    def _close(self) -> Work | None:
        who = turns.who()
        with self._lock:
            for index in reversed(range(len(self._open))):
                if self._open[index][0] == who:
                    return self._open.pop(index)[1]
            # It is closed by another task or thread than opened it: then the latest is meant.
            return self._open.pop()[1] if self._open else None
