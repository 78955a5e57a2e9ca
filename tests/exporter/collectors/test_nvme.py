"""The nvme collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.nvme import NvmeCollector
from gnomon_exporter.paths import Paths

PAGE = """\
# TYPE node_nvme_info gauge
node_nvme_info{device="nvme0",firmware_revision="EX02",model="EXAMPLE SSD 1T",\
serial="0002",state="live",cntlid="1"} 1
# TYPE node_nvme_namespace_info gauge
node_nvme_namespace_info{device="nvme0",nsid="1",ana_state="unknown"} 1
node_nvme_namespace_info{device="nvme0",nsid="2",ana_state="optimized"} 1
# TYPE node_nvme_namespace_capacity_bytes gauge
node_nvme_namespace_capacity_bytes{device="nvme0",nsid="1"} 1000204886016
node_nvme_namespace_capacity_bytes{device="nvme0",nsid="2"} 8192000
# TYPE node_nvme_namespace_size_bytes gauge
node_nvme_namespace_size_bytes{device="nvme0",nsid="1"} 1000204886016
node_nvme_namespace_size_bytes{device="nvme0",nsid="2"} 8192000
# TYPE node_nvme_namespace_used_bytes gauge
node_nvme_namespace_used_bytes{device="nvme0",nsid="1"} 256000000
node_nvme_namespace_used_bytes{device="nvme0",nsid="2"} 4096000
# TYPE node_nvme_namespace_logical_block_size_bytes gauge
node_nvme_namespace_logical_block_size_bytes{device="nvme0",nsid="1"} 512
node_nvme_namespace_logical_block_size_bytes{device="nvme0",nsid="2"} 4096
"""


def test_reports_the_drive_and_its_namespaces(metal, exposed):
    """The second namespace has blocks of 4 KiB, and yet the kernel counts it in 512 bytes."""
    assert exposed(NvmeCollector(metal)) == PAGE.splitlines()


def test_what_cannot_be_read_is_absent(tmp_path, exposed):
    """Linux before 6.8 does not tell what is in use; a drive may lack any other attribute."""
    namespace = tmp_path / "class/nvme/nvme3/nvme3n7"
    namespace.mkdir(parents=True)
    (namespace / "size").write_text("2\n")
    (namespace / "nuse").write_text("1\n")  # in blocks of an unknown size
    for other in ("nvme3c1n1", "nvme3n7p1", "ng3n7", "hwmon5"):
        (namespace.parent / other).mkdir()
    lines = exposed(NvmeCollector(Paths(sysfs=str(tmp_path))))
    info = 'device="nvme3",firmware_revision="",model="",serial="",state="",cntlid=""'
    assert [line for line in lines if not line.startswith("#")] == [
        f"node_nvme_info{{{info}}} 1",
        'node_nvme_namespace_info{device="nvme3",nsid="7",ana_state="unknown"} 1',
        'node_nvme_namespace_capacity_bytes{device="nvme3",nsid="7"} 1024',
        'node_nvme_namespace_size_bytes{device="nvme3",nsid="7"} 1024',
    ]


def test_odd_names_and_numbers(tmp_path, exposed):
    """Quotes in a model and words for a size break neither line nor collector."""
    namespace = tmp_path / "class/nvme/nvme0/nvme0n1"
    namespace.mkdir(parents=True)
    (namespace.parent / "model").write_text('a "b" \\ \n')
    (namespace / "size").write_text("large\n")
    lines = exposed(NvmeCollector(Paths(sysfs=str(tmp_path))))
    assert any('model="a \\"b\\" \\\\"' in line for line in lines)
    assert not [line for line in lines if "bytes" in line]


def test_a_file_among_the_drives(tmp_path, exposed):
    """It has no namespaces."""
    (tmp_path / "class/nvme").mkdir(parents=True)
    (tmp_path / "class/nvme/odd").write_text("")
    assert len(exposed(NvmeCollector(Paths(sysfs=str(tmp_path))))) == 2


def test_no_drives_no_data(tmp_path):
    """A machine without the driver has no such directory."""
    with pytest.raises(NoData, match="no NVMe drive"):
        list(NvmeCollector(Paths(sysfs=str(tmp_path))).collect())
