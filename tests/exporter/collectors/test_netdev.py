"""The netdev collector."""

import pytest

from gnomon_exporter.collectors.netdev import NetdevCollector
from gnomon_exporter.paths import Paths

HEADING = "Inter-|   Receive  |  Transmit\n face |bytes    packets |bytes    packets\n"


@pytest.fixture
def host(tmp_path):
    """Return a host with an empty table of devices."""
    (tmp_path / "proc/1/net").mkdir(parents=True)
    (tmp_path / "proc/1/net/dev").write_text(HEADING)
    return tmp_path


def test_reports_the_recorded_devices(recorded, exposed):
    """Each column is a counter; ifb1, of which /sys was not recorded, lacks only nohandler."""
    assert exposed(NetdevCollector(recorded)) == [
        "# TYPE node_network_receive_bytes_total counter",
        'node_network_receive_bytes_total{device="lo"} 32048250',
        'node_network_receive_bytes_total{device="ifb0"} 70',
        'node_network_receive_bytes_total{device="ifb1"} 0',
        'node_network_receive_bytes_total{device="eth0"} 500904469',
        "# TYPE node_network_receive_packets_total counter",
        'node_network_receive_packets_total{device="lo"} 29296',
        'node_network_receive_packets_total{device="ifb0"} 1',
        'node_network_receive_packets_total{device="ifb1"} 0',
        'node_network_receive_packets_total{device="eth0"} 14470',
        "# TYPE node_network_receive_errs_total counter",
        'node_network_receive_errs_total{device="lo"} 0',
        'node_network_receive_errs_total{device="ifb0"} 0',
        'node_network_receive_errs_total{device="ifb1"} 0',
        'node_network_receive_errs_total{device="eth0"} 0',
        "# TYPE node_network_receive_drop_total counter",
        'node_network_receive_drop_total{device="lo"} 0',
        'node_network_receive_drop_total{device="ifb0"} 1',
        'node_network_receive_drop_total{device="ifb1"} 0',
        'node_network_receive_drop_total{device="eth0"} 0',
        "# TYPE node_network_receive_fifo_total counter",
        'node_network_receive_fifo_total{device="lo"} 0',
        'node_network_receive_fifo_total{device="ifb0"} 0',
        'node_network_receive_fifo_total{device="ifb1"} 0',
        'node_network_receive_fifo_total{device="eth0"} 0',
        "# TYPE node_network_receive_frame_total counter",
        'node_network_receive_frame_total{device="lo"} 0',
        'node_network_receive_frame_total{device="ifb0"} 0',
        'node_network_receive_frame_total{device="ifb1"} 0',
        'node_network_receive_frame_total{device="eth0"} 0',
        "# TYPE node_network_receive_compressed_total counter",
        'node_network_receive_compressed_total{device="lo"} 0',
        'node_network_receive_compressed_total{device="ifb0"} 0',
        'node_network_receive_compressed_total{device="ifb1"} 0',
        'node_network_receive_compressed_total{device="eth0"} 0',
        "# TYPE node_network_receive_multicast_total counter",
        'node_network_receive_multicast_total{device="lo"} 0',
        'node_network_receive_multicast_total{device="ifb0"} 0',
        'node_network_receive_multicast_total{device="ifb1"} 0',
        'node_network_receive_multicast_total{device="eth0"} 0',
        "# TYPE node_network_transmit_bytes_total counter",
        'node_network_transmit_bytes_total{device="lo"} 32048250',
        'node_network_transmit_bytes_total{device="ifb0"} 0',
        'node_network_transmit_bytes_total{device="ifb1"} 0',
        'node_network_transmit_bytes_total{device="eth0"} 940669',
        "# TYPE node_network_transmit_packets_total counter",
        'node_network_transmit_packets_total{device="lo"} 29296',
        'node_network_transmit_packets_total{device="ifb0"} 0',
        'node_network_transmit_packets_total{device="ifb1"} 0',
        'node_network_transmit_packets_total{device="eth0"} 9921',
        "# TYPE node_network_transmit_errs_total counter",
        'node_network_transmit_errs_total{device="lo"} 0',
        'node_network_transmit_errs_total{device="ifb0"} 0',
        'node_network_transmit_errs_total{device="ifb1"} 0',
        'node_network_transmit_errs_total{device="eth0"} 0',
        "# TYPE node_network_transmit_drop_total counter",
        'node_network_transmit_drop_total{device="lo"} 0',
        'node_network_transmit_drop_total{device="ifb0"} 0',
        'node_network_transmit_drop_total{device="ifb1"} 0',
        'node_network_transmit_drop_total{device="eth0"} 0',
        "# TYPE node_network_transmit_fifo_total counter",
        'node_network_transmit_fifo_total{device="lo"} 0',
        'node_network_transmit_fifo_total{device="ifb0"} 0',
        'node_network_transmit_fifo_total{device="ifb1"} 0',
        'node_network_transmit_fifo_total{device="eth0"} 0',
        "# TYPE node_network_transmit_colls_total counter",
        'node_network_transmit_colls_total{device="lo"} 0',
        'node_network_transmit_colls_total{device="ifb0"} 0',
        'node_network_transmit_colls_total{device="ifb1"} 0',
        'node_network_transmit_colls_total{device="eth0"} 0',
        "# TYPE node_network_transmit_carrier_total counter",
        'node_network_transmit_carrier_total{device="lo"} 0',
        'node_network_transmit_carrier_total{device="ifb0"} 0',
        'node_network_transmit_carrier_total{device="ifb1"} 0',
        'node_network_transmit_carrier_total{device="eth0"} 0',
        "# TYPE node_network_transmit_compressed_total counter",
        'node_network_transmit_compressed_total{device="lo"} 0',
        'node_network_transmit_compressed_total{device="ifb0"} 0',
        'node_network_transmit_compressed_total{device="ifb1"} 0',
        'node_network_transmit_compressed_total{device="eth0"} 0',
        "# TYPE node_network_receive_nohandler_total counter",
        'node_network_receive_nohandler_total{device="lo"} 0',
        'node_network_receive_nohandler_total{device="ifb0"} 0',
        'node_network_receive_nohandler_total{device="eth0"} 0',
    ]


def test_each_column_stands_under_its_own_name(metal, exposed):
    """No two columns are swapped, and no digit of a counter beyond 2^53 is lost."""
    assert exposed(NetdevCollector(metal, device_include="^(eno1|bond0)$")) == [
        "# TYPE node_network_receive_bytes_total counter",
        'node_network_receive_bytes_total{device="eno1"} 101000000000000001',
        'node_network_receive_bytes_total{device="bond0"} 201',
        "# TYPE node_network_receive_packets_total counter",
        'node_network_receive_packets_total{device="eno1"} 102',
        'node_network_receive_packets_total{device="bond0"} 202',
        "# TYPE node_network_receive_errs_total counter",
        'node_network_receive_errs_total{device="eno1"} 103',
        'node_network_receive_errs_total{device="bond0"} 203',
        "# TYPE node_network_receive_drop_total counter",
        'node_network_receive_drop_total{device="eno1"} 104',
        'node_network_receive_drop_total{device="bond0"} 204',
        "# TYPE node_network_receive_fifo_total counter",
        'node_network_receive_fifo_total{device="eno1"} 105',
        'node_network_receive_fifo_total{device="bond0"} 205',
        "# TYPE node_network_receive_frame_total counter",
        'node_network_receive_frame_total{device="eno1"} 106',
        'node_network_receive_frame_total{device="bond0"} 206',
        "# TYPE node_network_receive_compressed_total counter",
        'node_network_receive_compressed_total{device="eno1"} 107',
        'node_network_receive_compressed_total{device="bond0"} 207',
        "# TYPE node_network_receive_multicast_total counter",
        'node_network_receive_multicast_total{device="eno1"} 108',
        'node_network_receive_multicast_total{device="bond0"} 208',
        "# TYPE node_network_transmit_bytes_total counter",
        'node_network_transmit_bytes_total{device="eno1"} 109',
        'node_network_transmit_bytes_total{device="bond0"} 209',
        "# TYPE node_network_transmit_packets_total counter",
        'node_network_transmit_packets_total{device="eno1"} 110',
        'node_network_transmit_packets_total{device="bond0"} 210',
        "# TYPE node_network_transmit_errs_total counter",
        'node_network_transmit_errs_total{device="eno1"} 111',
        'node_network_transmit_errs_total{device="bond0"} 211',
        "# TYPE node_network_transmit_drop_total counter",
        'node_network_transmit_drop_total{device="eno1"} 112',
        'node_network_transmit_drop_total{device="bond0"} 212',
        "# TYPE node_network_transmit_fifo_total counter",
        'node_network_transmit_fifo_total{device="eno1"} 113',
        'node_network_transmit_fifo_total{device="bond0"} 213',
        "# TYPE node_network_transmit_colls_total counter",
        'node_network_transmit_colls_total{device="eno1"} 114',
        'node_network_transmit_colls_total{device="bond0"} 214',
        "# TYPE node_network_transmit_carrier_total counter",
        'node_network_transmit_carrier_total{device="eno1"} 115',
        'node_network_transmit_carrier_total{device="bond0"} 215',
        "# TYPE node_network_transmit_compressed_total counter",
        'node_network_transmit_compressed_total{device="eno1"} 116',
        'node_network_transmit_compressed_total{device="bond0"} 216',
        "# TYPE node_network_receive_nohandler_total counter",
        'node_network_receive_nohandler_total{device="eno1"} 117',
        'node_network_receive_nohandler_total{device="bond0"} 217',
    ]


def test_leaves_out_the_excluded_devices(metal, exposed):
    """The expression matches anywhere in the name."""
    page = exposed(NetdevCollector(metal, device_exclude="ond|^eno"))
    assert 'node_network_receive_bytes_total{device="lo"} 4321000' in page
    assert not [line for line in page if "bond0" in line or "eno1" in line]


def test_a_long_number_may_touch_the_name(host, exposed):
    """Older kernels part the two by nothing but the colon."""
    (host / "proc/1/net/dev").write_text(HEADING + "  eth0:12345678901 7\n")
    assert exposed(NetdevCollector(Paths(str(host)))) == [
        "# TYPE node_network_receive_bytes_total counter",
        'node_network_receive_bytes_total{device="eth0"} 12345678901',
        "# TYPE node_network_receive_packets_total counter",
        'node_network_receive_packets_total{device="eth0"} 7',
    ]


def test_more_columns_than_known_are_ignored(host, exposed):
    """A newer kernel's columns at the end change nothing."""
    (host / "proc/1/net/dev").write_text(HEADING + "eth0:" + " 1" * 20 + "\n")
    page = exposed(NetdevCollector(Paths(str(host))))
    assert len([line for line in page if line.startswith("node_")]) == 16


def test_odd_names_stay_readable(host, exposed):
    """Quotes are escaped, bytes that are no text replaced, and the next device is whole."""
    (host / "proc/1/net/dev").write_bytes(HEADING.encode() + b'a"b\\: 1\nx\xff: 2\neth0: 3\n')
    assert exposed(NetdevCollector(Paths(str(host)))) == [
        "# TYPE node_network_receive_bytes_total counter",
        r'node_network_receive_bytes_total{device="a\"b\\"} 1',
        'node_network_receive_bytes_total{device="x\N{REPLACEMENT CHARACTER}"} 2',
        'node_network_receive_bytes_total{device="eth0"} 3',
    ]


def test_a_host_without_devices_has_no_series(host, exposed):
    """An empty table is no failure."""
    assert exposed(NetdevCollector(Paths(str(host)))) == []


def test_an_invalid_filter_is_refused():
    """The message names the setting."""
    with pytest.raises(ValueError, match="device_include: not a regular expression"):
        NetdevCollector(Paths(), device_include="(")
