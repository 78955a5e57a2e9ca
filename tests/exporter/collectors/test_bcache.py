"""The bcache collector."""

import pytest

from gnomon_exporter.collectors.bcache import BcacheCollector
from gnomon_exporter.paths import Paths

UUID = "00000000-0000-4000-8000-00000000bcac"


def _sysfs(root, **files):
    """Write a set's files, "__" for a slash in their names, and return the paths to it."""
    (root / "fs/bcache" / UUID).mkdir(parents=True)
    for name, text in files.items():
        path = root / "fs/bcache" / UUID / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Paths(sysfs=str(root))


def test_reports_the_set_its_backing_devices_and_its_caches(metal, exposed):
    """Units that the kernel prints for people are numbers again."""
    one, bdev, cache = (
        f'{{uuid="{UUID}"{label}}}'
        for label in ("", ',backing_device="bdev0"', ',cache_device="cache0"')
    )
    values = [
        ("average_key_size_sectors", one, "12.0"),
        ("btree_cache_size_bytes", one, str(int(1.48828125 * 1024**2))),
        ("cache_available_percent", one, "97.0"),
        ("congested", one, "0.0"),
        ("root_usage_percent", one, "6.0"),
        ("tree_depth", one, "1.0"),
        ("active_journal_entries", one, "3.0"),
        ("btree_nodes", one, "40.0"),
        ("cache_read_races_total", one, "2.0"),
        ("btree_read_average_duration_seconds", one, "0.0015"),
        ("dirty_data_bytes", bdev, "536870912"),
        ("bypassed_bytes_total", bdev, str(int(2.48828125 * 1024**3))),
        ("cache_hits_total", bdev, "700.0"),
        ("cache_misses_total", bdev, "30.0"),
        ("cache_bypass_hits_total", bdev, "5.0"),
        ("cache_bypass_misses_total", bdev, "6.0"),
        ("cache_miss_collisions_total", bdev, "1.0"),
        ("writeback_rate", bdev, "4194304"),
        ("dirty_target_bytes", bdev, "1073741824"),
        ("writeback_rate_proportional_term", bdev, "-12788"),
        ("writeback_rate_integral_term", bdev, "300"),
        ("writeback_change", bdev, "-1024"),
        ("io_errors", cache, "0.0"),
        ("metadata_written_bytes_total", cache, "25165824"),
        ("written_bytes_total", cache, str(int(1.1953125 * 1024**3))),
    ]
    expected = []
    for name, labels, value in values:
        kind = "counter" if name.endswith("_total") else "gauge"
        expected += [f"# TYPE node_bcache_{name} {kind}", f"node_bcache_{name}{labels} {value}"]
    assert exposed(BcacheCollector(metal)) == expected


def test_priority_stats_are_read_on_request(metal, exposed):
    """They are expensive, so they are off by default."""
    labels = f'{{uuid="{UUID}",cache_device="cache0"}}'
    assert exposed(BcacheCollector(metal, priority_stats=True))[-4:] == [
        "# TYPE node_bcache_priority_stats_unused_percent gauge",
        f"node_bcache_priority_stats_unused_percent{labels} 88.0",
        "# TYPE node_bcache_priority_stats_metadata_percent gauge",
        f"node_bcache_priority_stats_metadata_percent{labels} 1.0",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("97\n", "97.0"),
        ("0.5k\n", "500"),
        ("1.10k\n", "2024"),
        ("3Y\n", str(3 * 1024**8)),
        ("-2.0M\n", "-2097152"),
        ("", None),
        ("k\n", None),
        ("1.xk\n", None),
        ("3Q\n", None),
    ],
)
def test_numbers_as_the_kernel_prints_them(tmp_path, exposed, text, value):
    """What is none is absent, not 0."""
    lines = exposed(BcacheCollector(_sysfs(tmp_path, bdev3__dirty_data=text)))
    assert [line.split()[-1] for line in lines if not line.startswith("#")] == (
        [value] if value else []
    )


@pytest.mark.parametrize(("readaheads", "shown"), [("0\n", False), ("4\n", True)])
def test_readaheads_appear_once_there_was_one(tmp_path, exposed, readaheads, shown):
    """Current kernels have none, so node_exporter leaves a 0 out."""
    paths = _sysfs(tmp_path, bdev0__stats_total__cache_readaheads=readaheads)
    assert bool(exposed(BcacheCollector(paths))) is shown


def test_odd_files_do_not_take_the_rest_along(tmp_path, exposed):
    """An empty table, lines without a number, a directory in the place of a file."""
    paths = _sysfs(
        tmp_path,
        bdev0__writeback_rate_debug="rate:\nnonsense\nchange: x/sec\ntarget: 1.0k\n",
        bdev0__dirty_data__not_a_file="1",
        bdevice__dirty_data="1",
        congested="3\n",
    )
    assert [line for line in exposed(BcacheCollector(paths)) if not line.startswith("#")] == [
        f'node_bcache_congested{{uuid="{UUID}"}} 3.0',
        f'node_bcache_dirty_target_bytes{{uuid="{UUID}",backing_device="bdev0"}} 1024',
    ]


@pytest.mark.parametrize("machine", ["without the module", "without a set"])
def test_nothing_without_bcache(tmp_path, exposed, machine):
    """The collector succeeds with nothing, as node_exporter's."""
    if machine == "without a set":
        (tmp_path / "fs/bcache").mkdir(parents=True)
        (tmp_path / "fs/bcache/register").write_text("")
    assert exposed(BcacheCollector(Paths(sysfs=str(tmp_path)))) == []
