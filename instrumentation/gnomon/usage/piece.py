"""One piece of work that is or was measured, and what it has used."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar, Token
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gnomon.usage import readings
from gnomon.usage.meanwhile import Overlap
from gnomon.usage.sampler import sampler
from gnomon.usage.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Generator

    from gnomon.usage.ledger import Ledger

_MIB = 2**20

#: The keys of ``Usage.as_dict``, in their order.
KEYS = (
    "cpu_percent_avg",
    "cpu_percent_max",
    "ram_mb_avg",
    "ram_mb_peak",
    "gpu_vram_mb_current",
    "gpu_vram_mb_peak",
    "gpu_percent",
    "processing_time_sec",
)

_current: ContextVar[Usage | None] = ContextVar("gnomon usage", default=None)


def current_usage() -> Usage | None:
    """Return the innermost piece of work that is being measured here, None if there is none.

    Inside a function that ``gnomon.measure`` decorates it is that function's.
    """
    usage = _current.get()
    while usage is not None and usage.ended:
        usage = usage.above
    return usage


@contextlib.contextmanager
def as_current(usage: Usage) -> Generator[None]:
    """Make a piece of work the one that ``current_usage`` returns, inside a block."""
    token = _current.set(usage)
    try:
        yield
    finally:
        # What the garbage collector closes is closed in a context of its own.
        with contextlib.suppress(ValueError):
            _current.reset(token)


@dataclass(frozen=True, slots=True)
class Own:
    """What a piece of work used by itself, and how far its other numbers are shared.

    cpu_seconds: CPU of its own steps, and of the tasks and threads that were entered for it
    through gnomon, user and system, by the threads' clocks; without child processes and without
    threads that a native library keeps. None where it cannot be told apart: in a block on an
    event loop outside of an instrumented application, of ``job`` and of a decorated function.
    cpu_share_ratio: that part of what the whole process used meanwhile, 1 if nothing else ran.
    ram_added_mb: MiB by which the process's resident memory grew from the beginning to the end,
    negative if it shrank; whatever ran meanwhile has its part in it.
    concurrent: how many other pieces of work were measured in this process meanwhile; those that
    this one lies in, and those that lie in it, are not counted. concurrent_avg: how many of them
    at a time, on average.
    """

    cpu_seconds: float | None
    cpu_share_ratio: float | None
    ram_added_mb: float | None
    concurrent: int
    concurrent_avg: float

    def as_dict(self) -> dict[str, float | None]:
        """Return the same by name, for JSON."""
        return asdict(self)


class Usage:
    """What one piece of work used: so far while it runs, for good when it has ended.

    name: what was given to ``gnomon.measure``. file_id: names the file that is written at the
    end, if one is; may be set until then.
    """

    def __init__(
        self,
        name: str,
        *,
        interval: float = 0.5,
        file_id: str | None = None,
        gpu_absent: float | None = None,
    ) -> None:
        self.name = name
        self.file_id = file_id
        self.interval = interval
        #: Whether the numbers are final.
        self.ended = False
        #: The piece of work that this one lies in.
        self.above: Usage | None = None
        #: The looks at the process; None before the beginning.
        self.samples: Samples | None = None
        #: Who else was measured meanwhile.
        self.overlap = Overlap()
        self._gpu_absent = gpu_absent
        self._token: Token[Usage | None] | None = None
        self._ledger: Ledger | None = None
        self._base = 0.0
        self._own: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """Return the eight numbers, by these names; None where something cannot be known.

        cpu_percent_avg, cpu_percent_max: CPU of the whole process, 100 for one core: over the
        whole time, and in the busiest interval. ram_mb_avg, ram_mb_peak: the process's resident
        memory in MiB. gpu_vram_mb_current, gpu_vram_mb_peak: MiB of GPU memory that the process
        holds at the end, and at most. gpu_percent: mean use of the GPUs that it holds memory on.
        processing_time_sec: seconds from beginning to end.

        While the work still runs they tell what is so far. Nothing is raised.
        """
        samples = self._looked()
        if samples is None:
            return dict.fromkeys(KEYS)
        absent = self._gpu_absent if samples.gpu_absent else None
        vram, peak, busy = samples.vram, samples.vram_peak, samples.gpu_busy
        values = (
            _rounded(samples.cpu_avg, 100),
            _rounded(samples.cpu_max, 100),
            _rounded(samples.ram_avg, 1 / _MIB),
            _rounded(samples.ram_peak, 1 / _MIB),
            absent if vram is None else _rounded(vram, 1 / _MIB),
            absent if peak is None else _rounded(peak, 1 / _MIB),
            absent if busy is None else _rounded(busy, 100),
            round(samples.seconds, 4),
        )
        return dict(zip(KEYS, values, strict=True))

    @property
    def own(self) -> Own:
        """What this work used by itself, and how many others shared the process meanwhile."""
        samples = self._looked()
        seconds = self.own_cpu_seconds()
        concurrent, average = self.overlap.others()
        share = None
        if seconds is not None and samples is not None and samples.cpu_seconds > 0:
            share = round(min(1.0, seconds / samples.cpu_seconds), 4)
        return Own(
            cpu_seconds=None if seconds is None else round(seconds, 6),
            cpu_share_ratio=share,
            ram_added_mb=_rounded(samples.ram_added, 1 / _MIB) if samples else None,
            concurrent=concurrent,
            concurrent_avg=round(average, 3),
        )

    def own_cpu_seconds(self) -> float | None:
        """Return the CPU seconds that this work itself has used, None if nobody can tell."""
        ledger = self._ledger
        return self._own if ledger is None else max(0.0, ledger.seconds() - self._base)

    def _looked(self) -> Samples | None:
        if self.samples is not None and not self.ended:
            self.samples.sampled(readings.read())
        return self.samples

    # What follows is called by ``gnomon.measure``.

    def begin(self, ledger: Ledger | None, *, named: bool = True) -> None:
        """Measure from now on.

        ledger: the one in whose step this is called, if there is one. named: whether this is
        what ``current_usage`` returns until the end.
        """
        self.above = current_usage()
        if named:
            self._token = _current.set(self)
        self.overlap.begin(self.above.overlap if self.above is not None else None)
        self.samples = Samples(readings.read(), self.interval)
        sampler().add(self.samples)
        if ledger is not None:
            self._base = ledger.start()
            self._ledger = ledger

    def end(self) -> int:
        """Measure no longer; return what the GPUs were asked last, for ``sampler().gpus``."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            if ledger.here():  # else it ends in another task or thread than it began in
                self._own = max(0.0, ledger.seconds() - self._base)
            ledger.stop()
        if self.samples is not None:
            self.samples.sampled(readings.read(), last=True)
        self.overlap.end()
        return sampler().gpus.ask()

    def finish(self) -> None:
        """Take in nothing any more."""
        self.ended = True
        if self._token is not None:
            token, self._token = self._token, None
            # It may end in another context than it began in.
            with contextlib.suppress(ValueError):
                _current.reset(token)
        if self.samples is not None:
            self.samples.close()
            sampler().remove(self.samples)


def _rounded(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 2)
