"""How services fare, against means worked out by hand."""

from datetime import date, datetime, timedelta

import pytest

from gnomon_console.alerts import figures
from gnomon_console.alerts.figures import Means
from gnomon_console.alerts.history import Episode

#: A Monday, by this machine's clock.
MONDAY = date(2026, 11, 2)
WEEK = timedelta(days=7)


def episode(day, hour, *, lasts=None, taken=None, service="shop", severity="critical"):
    """Return an alert that began on a day from that Monday. lasts, taken: minutes from then."""
    start = datetime(2026, 11, 2) + timedelta(days=day, hours=hour)  # noqa: DTZ001  # local
    began = start.timestamp()
    return Episode(
        name="Down",
        severity=severity,
        service=service,
        labels={},
        summary="",
        began=began,
        ended=None if lasts is None else began + lasts * 60,
        taken=None if taken is None else began + taken * 60,
        taker="" if taken is None else "Ada",
    )


#: Two weeks of two services; the newest first, as the history has them.
EPISODES = [
    episode(9, 6, lasts=None, taken=4),
    episode(8, 6, lasts=30, taken=None),
    episode(8, 0, lasts=10, taken=5, service="bank"),
    episode(6, 23, lasts=20, taken=2),
    episode(1, 12, lasts=5, severity="info"),
    episode(0, 3, lasts=60, taken=12),
    episode(0, 0, lasts=10, taken=None),
]
HOUR = 3600.0


def test_a_services_means_are_over_what_there_is():
    """Who was never taken has no MTTA, what fires still no MTTR; information is no failure."""
    shop, bank = figures.by_service(EPISODES)
    # Taken after 12, 2 and 4 minutes; over after 10, 60, 20 and 30; and from one beginning to the
    # next 3 hours, then 6 days and 20 hours, 1 day and 7 hours, 1 day.
    assert shop == Means("shop", 5, 18 * 60 / 3, 120 * 60 / 4, (3 + 164 + 31 + 24) * HOUR / 4)
    assert bank == Means("bank", 1, 5 * 60, 10 * 60, None)


def test_a_week_has_what_began_in_it():
    """The first alert of a week is as far from the last one before it as it is."""
    first, second = figures.by_week(EPISODES, MONDAY, MONDAY + timedelta(days=9), "shop")
    assert first == (
        MONDAY,
        Means("shop", 3, 14 * 60 / 2, 90 * 60 / 3, (3 + 164) * HOUR / 2),
    )
    assert second == (MONDAY + WEEK, Means("shop", 2, 4 * 60, 30 * 60, (31 + 24) * HOUR / 2))


def test_all_services_together_count_what_lies_between_two_within_each():
    """An alert of the bank's is no failure of the shop's."""
    weeks = figures.by_week(EPISODES, MONDAY, MONDAY + WEEK)
    assert weeks[1][1] == Means("", 3, (4 + 5) * 60 / 2, (30 + 10) * 60 / 2, 55 * HOUR / 2)


def test_a_week_without_any_is_there_and_says_nothing():
    """Missing is not zero."""
    weeks = figures.by_week(EPISODES, MONDAY - WEEK, MONDAY + 2 * WEEK)
    assert [week for week, _ in weeks] == [MONDAY + n * WEEK for n in (-1, 0, 1, 2)]
    assert weeks[0][1] == weeks[3][1] == Means("", 0, None, None, None)


@pytest.mark.parametrize(
    ("day", "hour", "week"), [(0, 0, 0), (6, 23.99, 0), (7, 0, 1), (-1, 23, -1)]
)
def test_a_week_begins_on_monday_at_midnight(day, hour, week):
    """By this machine's clock."""
    assert figures.monday(episode(day, hour).began) == MONDAY + week * WEEK


def test_nothing_has_no_means():
    """Of no service."""
    assert figures.by_service([]) == []
    assert figures.by_service([episode(0, 0, severity="info")]) == []
