"""Families of the whole process."""

import pytest
from prometheus_client.core import GaugeMetricFamily

from gnomon import guard, subjects
from gnomon.families import Counters


@pytest.fixture
def emptied(monkeypatch):
    """No subject but the test's own."""
    monkeypatch.setattr(subjects, "_counted", [])
    monkeypatch.setattr(subjects, "_looked", [])


@pytest.mark.usefixtures("emptied")
def test_a_subject_that_fails_takes_no_other_along():
    """It is counted as telemetry's own fault, and nothing of it is shown."""

    def broken():
        yield GaugeMetricFamily("half", "Never seen.", 1)
        raise OSError("gone")

    calls = Counters("calls", "Calls.", (), 1)
    calls.child().inc(2)
    subjects.add(calls)
    subjects.look("a test's subject", broken)
    subjects.look("another", lambda: [GaugeMetricFamily("level", "Level.", 3)])
    shown = {s.name: s.value for family in subjects.collect() for s in family.samples}
    assert shown == {"calls_total": 2, "level": 3}
    (faults,) = guard.families()
    assert [s.value for s in faults.samples if s.labels["where"] == "a test's subject"] == [1]
