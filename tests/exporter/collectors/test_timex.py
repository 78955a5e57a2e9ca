"""The timex collector."""

import errno

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.timex import TimexCollector, adjtimex
from gnomon_exporter.paths import Paths

_STA_PLL, _STA_UNSYNC, _STA_NANO = 0x0001, 0x0040, 0x2000
_TIME_OK, _TIME_ERROR = 0, 5


def _steered(timex):
    """Fill a clock that an NTP daemon and a pulse per second steer, in nanoseconds."""
    timex.offset = -1_500_000
    timex.freq = -int(12.5 * 65536)
    timex.maxerror = 250_000
    timex.esterror = 120
    timex.status = _STA_PLL | _STA_NANO
    timex.constant = 7
    timex.tick = 10_000
    timex.ppsfreq = 2 * 65536
    timex.jitter = 4_000
    timex.shift = 4
    timex.stabil = 65536
    timex.jitcnt, timex.calcnt, timex.errcnt, timex.stbcnt = 11, 12, 13, 14
    timex.tai = 37
    return _TIME_OK


def test_reports_a_steered_clock(exposed):
    """Each field comes in base units: nanoseconds, microseconds and scaled parts per million."""
    assert exposed(TimexCollector(Paths(), _adjtimex=_steered)) == [
        "# TYPE node_timex_sync_status gauge",
        "node_timex_sync_status 1",
        "# TYPE node_timex_offset_seconds gauge",
        "node_timex_offset_seconds -0.0015",
        "# TYPE node_timex_frequency_adjustment_ratio gauge",
        "node_timex_frequency_adjustment_ratio 0.9999875",
        "# TYPE node_timex_maxerror_seconds gauge",
        "node_timex_maxerror_seconds 0.25",
        "# TYPE node_timex_estimated_error_seconds gauge",
        "node_timex_estimated_error_seconds 0.00012",
        "# TYPE node_timex_status gauge",
        "node_timex_status 8193",
        "# TYPE node_timex_loop_time_constant gauge",
        "node_timex_loop_time_constant 7",
        "# TYPE node_timex_tick_seconds gauge",
        "node_timex_tick_seconds 0.01",
        "# TYPE node_timex_pps_frequency_hertz gauge",
        "node_timex_pps_frequency_hertz 2e-06",
        "# TYPE node_timex_pps_jitter_seconds gauge",
        "node_timex_pps_jitter_seconds 4e-06",
        "# TYPE node_timex_pps_shift_seconds gauge",
        "node_timex_pps_shift_seconds 4",
        "# TYPE node_timex_pps_stability_hertz gauge",
        "node_timex_pps_stability_hertz 1e-06",
        "# TYPE node_timex_tai_offset_seconds gauge",
        "node_timex_tai_offset_seconds 37",
        "# TYPE node_timex_pps_jitter_total counter",
        "node_timex_pps_jitter_total 11",
        "# TYPE node_timex_pps_calibration_total counter",
        "node_timex_pps_calibration_total 12",
        "# TYPE node_timex_pps_error_total counter",
        "node_timex_pps_error_total 13",
        "# TYPE node_timex_pps_stability_exceeded_total counter",
        "node_timex_pps_stability_exceeded_total 14",
    ]


def test_a_clock_in_microseconds(exposed):
    """Without STA_NANO the offset counts microseconds; TIME_ERROR means not synchronised."""

    def microseconds(timex):
        timex.offset, timex.jitter, timex.status = -1500, 4, _STA_UNSYNC
        return _TIME_ERROR

    page = exposed(TimexCollector(Paths(), _adjtimex=microseconds))
    assert "node_timex_sync_status 0" in page
    assert "node_timex_offset_seconds -0.0015" in page
    assert "node_timex_pps_jitter_seconds 4e-06" in page


def test_reads_this_machines_clock(exposed):
    """The real system call fills the structure: the tick is what the kernel keeps it to."""
    page = exposed(TimexCollector(Paths()))
    assert len(page) == 2 * 17
    tick = next(line for line in page if line.startswith("node_timex_tick_seconds "))
    # adjtimex(2) lets the tick be 10 % more or less than a hundredth of a second.
    assert 0.009 <= float(tick.split()[1]) <= 0.011


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_a_sandbox_that_forbids_the_call_has_no_data(number):
    """A seccomp filter's refusal is no failure."""

    def refuse(_timex):
        raise OSError(number, "refused")

    with pytest.raises(NoData, match="forbidden"):
        list(TimexCollector(Paths(), _adjtimex=refuse).collect())


def test_another_error_is_a_failure():
    """What the C library reports comes out as OSError with its number."""
    from gnomon_exporter.collectors.timex import Timex

    # ADJ_TICK with a tick far out of bounds: EINVAL for root, EPERM for anyone else.
    with pytest.raises(OSError, match=r"Invalid argument|not permitted"):
        adjtimex(Timex(modes=0x4000, tick=1))
