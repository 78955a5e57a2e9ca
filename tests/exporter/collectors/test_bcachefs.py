"""The bcachefs collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.bcachefs import BcachefsCollector
from gnomon_exporter.paths import Paths

UUID = "00000000-0000-4000-8000-0000000bcacf"
# What node_exporter 1.11 shows for the same files, in the order of ours.
PAGE = """\
# TYPE node_bcachefs_info gauge
node_bcachefs_info{UUID} 1
# TYPE node_bcachefs_btree_cache_size_bytes gauge
node_bcachefs_btree_cache_size_bytes{UUID} 25690112
# TYPE node_bcachefs_compression_compressed_bytes gauge
node_bcachefs_compression_compressed_bytes{UUID,algorithm="lz4"} 1610612736
node_bcachefs_compression_compressed_bytes{UUID,algorithm="incompressible"} 536870912
# TYPE node_bcachefs_compression_uncompressed_bytes gauge
node_bcachefs_compression_uncompressed_bytes{UUID,algorithm="lz4"} 4563402752
node_bcachefs_compression_uncompressed_bytes{UUID,algorithm="incompressible"} 536870912
# TYPE node_bcachefs_errors_total counter
node_bcachefs_errors_total{UUID,error_type="btree_node_read_err"} 2
node_bcachefs_errors_total{UUID,error_type="alloc_key_wrong"} 1
# TYPE node_bcachefs_btree_writes_total counter
node_bcachefs_btree_writes_total{UUID,type="initial"} 900
node_bcachefs_btree_writes_total{UUID,type="cache_reclaim"} 12
# TYPE node_bcachefs_btree_write_average_size_bytes gauge
node_bcachefs_btree_write_average_size_bytes{UUID,type="initial"} 49356
node_bcachefs_btree_write_average_size_bytes{UUID,type="cache_reclaim"} 1536
# TYPE node_bcachefs_btree_node_split_total counter
node_bcachefs_btree_node_split_total{UUID} 40.0
# TYPE node_bcachefs_data_read_total counter
node_bcachefs_data_read_total{UUID} 2415919104
# TYPE node_bcachefs_device_info gauge
node_bcachefs_device_info{UUID,device="sdu",label="hdd.one",state="rw"} 1
# TYPE node_bcachefs_device_bucket_size_bytes gauge
node_bcachefs_device_bucket_size_bytes{UUID,device="sdu"} 524288
# TYPE node_bcachefs_device_buckets gauge
node_bcachefs_device_buckets{UUID,device="sdu"} 2048
# TYPE node_bcachefs_device_durability gauge
node_bcachefs_device_durability{UUID,device="sdu"} 1
# TYPE node_bcachefs_device_io_done_bytes_total counter
node_bcachefs_device_io_done_bytes_total{UUID,device="sdu",operation="read",data_type="sb"} 4096
node_bcachefs_device_io_done_bytes_total{UUID,device="sdu",operation="read",\
data_type="btree"} 122880
node_bcachefs_device_io_done_bytes_total{UUID,device="sdu",operation="write",\
data_type="user"} 8192000
# TYPE node_bcachefs_device_io_errors_total counter
node_bcachefs_device_io_errors_total{UUID,device="sdu",type="read"} 3
node_bcachefs_device_io_errors_total{UUID,device="sdu",type="write"} 0
node_bcachefs_device_io_errors_total{UUID,device="sdu",type="checksum"} 1
""".replace("UUID", f'uuid="{UUID}"')


def _sysfs(root, **files):
    """Write a file system's files, "__" for a slash in their names, and return the paths to it."""
    (root / "fs/bcachefs/u").mkdir(parents=True)
    for name, text in files.items():
        path = root / "fs/bcachefs/u" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Paths(sysfs=str(root))


def _samples(lines):
    return [line for line in lines if not line.startswith("#")]


def test_reports_the_file_system_and_its_devices(metal, exposed):
    """Sizes with units are bytes; errors and counters are those since it was made."""
    assert exposed(BcachefsCollector(metal)) == PAGE.splitlines()


def test_what_cannot_be_read_is_absent(tmp_path, exposed):
    """Odd sizes, short lines, words for numbers, tables without a head: none of them is 0."""
    paths = _sysfs(
        tmp_path,
        btree_cache_size="much\n",
        compression_stats="lz4 1 2\n",
        errors="lonely\nbad x\ngood 2\n",
        btree_write_stats="head\ninitial: x 1k\nshort: 1\n",
        counters__one="since mount: 1\n",
    )
    (tmp_path / "fs/bcachefs/u/counters/directory").mkdir()
    (tmp_path / "fs/bcachefs/u/dev-a").mkdir()
    (tmp_path / "fs/bcachefs/u/dev-a/io_done").write_text("sb: 1\nread:\nsb: x\nno colon\n")
    assert _samples(exposed(BcachefsCollector(paths))) == [
        'node_bcachefs_info{uuid="u"} 1',
        'node_bcachefs_errors_total{uuid="u",error_type="good"} 2',
        'node_bcachefs_btree_write_average_size_bytes{uuid="u",type="initial"} 1024',
        'node_bcachefs_device_info{uuid="u",device="a",label="",state=""} 1',
    ]


@pytest.mark.parametrize("made", [None, "", "file"])
def test_no_file_system_no_data(tmp_path, made):
    """Without the module there is no such directory, and without a mount nothing in it."""
    if made is not None:
        (tmp_path / "fs/bcachefs").mkdir(parents=True)
    if made:
        (tmp_path / "fs/bcachefs" / made).write_text("")
    with pytest.raises(NoData, match="no bcachefs is mounted"):
        list(BcachefsCollector(Paths(sysfs=str(tmp_path))).collect())
