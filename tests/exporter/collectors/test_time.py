"""The time collector."""

import time

import pytest

from gnomon_exporter.collectors.time import TimeCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def zone(monkeypatch):
    """Return a function that moves this process to a time zone, undone afterwards."""

    def move(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def test_reports_the_clock(recorded, exposed):
    """The clock's time is this process' time."""
    before = time.time()
    page = exposed(TimeCollector(recorded))
    assert page[0] == "# TYPE node_time_seconds gauge"
    assert before <= float(page[1].removeprefix("node_time_seconds ")) <= time.time()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("UTC0", 'node_time_zone_offset_seconds{time_zone="UTC"} 0'),
        ("IST-5:30", 'node_time_zone_offset_seconds{time_zone="IST"} 19800'),
        ("<-0330>3:30", 'node_time_zone_offset_seconds{time_zone="-0330"} -12600'),
    ],
)
def test_reports_the_zone(recorded, exposed, zone, name, line):
    """East of Greenwich is ahead of UTC."""
    zone(name)
    assert exposed(TimeCollector(recorded))[2:4] == [
        "# TYPE node_time_zone_offset_seconds gauge",
        line,
    ]


def test_reports_clock_sources(recorded, exposed):
    """Every source that could be used, and the one that is."""
    assert exposed(TimeCollector(recorded))[4:] == [
        "# TYPE node_time_clocksource_available_info gauge",
        'node_time_clocksource_available_info{device="0",clocksource="tsc"} 1',
        'node_time_clocksource_available_info{device="0",clocksource="kvm-clock"} 1',
        "# TYPE node_time_clocksource_current_info gauge",
        'node_time_clocksource_current_info{device="0",clocksource="tsc"} 1',
    ]


def test_sources_that_cannot_be_read_are_absent(tmp_path, exposed):
    """A device without one of its files gives the other; folders of other names give nothing."""
    for device in ("clocksource0", "clocksource1", "power"):
        (tmp_path / device).mkdir()
    (tmp_path / "clocksource1" / "current_clocksource").write_text("hpet\n")
    (tmp_path / "power" / "current_clocksource").write_text("none\n")
    sys = tmp_path / "sys" / "devices" / "system"
    sys.mkdir(parents=True)
    (sys / "clocksource").symlink_to(tmp_path)
    assert exposed(TimeCollector(Paths(str(tmp_path))))[4:] == [
        "# TYPE node_time_clocksource_current_info gauge",
        'node_time_clocksource_current_info{device="1",clocksource="hpet"} 1',
    ]


def test_without_clock_sources_the_clock_is_reported(tmp_path, exposed):
    """A machine without the folder has its time all the same."""
    assert len(exposed(TimeCollector(Paths(str(tmp_path))))) == 4
