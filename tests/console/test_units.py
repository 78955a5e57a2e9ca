"""Numbers as people read them."""

import math

import pytest

from gnomon_console import units


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0823, "percentunit", "8.23 %"),
        (1, "percentunit", "100 %"),
        (1536, "bytes", "1.5 KiB"),
        (252 * 2**30, "bytes", "252 GiB"),
        (2_500_000, "bps", "2.5 Mb/s"),
        (0.0042, "s", "4.2 ms"),
        (90, "s", "90 s"),
        (7.3 * 3600, "s", "7.3 h"),
        (3, "d", "3 d"),
        (1_234_567, "short", "1.23 Mil"),
        (42, "celsius", "42 °C"),
        (12345, "none", "12345"),
        (0.00001234, "short", "0.000012"),
        (math.nan, "s", "-"),
        (None, "bytes", "-"),
        (math.inf, "s", "∞"),
        (1, "bool_yes_no", "yes"),
        (-2048, "binBps", "-2 KiB/s"),
    ],
)
def test_a_value_is_said_with_its_unit(value, unit, said):
    """Three digits that say something, in the unit that makes them short."""
    assert units.text(value, unit) == said


def test_decimals_are_kept_to():
    """Where somebody has said how many."""
    assert units.text(0.12345, "percentunit", 1) == "12.3 %"
    assert units.text(86.4, "percentunit", 0) == "8640 %"


def test_an_axis_counts_in_one_unit():
    """All its values are divided by the same number."""
    assert units.scale("bytes", 5 * 2**30) == units.Scale(2.0**30, " GiB")
    assert units.scale("s", 0) == units.Scale(1.0, " s")
    assert units.scale("something", 5).suffix == " something"
