"""The bonding collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.bonding import BondingCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def devices(tmp_path):
    """Return an empty /sys/class/net."""
    folder = tmp_path / "class/net"
    folder.mkdir(parents=True)
    return folder


def collector(devices):
    """Return a collector of ``devices``."""
    return BondingCollector(Paths(sysfs=str(devices.parent.parent)))


def test_counts_the_devices_of_a_bond_and_those_with_a_link(metal, exposed):
    """Two cards, one of them without a link."""
    assert exposed(BondingCollector(metal)) == [
        "# TYPE node_bonding_slaves gauge",
        'node_bonding_slaves{master="bond0"} 2',
        "# TYPE node_bonding_active gauge",
        'node_bonding_active{master="bond0"} 1',
    ]


def test_a_bond_without_devices_counts_none(devices, exposed):
    """It is there, so 0 is the truth; the second bond was removed meanwhile."""
    (devices / "bonding_masters").write_text("bond0 bond1\n")
    (devices / "bond0").mkdir()
    assert exposed(collector(devices)) == [
        "# TYPE node_bonding_slaves gauge",
        'node_bonding_slaves{master="bond0"} 0',
        "# TYPE node_bonding_active gauge",
        'node_bonding_active{master="bond0"} 0',
    ]


def test_a_device_that_leaves_the_bond_meanwhile_is_not_counted(devices, exposed):
    """Its link is there, its state is not; going back, it has a link."""
    (devices / "bonding_masters").write_text("bond0\n")
    (devices / "bond0/lower_eth0").mkdir(parents=True)
    (devices / "bond0/lower_eth1/bonding_slave").mkdir(parents=True)
    (devices / "bond0/lower_eth1/bonding_slave/mii_status").write_text("going back\n")
    assert exposed(collector(devices)) == [
        "# TYPE node_bonding_slaves gauge",
        'node_bonding_slaves{master="bond0"} 1',
        "# TYPE node_bonding_active gauge",
        'node_bonding_active{master="bond0"} 0',
    ]


def test_the_module_without_bonds_has_no_series(devices, exposed):
    """An empty list of bonds is no failure."""
    (devices / "bonding_masters").write_text("\n")
    assert exposed(collector(devices)) == []


def test_without_the_module_there_is_no_data(devices):
    """Most hosts have no bonds."""
    with pytest.raises(NoData, match="not loaded"):
        list(collector(devices).collect())
