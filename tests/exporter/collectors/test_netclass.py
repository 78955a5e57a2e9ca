"""The netclass collector."""

import os

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.netclass import NetclassCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def devices(tmp_path):
    """Return an empty /sys/class/net."""
    folder = tmp_path / "class/net"
    folder.mkdir(parents=True)
    return folder


def collector(devices, **settings):
    """Return a collector of ``devices``."""
    return NetclassCollector(Paths(sysfs=str(devices.parent.parent)), **settings)


def test_reports_the_recorded_devices(recorded, exposed):
    """A virtual machine's card, whose speed nobody knows, one device that is down, and lo."""
    assert exposed(NetclassCollector(recorded)) == [
        "# TYPE node_network_up gauge",
        'node_network_up{device="eth0"} 1',
        'node_network_up{device="ifb0"} 0',
        'node_network_up{device="lo"} 0',
        "# TYPE node_network_info gauge",
        (
            'node_network_info{device="eth0",address="02:00:00:00:00:10",broadcast="ff:ff:ff:ff:ff:ff",'
            'duplex="unknown",operstate="up",adminstate="up",ifalias=""} 1'
        ),
        (
            'node_network_info{device="ifb0",address="02:00:00:00:00:11",broadcast="ff:ff:ff:ff:ff:ff",'
            'duplex="",operstate="down",adminstate="down",ifalias=""} 1'
        ),
        (
            'node_network_info{device="lo",address="00:00:00:00:00:00",broadcast="00:00:00:00:00:00",'
            'duplex="",operstate="unknown",adminstate="up",ifalias=""} 1'
        ),
        "# TYPE node_network_address_assign_type gauge",
        'node_network_address_assign_type{device="eth0"} 0',
        'node_network_address_assign_type{device="ifb0"} 1',
        'node_network_address_assign_type{device="lo"} 0',
        "# TYPE node_network_carrier gauge",
        'node_network_carrier{device="eth0"} 1',
        'node_network_carrier{device="lo"} 1',
        "# TYPE node_network_device_id gauge",
        'node_network_device_id{device="eth0"} 0',
        'node_network_device_id{device="ifb0"} 0',
        'node_network_device_id{device="lo"} 0',
        "# TYPE node_network_dormant gauge",
        'node_network_dormant{device="eth0"} 0',
        'node_network_dormant{device="lo"} 0',
        "# TYPE node_network_flags gauge",
        'node_network_flags{device="eth0"} 4099',
        'node_network_flags{device="ifb0"} 130',
        'node_network_flags{device="lo"} 9',
        "# TYPE node_network_iface_id gauge",
        'node_network_iface_id{device="eth0"} 4',
        'node_network_iface_id{device="ifb0"} 2',
        'node_network_iface_id{device="lo"} 1',
        "# TYPE node_network_iface_link gauge",
        'node_network_iface_link{device="eth0"} 4',
        'node_network_iface_link{device="ifb0"} 2',
        'node_network_iface_link{device="lo"} 1',
        "# TYPE node_network_iface_link_mode gauge",
        'node_network_iface_link_mode{device="eth0"} 0',
        'node_network_iface_link_mode{device="ifb0"} 0',
        'node_network_iface_link_mode{device="lo"} 0',
        "# TYPE node_network_mtu_bytes gauge",
        'node_network_mtu_bytes{device="eth0"} 1400',
        'node_network_mtu_bytes{device="ifb0"} 1500',
        'node_network_mtu_bytes{device="lo"} 65536',
        "# TYPE node_network_name_assign_type gauge",
        'node_network_name_assign_type{device="eth0"} 1',
        'node_network_name_assign_type{device="lo"} 2',
        "# TYPE node_network_net_dev_group gauge",
        'node_network_net_dev_group{device="eth0"} 0',
        'node_network_net_dev_group{device="ifb0"} 0',
        'node_network_net_dev_group{device="lo"} 0',
        "# TYPE node_network_transmit_queue_length gauge",
        'node_network_transmit_queue_length{device="eth0"} 1000',
        'node_network_transmit_queue_length{device="ifb0"} 32',
        'node_network_transmit_queue_length{device="lo"} 1000',
        "# TYPE node_network_protocol_type gauge",
        'node_network_protocol_type{device="eth0"} 1',
        'node_network_protocol_type{device="ifb0"} 1',
        'node_network_protocol_type{device="lo"} 772',
        "# TYPE node_network_carrier_changes_total counter",
        'node_network_carrier_changes_total{device="eth0"} 2',
        'node_network_carrier_changes_total{device="ifb0"} 0',
        'node_network_carrier_changes_total{device="lo"} 0',
        "# TYPE node_network_carrier_up_changes_total counter",
        'node_network_carrier_up_changes_total{device="eth0"} 1',
        'node_network_carrier_up_changes_total{device="ifb0"} 0',
        'node_network_carrier_up_changes_total{device="lo"} 0',
        "# TYPE node_network_carrier_down_changes_total counter",
        'node_network_carrier_down_changes_total{device="eth0"} 1',
        'node_network_carrier_down_changes_total{device="ifb0"} 0',
        'node_network_carrier_down_changes_total{device="lo"} 0',
        "# TYPE node_network_speed_bytes gauge",
        'node_network_speed_bytes{device="eth0"} -125000',
    ]


def test_reports_cards_and_their_bond(metal, exposed):
    """Speeds in bytes, an alias with quotes, a card without carrier, and no bonding_masters."""
    assert exposed(NetclassCollector(metal)) == [
        "# TYPE node_network_up gauge",
        'node_network_up{device="bond0"} 1',
        'node_network_up{device="eno1"} 1',
        'node_network_up{device="eno2"} 0',
        "# TYPE node_network_info gauge",
        (
            'node_network_info{device="bond0",address="02:00:00:00:01:11",broadcast="ff:ff:ff:ff:ff:ff",'
            'duplex="full",operstate="up",adminstate="up",ifalias=""} 1'
        ),
        (
            'node_network_info{device="eno1",address="02:00:00:00:01:11",broadcast="ff:ff:ff:ff:ff:ff",'
            'duplex="full",operstate="up",adminstate="up",ifalias="rack 7, \\"port\\" \\\\3"} 1'
        ),
        (
            'node_network_info{device="eno2",address="02:00:00:00:01:11",broadcast="ff:ff:ff:ff:ff:ff",'
            'duplex="unknown",operstate="down",adminstate="up",ifalias=""} 1'
        ),
        "# TYPE node_network_address_assign_type gauge",
        'node_network_address_assign_type{device="bond0"} 3',
        'node_network_address_assign_type{device="eno1"} 0',
        'node_network_address_assign_type{device="eno2"} 3',
        "# TYPE node_network_carrier gauge",
        'node_network_carrier{device="bond0"} 1',
        'node_network_carrier{device="eno1"} 1',
        "# TYPE node_network_device_id gauge",
        'node_network_device_id{device="bond0"} 0',
        'node_network_device_id{device="eno1"} 42',
        'node_network_device_id{device="eno2"} 0',
        "# TYPE node_network_dormant gauge",
        'node_network_dormant{device="bond0"} 0',
        'node_network_dormant{device="eno1"} 0',
        "# TYPE node_network_flags gauge",
        'node_network_flags{device="bond0"} 5123',
        'node_network_flags{device="eno1"} 6403',
        'node_network_flags{device="eno2"} 6147',
        "# TYPE node_network_iface_id gauge",
        'node_network_iface_id{device="bond0"} 4',
        'node_network_iface_id{device="eno1"} 2',
        'node_network_iface_id{device="eno2"} 3',
        "# TYPE node_network_iface_link gauge",
        'node_network_iface_link{device="bond0"} 4',
        'node_network_iface_link{device="eno1"} 2',
        'node_network_iface_link{device="eno2"} 3',
        "# TYPE node_network_iface_link_mode gauge",
        'node_network_iface_link_mode{device="bond0"} 0',
        'node_network_iface_link_mode{device="eno1"} 0',
        'node_network_iface_link_mode{device="eno2"} 0',
        "# TYPE node_network_mtu_bytes gauge",
        'node_network_mtu_bytes{device="bond0"} 9000',
        'node_network_mtu_bytes{device="eno1"} 9000',
        'node_network_mtu_bytes{device="eno2"} 9000',
        "# TYPE node_network_name_assign_type gauge",
        'node_network_name_assign_type{device="bond0"} 3',
        'node_network_name_assign_type{device="eno1"} 4',
        'node_network_name_assign_type{device="eno2"} 4',
        "# TYPE node_network_net_dev_group gauge",
        'node_network_net_dev_group{device="bond0"} 0',
        'node_network_net_dev_group{device="eno1"} 5',
        'node_network_net_dev_group{device="eno2"} 0',
        "# TYPE node_network_transmit_queue_length gauge",
        'node_network_transmit_queue_length{device="bond0"} 1000',
        'node_network_transmit_queue_length{device="eno1"} 1000',
        'node_network_transmit_queue_length{device="eno2"} 1000',
        "# TYPE node_network_protocol_type gauge",
        'node_network_protocol_type{device="bond0"} 1',
        'node_network_protocol_type{device="eno1"} 1',
        'node_network_protocol_type{device="eno2"} 1',
        "# TYPE node_network_carrier_changes_total counter",
        'node_network_carrier_changes_total{device="bond0"} 2',
        'node_network_carrier_changes_total{device="eno1"} 7',
        'node_network_carrier_changes_total{device="eno2"} 9',
        "# TYPE node_network_carrier_up_changes_total counter",
        'node_network_carrier_up_changes_total{device="bond0"} 1',
        'node_network_carrier_up_changes_total{device="eno1"} 4',
        'node_network_carrier_up_changes_total{device="eno2"} 4',
        "# TYPE node_network_carrier_down_changes_total counter",
        'node_network_carrier_down_changes_total{device="bond0"} 1',
        'node_network_carrier_down_changes_total{device="eno1"} 3',
        'node_network_carrier_down_changes_total{device="eno2"} 5',
        "# TYPE node_network_speed_bytes gauge",
        'node_network_speed_bytes{device="bond0"} 3125000000',
        'node_network_speed_bytes{device="eno1"} 3125000000',
        'node_network_speed_bytes{device="eno2"} -125000',
    ]


def test_an_unknown_speed_can_be_left_out(recorded, exposed):
    """On request there is no negative speed."""
    page = exposed(NetclassCollector(recorded, ignore_invalid_speed=True))
    assert page == [line for line in exposed(NetclassCollector(recorded)) if "speed" not in line]


def test_ignored_devices_are_not_read(recorded, exposed):
    """The expression matches anywhere in the name."""
    page = exposed(NetclassCollector(recorded, ignored_devices="^(lo|ifb)"))
    assert page == [
        line
        for line in exposed(NetclassCollector(recorded))
        if '"lo"' not in line and '"ifb0"' not in line
    ]


def test_attributes_that_are_no_numbers_are_absent(devices, exposed):
    """An empty or broken attribute is not 0, and the next one is there."""
    (devices / "eth0").mkdir()
    for name, text in {"mtu": "", "carrier": "no", "flags": "0xzz", "ifindex": "7\n"}.items():
        (devices / "eth0" / name).write_text(text)
    assert exposed(collector(devices)) == [
        "# TYPE node_network_info gauge",
        (
            'node_network_info{device="eth0",address="",broadcast="",duplex="",operstate="",'
            'adminstate="unknown",ifalias=""} 1'
        ),
        "# TYPE node_network_iface_id gauge",
        'node_network_iface_id{device="eth0"} 7',
    ]


def test_an_attribute_that_cannot_be_read_harms_no_other(devices, exposed):
    """Reading a directory fails as a driver's attribute may."""
    (devices / "eth0/speed").mkdir(parents=True)
    (devices / "eth0/operstate").write_text("up\n")
    page = exposed(collector(devices))
    assert 'node_network_up{device="eth0"} 1' in page
    assert not [line for line in page if "speed" in line]


def test_a_device_that_has_gone_leaves_nothing(devices, exposed):
    """A link that leads nowhere, as one just removed, is no device with empty properties."""
    (devices / "veth0").symlink_to("../../devices/virtual/net/veth0")
    (devices / "veth1").mkdir()
    assert exposed(collector(devices)) == []


def test_an_alias_may_hold_anything(devices, exposed):
    """Bytes that are no text are replaced, quotes and line ends escaped."""
    (devices / "eth0").mkdir()
    (devices / "eth0/ifalias").write_bytes(b'a "b"\n\\c\xff\n')
    assert exposed(collector(devices))[1].endswith(
        r'ifalias="a \"b\"\n\\c' + '\N{REPLACEMENT CHARACTER}"} 1'
    )


def test_a_name_that_is_no_text_is_a_device(devices, exposed):
    """Such a name can be opened and is written with a question mark."""
    device = os.fsencode(devices) + b"/x\xff"
    os.mkdir(device)
    with open(device + b"/mtu", "w") as file:
        file.write("1500\n")
    assert 'node_network_mtu_bytes{device="x?"} 1500' in exposed(collector(devices))


def test_without_network_devices_there_is_no_data(tmp_path):
    """The message names the folder."""
    with pytest.raises(NoData, match="class/net"):
        list(NetclassCollector(Paths(sysfs=str(tmp_path))).collect())


def test_a_renamed_device_is_read_under_its_new_name(devices, exposed):
    """Two cards that swap their names swap their numbers, whatever is held open."""
    for name, mtu in {"eth0": 1500, "eth1": 9000}.items():
        (devices / name).mkdir()
        (devices / name / "mtu").write_text(f"{mtu}\n")
    swapped = collector(devices)
    assert 'node_network_mtu_bytes{device="eth0"} 1500' in exposed(swapped)
    (devices / "eth0").rename(devices / "swap")
    (devices / "eth1").rename(devices / "eth0")
    (devices / "swap").rename(devices / "eth1")
    assert exposed(swapped)[-2:] == [
        'node_network_mtu_bytes{device="eth0"} 9000',
        'node_network_mtu_bytes{device="eth1"} 1500',
    ]


def test_what_changes_between_scrapes_is_seen(devices, exposed):
    """An attribute that is held open is read anew each time."""
    (devices / "eth0").mkdir()
    (devices / "eth0/operstate").write_text("up\n")
    changing = collector(devices)
    assert 'node_network_up{device="eth0"} 1' in exposed(changing)
    (devices / "eth0/operstate").write_text("down\n")
    assert 'node_network_up{device="eth0"} 0' in exposed(changing)


def test_a_thousand_devices_hold_few_files_open(devices, exposed):
    """A host of containers has that many; each is there, and scrapes leave no more files open."""
    for number in range(1000):
        (devices / f"veth{number}").mkdir()
        (devices / f"veth{number}/mtu").write_text("1500\n")
    crowd = collector(devices)
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        page = exposed(crowd)
    assert len([line for line in page if line.startswith("node_network_mtu_bytes{")]) == 1000
    assert len(os.listdir("/dev/fd")) == before + 16
    for number in range(1000):
        (devices / f"veth{number}/mtu").unlink()
        (devices / f"veth{number}").rmdir()
    assert exposed(crowd) == []
    assert len(os.listdir("/dev/fd")) == before


def test_an_invalid_expression_is_refused():
    """The message names the setting."""
    with pytest.raises(ValueError, match="ignored_devices: not a regular expression"):
        NetclassCollector(Paths(), ignored_devices="(")
