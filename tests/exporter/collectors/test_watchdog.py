"""The watchdog collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.watchdog import WatchdogCollector
from gnomon_exporter.paths import Paths


def test_reports_each_watchdog(metal, exposed):
    """What a driver does not offer is absent as a number and empty as a label."""
    assert exposed(WatchdogCollector(metal)) == [
        "# TYPE node_watchdog_bootstatus gauge",
        'node_watchdog_bootstatus{name="watchdog0"} 0',
        "# TYPE node_watchdog_fw_version gauge",
        'node_watchdog_fw_version{name="watchdog0"} 0',
        "# TYPE node_watchdog_nowayout gauge",
        'node_watchdog_nowayout{name="watchdog0"} 0',
        "# TYPE node_watchdog_timeleft_seconds gauge",
        'node_watchdog_timeleft_seconds{name="watchdog0"} 27',
        "# TYPE node_watchdog_timeout_seconds gauge",
        'node_watchdog_timeout_seconds{name="watchdog0"} 30',
        'node_watchdog_timeout_seconds{name="watchdog1"} 60',
        "# TYPE node_watchdog_pretimeout_seconds gauge",
        'node_watchdog_pretimeout_seconds{name="watchdog0"} 0',
        "# TYPE node_watchdog_info gauge",
        (
            'node_watchdog_info{name="watchdog0",options="0x8180",identity="iTCO_wdt",'
            'state="active",status="0x8000",pretimeout_governor="panic"} 1'
        ),
        (
            'node_watchdog_info{name="watchdog1",options="",identity="Software Watchdog",'
            'state="",status="",pretimeout_governor=""} 1'
        ),
    ]


def test_attributes_that_are_no_numbers_are_absent(tmp_path, exposed):
    """A driver's odd or unreadable attribute harms neither its others nor other watchdogs."""
    watchdog = tmp_path / "class" / "watchdog" / "watchdog0"
    (watchdog / "bootstatus").mkdir(parents=True)
    (watchdog / "timeout").write_text("")
    (watchdog / "timeleft").write_text("-1\n")
    (watchdog / "identity").write_bytes(b'A "quoted" \\ name \xff\n')
    assert exposed(WatchdogCollector(Paths(sysfs=str(tmp_path)))) == [
        "# TYPE node_watchdog_timeleft_seconds gauge",
        'node_watchdog_timeleft_seconds{name="watchdog0"} -1',
        "# TYPE node_watchdog_info gauge",
        (
            'node_watchdog_info{name="watchdog0",options="",'
            'identity="A \\"quoted\\" \\\\ name \ufffd",'
            'state="",status="",pretimeout_governor=""} 1'
        ),
    ]


def test_a_kernel_with_no_watchdog_has_no_series(tmp_path, exposed):
    """An empty class is no failure and gives nothing."""
    (tmp_path / "class" / "watchdog").mkdir(parents=True)
    assert exposed(WatchdogCollector(Paths(sysfs=str(tmp_path)))) == []


def test_a_kernel_without_the_class_has_no_data(recorded):
    """The reason names the folder."""
    with pytest.raises(NoData, match="class/watchdog"):
        list(WatchdogCollector(recorded).collect())
