"""How well the clock is kept in time, from adjtimex(2)."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths


class Timex(ctypes.Structure):
    """The C library's struct timex (sys/timex.h)."""

    _fields_ = (
        ("modes", ctypes.c_uint),  # 0: only read
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_sec", ctypes.c_long),
        ("time_usec", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


#: adjtimex's answer when nothing keeps the clock in time.
_TIME_ERROR = 5
#: The bit of ``status`` that says offset and jitter are in nanoseconds, else in microseconds.
_STA_NANO = 0x2000
#: Frequencies come in parts per million with 16 binary places (adjtimex(2), NOTES).
_PPM = 1e6 * 65536


def adjtimex(timex: Timex) -> int:
    """Fill ``timex`` and return the clock's state. Raises OSError."""
    state: int = _libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return state


_libc = ctypes.CDLL(None, use_errno=True)


class TimexCollector:
    """How well the clock is kept in time."""

    def __init__(self, _paths: Paths, *, _adjtimex: Callable[[Timex], int] = adjtimex) -> None:
        self._adjtimex = _adjtimex

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each field. NoData where a sandbox forbids the system call."""
        timex = Timex()
        try:
            state = self._adjtimex(timex)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise NoData("adjtimex(2) is forbidden here") from None
            raise
        fraction = 1e9 if timex.status & _STA_NANO else 1e6
        for name, documentation, value in (
            ("sync_status", "1 if the clock is synchronised, 0 if not.", int(state != _TIME_ERROR)),
            ("offset_seconds", "Offset of the clock from its reference.", timex.offset / fraction),
            (
                "frequency_adjustment_ratio",
                "Factor by which the clock's frequency is adjusted.",
                1 + timex.freq / _PPM,
            ),
            ("maxerror_seconds", "Largest possible error of the clock.", timex.maxerror / 1e6),
            ("estimated_error_seconds", "Estimated error of the clock.", timex.esterror / 1e6),
            ("status", "Bits of the clock's status, STA_* of adjtimex(2).", timex.status),
            ("loop_time_constant", "Time constant of the phase-locked loop.", timex.constant),
            ("tick_seconds", "Time between two ticks of the clock.", timex.tick / 1e6),
            (
                "pps_frequency_hertz",
                "Frequency of the pulse per second against the clock.",
                timex.ppsfreq / _PPM,
            ),
            ("pps_jitter_seconds", "Jitter of the pulse per second.", timex.jitter / fraction),
            (
                "pps_shift_seconds",
                "Length of the pulse per second's interval, as a power of two.",
                timex.shift,
            ),
            (
                "pps_stability_hertz",
                "How much the pulse per second's frequency wanders.",
                timex.stabil / _PPM,
            ),
            ("tai_offset_seconds", "Seconds that atomic time (TAI) is ahead of UTC.", timex.tai),
        ):
            yield GaugeMetricFamily(f"node_timex_{name}", documentation, value)
        for name, documentation, count in (
            ("pps_jitter_total", "Pulses beyond the limit of jitter.", timex.jitcnt),
            ("pps_calibration_total", "Calibration intervals of the pulse.", timex.calcnt),
            ("pps_error_total", "Calibrations of the pulse that failed.", timex.errcnt),
            ("pps_stability_exceeded_total", "Pulses beyond the limit of wander.", timex.stbcnt),
        ):
            yield CounterMetricFamily(f"node_timex_{name}", documentation, count)
