"""The conntrack collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.conntrack import ConntrackCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def proc(tmp_path):
    """Return an empty /proc with the folders that the collector reads."""
    (tmp_path / "self/net/stat").mkdir(parents=True)
    (tmp_path / "sys/net/netfilter").mkdir(parents=True)
    return tmp_path


def test_reports_the_recorded_host(recorded, exposed):
    """An idle table has zeros, which are truths."""
    assert exposed(ConntrackCollector(recorded)) == [
        "# TYPE node_nf_conntrack_entries gauge",
        "node_nf_conntrack_entries 0",
        "# TYPE node_nf_conntrack_entries_limit gauge",
        "node_nf_conntrack_entries_limit 262144",
        "# TYPE node_nf_conntrack_stat_found gauge",
        "node_nf_conntrack_stat_found 0",
        "# TYPE node_nf_conntrack_stat_invalid gauge",
        "node_nf_conntrack_stat_invalid 0",
        "# TYPE node_nf_conntrack_stat_ignore gauge",
        "node_nf_conntrack_stat_ignore 0",
        "# TYPE node_nf_conntrack_stat_insert gauge",
        "node_nf_conntrack_stat_insert 0",
        "# TYPE node_nf_conntrack_stat_insert_failed gauge",
        "node_nf_conntrack_stat_insert_failed 0",
        "# TYPE node_nf_conntrack_stat_drop gauge",
        "node_nf_conntrack_stat_drop 0",
        "# TYPE node_nf_conntrack_stat_early_drop gauge",
        "node_nf_conntrack_stat_early_drop 0",
        "# TYPE node_nf_conntrack_stat_search_restart gauge",
        "node_nf_conntrack_stat_search_restart 0",
    ]


def test_adds_up_the_cpus_but_not_the_entries(metal, exposed):
    """Every CPU's line repeats the entries of the whole table; the rest are shares of it."""
    assert exposed(ConntrackCollector(metal)) == [
        "# TYPE node_nf_conntrack_entries gauge",
        "node_nf_conntrack_entries 300",
        "# TYPE node_nf_conntrack_entries_limit gauge",
        "node_nf_conntrack_entries_limit 524288",
        "# TYPE node_nf_conntrack_stat_found gauge",
        "node_nf_conntrack_stat_found 17",
        "# TYPE node_nf_conntrack_stat_invalid gauge",
        "node_nf_conntrack_stat_invalid 34",
        "# TYPE node_nf_conntrack_stat_ignore gauge",
        "node_nf_conntrack_stat_ignore 51",
        "# TYPE node_nf_conntrack_stat_insert gauge",
        "node_nf_conntrack_stat_insert 68",
        "# TYPE node_nf_conntrack_stat_insert_failed gauge",
        "node_nf_conntrack_stat_insert_failed 85",
        "# TYPE node_nf_conntrack_stat_drop gauge",
        "node_nf_conntrack_stat_drop 102",
        "# TYPE node_nf_conntrack_stat_early_drop gauge",
        "node_nf_conntrack_stat_early_drop 119",
        "# TYPE node_nf_conntrack_stat_search_restart gauge",
        "node_nf_conntrack_stat_search_restart 136",
    ]


def test_without_the_module_there_is_no_data(proc):
    """No connection tracking is not a table of no connections."""
    with pytest.raises(NoData, match="not loaded"):
        list(ConntrackCollector(Paths(procfs=str(proc))).collect())


def test_a_missing_limit_and_missing_columns_are_left_out(proc, exposed):
    """What this kernel does not count is absent, not 0."""
    (proc / "self/net/stat/nf_conntrack").write_text(
        "entries  searched found new invalid\n00000003  00000001 00000002 00000000 0000000a\n"
    )
    assert exposed(ConntrackCollector(Paths(procfs=str(proc)))) == [
        "# TYPE node_nf_conntrack_entries gauge",
        "node_nf_conntrack_entries 3",
        "# TYPE node_nf_conntrack_stat_found gauge",
        "node_nf_conntrack_stat_found 2",
        "# TYPE node_nf_conntrack_stat_invalid gauge",
        "node_nf_conntrack_stat_invalid 10",
    ]


def test_an_empty_file_is_a_failure(proc):
    """The message names the file."""
    (proc / "self/net/stat/nf_conntrack").touch()
    with pytest.raises(ValueError, match="nf_conntrack: no heading"):
        list(ConntrackCollector(Paths(procfs=str(proc))).collect())
