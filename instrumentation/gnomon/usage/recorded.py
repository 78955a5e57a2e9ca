"""What remains of a piece of work: the histograms, and the attributes of the current span."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gnomon import subjects, traces
from gnomon.errors import error_type
from gnomon.families import Counters, Gauges, Histograms

if TYPE_CHECKING:
    from gnomon.families import Level
    from gnomon.usage.piece import Usage

#: Most names of measured work that are told apart.
CAP = 200

_MIB = 2**20
_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
)
#: Cores.
_CORES = (0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8, 16, 32, 64)
#: Bytes, from 16 MiB to 512 GiB.
_SIZES = tuple(2.0**power for power in range(24, 40))
_ADDED = (0, *(2.0**power for power in range(20, 38, 2)))
_RATIOS = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1)
_OTHERS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)


def _histograms(name: str, documentation: str, bounds: tuple[float, ...]) -> Histograms:
    return Histograms(f"gnomon_usage_{name}", documentation, ("name",), CAP, bounds)


_duration = _histograms("duration_seconds", "Time that a measured piece of work took.", _SECONDS)
_own_cpu = _histograms(
    "own_cpu_seconds",
    "CPU time of the work's own steps, and of the threads that were entered for it.",
    _SECONDS,
)
_cpu_avg = _histograms(
    "cpu_avg_ratio", "The process's CPU during a piece of work, 1 for one core.", _CORES
)
_cpu_max = _histograms(
    "cpu_max_ratio",
    "The process's CPU in the busiest interval of a piece of work, 1 for one core.",
    _CORES,
)
_ram_avg = _histograms(
    "ram_avg_bytes", "The process's mean resident memory during a piece of work.", _SIZES
)
_ram_peak = _histograms(
    "ram_peak_bytes", "The process's largest resident memory during a piece of work.", _SIZES
)
_ram_added = _histograms(
    "ram_added_bytes",
    "By how much the process's resident memory grew during a piece of work, 0 if it shrank.",
    _ADDED,
)
_vram = _histograms(
    "gpu_vram_current_bytes", "GPU memory that the process held when the work ended.", _SIZES
)
_vram_peak = _histograms(
    "gpu_vram_peak_bytes", "Most GPU memory that the process held during the work.", _SIZES
)
_gpu = _histograms(
    "gpu_ratio", "Mean use of the process's GPUs during a piece of work, 1 for all of it.", _RATIOS
)
_concurrent = _histograms(
    "concurrent", "Other pieces of work that were measured meanwhile in the process.", _OTHERS
)
_active = Gauges("gnomon_usage_active", "Pieces of work that are being measured.", ("name",), CAP)
_errors = Counters(
    "gnomon_usage_errors",
    "Pieces of work that ended with an exception, by its type.",
    ("name", "error_type"),
    4 * CAP,
)
subjects.add(
    _duration,
    _own_cpu,
    _cpu_avg,
    _cpu_max,
    _ram_avg,
    _ram_peak,
    _ram_added,
    _vram,
    _vram_peak,
    _gpu,
    _concurrent,
    _active,
    _errors,
)


def active(name: str) -> Level:
    """Return the gauge of the work with this name that is under way."""
    return _active.child(name)


def record(usage: Usage, error: BaseException | None) -> None:
    """Count a piece of work that has ended. What is not known of it is counted nowhere."""
    name, samples = usage.name, usage.samples
    if error is not None and not isinstance(error, GeneratorExit):
        _errors.child(name, error_type(error)).inc()
    if samples is None:
        return
    exemplar = traces.exemplar()
    added = samples.ram_added
    values = (
        (_duration, samples.seconds),
        (_own_cpu, usage.own_cpu_seconds()),
        (_cpu_avg, samples.cpu_avg),
        (_cpu_max, samples.cpu_max),
        (_ram_avg, samples.ram_avg),
        (_ram_peak, samples.ram_peak),
        (_ram_added, None if added is None else max(0, added)),
        (_vram, samples.vram),
        (_vram_peak, samples.vram_peak),
        (_gpu, samples.gpu_busy),
        (_concurrent, usage.overlap.others()[0]),
    )
    for family, value in values:
        if value is not None:
            family.child(name).observe(value, exemplar)


def describe_span(usage: Usage) -> None:
    """Give the current span the numbers of a piece of work, those that are known.

    Of several pieces of work in one span the last one to end is told of, which is the outermost.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return
    span = trace.get_current_span()
    if not span.is_recording():
        return
    own = usage.own.as_dict()
    values = {
        "name": usage.name,
        **usage.as_dict(),
        **{f"own.{key}": value for key, value in own.items()},
    }
    span.set_attributes(
        {f"gnomon.usage.{key}": value for key, value in values.items() if value is not None}
    )
