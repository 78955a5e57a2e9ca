"""The arp collector."""

import pytest

from gnomon_exporter.collectors.arp import ArpCollector
from gnomon_exporter.paths import Paths

HEADING = "IP address       HW type     Flags       HW address            Mask     Device\n"


def test_counts_the_recorded_neighbours(recorded, exposed):
    """Each line of the table is one neighbour of its device."""
    assert exposed(ArpCollector(recorded)) == [
        "# TYPE node_arp_entries gauge",
        'node_arp_entries{device="eth0"} 1',
    ]


def test_counts_neighbours_in_any_state_but_no_proxy_addresses(metal, exposed):
    """An unanswered neighbour counts; an address that the host answers for is none.

    The netlink dump that node_exporter counts lacks such addresses too. An empty hardware address
    (tun0) hides nothing.
    """
    assert exposed(ArpCollector(metal)) == [
        "# TYPE node_arp_entries gauge",
        'node_arp_entries{device="bond0"} 3',
        'node_arp_entries{device="tun0"} 1',
        'node_arp_entries{device="eno3"} 1',
    ]


def test_reports_the_included_devices_only(metal, exposed):
    """The expression matches anywhere in the name."""
    assert exposed(ArpCollector(metal, device_include="tun")) == [
        "# TYPE node_arp_entries gauge",
        'node_arp_entries{device="tun0"} 1',
    ]


def test_leaves_out_the_excluded_devices(metal, exposed):
    """What is not excluded stays."""
    assert exposed(ArpCollector(metal, device_exclude="^(bond|en)")) == [
        "# TYPE node_arp_entries gauge",
        'node_arp_entries{device="tun0"} 1',
    ]


def test_an_empty_table_has_no_series(tmp_path, exposed):
    """Without neighbours there is nothing to say."""
    table = tmp_path / "self/net/arp"
    table.parent.mkdir(parents=True)
    table.write_text(HEADING)
    assert exposed(ArpCollector(Paths(procfs=str(tmp_path)))) == []


def test_a_cut_line_is_no_neighbour(tmp_path, exposed):
    """A line without its columns is passed over."""
    table = tmp_path / "self/net/arp"
    table.parent.mkdir(parents=True)
    table.write_text(HEADING + '\n192.0.2.1\n192.0.2.2 0x1 0x2 02:00:00:00:00:02 * we\\ir"d\n')
    assert exposed(ArpCollector(Paths(procfs=str(tmp_path)))) == [
        "# TYPE node_arp_entries gauge",
        r'node_arp_entries{device="we\\ir\"d"} 1',
    ]


def test_a_kernel_without_the_table_is_a_failure(tmp_path):
    """A missing file is an error that names it."""
    with pytest.raises(FileNotFoundError, match="net/arp"):
        list(ArpCollector(Paths(procfs=str(tmp_path))).collect())


def test_two_filters_at_once_are_refused():
    """The message names both settings."""
    with pytest.raises(ValueError, match="device_include and device_exclude"):
        ArpCollector(Paths(), device_include="a", device_exclude="b")
