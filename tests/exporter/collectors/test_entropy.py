"""The entropy collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.entropy import EntropyCollector
from gnomon_exporter.paths import Paths


def test_reports_a_recorded_machine(recorded, exposed):
    """Both numbers are bits."""
    assert exposed(EntropyCollector(recorded)) == [
        "# TYPE node_entropy_available_bits gauge",
        "node_entropy_available_bits 256",
        "# TYPE node_entropy_pool_size_bits gauge",
        "node_entropy_pool_size_bits 256",
    ]


def test_a_sandbox_without_the_files_has_no_data(tmp_path):
    """The reason names the file that is missing."""
    with pytest.raises(NoData, match="entropy_avail"):
        list(EntropyCollector(Paths(procfs=str(tmp_path))).collect())


def test_a_file_without_a_number_is_a_failure(tmp_path):
    """An empty file is not 0 bits."""
    folder = tmp_path / "sys" / "kernel" / "random"
    folder.mkdir(parents=True)
    (folder / "entropy_avail").touch()
    with pytest.raises(ValueError, match="invalid literal"):
        list(EntropyCollector(Paths(procfs=str(tmp_path))).collect())
