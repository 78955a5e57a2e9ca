"""The time on show."""

import pytest

from gnomon_console import ranges
from gnomon_console.view import Asked, Sight

NOW = 1_700_000_003.0


def test_both_ends_lie_on_whole_steps():
    """Whoever looks within the same step asks the same question."""
    first = ranges.between("now-1h", "now", now=NOW)
    assert first == ranges.between("now-1h", "now", now=NOW + 1)
    assert first.step == 15
    assert first.start % 15 == first.end % 15 == 0


@pytest.mark.parametrize(("since", "step"), [("now-5m", 5), ("now-24h", 600), ("now-35d", 21600)])
def test_points_lie_as_far_apart_as_a_screen_can_tell(since, step):
    """Never more than some hundred of them."""
    at = ranges.between(since, "now", now=NOW)
    assert at.step == step
    assert at.duration / at.step <= 300


def test_moments_are_relative_or_in_milliseconds():
    """As in Grafana's addresses."""
    assert ranges.moment("now-1h", NOW) == NOW - 3600
    assert ranges.moment("1700000000000", NOW) == 1_700_000_000


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("now", "now-1h"),
        ("now-1000y", "now"),
        ("yesterday", "now"),
        ("now-1h;drop", "now"),
        ("now-1h", "9" * 40),
        ("", "now"),
        ("-5", "now"),
    ],
)
def test_what_is_no_time_is_refused(since, until):
    """With words that say what is."""
    with pytest.raises(ValueError, match=r"is no time|end has to be after"):
        ranges.between(since, until, now=NOW)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("500ms", 0.5)])
def test_durations_are_read_as_prometheus_writes_them(text, seconds):
    """Also made of several parts."""
    assert ranges.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5m x"])
def test_what_is_no_duration_is_refused(text):
    """It is named in the message."""
    with pytest.raises(ValueError, match="is no duration"):
        ranges.seconds(text)


def test_a_panel_may_have_more_points():
    """Half an hour of a month, where a quarter of a day would hide an alert."""
    now = 1_700_000_000
    assert ranges.between("now-30d", "now", now=now).step == 10800
    assert ranges.between("now-30d", "now", points=1440, now=now).step == 1800


def test_what_happened_is_asked_for_up_to_now():
    """Also where the last point of a month is hours before its end."""
    now = 1_700_003_599.0
    asked = Asked("now-30d", "now", {})
    seen = Sight(asked, now, ranges.between(asked.since, asked.until, now=now), ())
    at = seen.events(240)
    assert now - at.end < 65
    assert (at.duration, at.step) == (seen.at.duration, seen.at.step)
