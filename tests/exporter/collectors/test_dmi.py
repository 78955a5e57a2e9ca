"""The dmi collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.dmi import DmiCollector
from gnomon_exporter.paths import Paths


def test_reports_a_physical_machine(metal, exposed):
    """What the firmware leaves out is no label; what it leaves empty is an empty one."""
    assert exposed(DmiCollector(metal)) == [
        "# TYPE node_dmi_info gauge",
        (
            'node_dmi_info{bios_date="01/31/2024",bios_release="2.21",'
            'bios_vendor="Acme Firmware",bios_version="2.21.1",board_name="0ABC12",'
            'board_serial=".SERIAL0.",board_vendor="Acme",board_version="A03",'
            'chassis_asset_tag="",chassis_serial="SERIAL0",chassis_vendor="Acme",'
            'product_family="Rack",product_name="Rack 640 \\"long\\"",product_serial="SERIAL0",'
            'product_sku="SKU=0001",product_uuid="00000000-0000-0000-0000-000000000000",'
            'system_vendor="Acme"} 1'
        ),
    ]


def test_what_others_may_not_read_is_no_label(tmp_path, exposed):
    """Without root the serial numbers cannot be read; invalid bytes are replaced."""
    identity = tmp_path / "class" / "dmi" / "id"
    (identity / "product_serial").mkdir(parents=True)  # as good as a read that fails
    (identity / "sys_vendor").write_bytes(b"Acm\xe9 \n")
    collector = DmiCollector(Paths(sysfs=str(tmp_path)))
    assert exposed(collector)[1:] == ['node_dmi_info{system_vendor="Acm\ufffd"} 1']


def test_the_table_is_read_once(tmp_path, exposed):
    """The firmware's table does not change while the machine runs."""
    identity = tmp_path / "class" / "dmi" / "id"
    identity.mkdir(parents=True)
    (identity / "board_name").write_text("one\n")
    collector = DmiCollector(Paths(sysfs=str(tmp_path)))
    first = exposed(collector)
    (identity / "board_name").write_text("two\n")
    assert exposed(collector) == first


def test_a_machine_without_the_interface_has_no_data(recorded):
    """The reason names the folder."""
    with pytest.raises(NoData, match="class/dmi/id"):
        list(DmiCollector(recorded).collect())
