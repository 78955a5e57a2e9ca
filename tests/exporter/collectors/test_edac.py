"""The edac collector."""

from gnomon_exporter.collectors.edac import EdacCollector
from gnomon_exporter.paths import Paths


def test_reports_a_physical_machine(metal, exposed):
    """Controllers, rows and channels count apart; a channel names its memory module."""
    assert exposed(EdacCollector(metal)) == [
        "# TYPE node_edac_correctable_errors_total counter",
        'node_edac_correctable_errors_total{controller="0"} 5',
        'node_edac_correctable_errors_total{controller="1"} 0',
        "# TYPE node_edac_uncorrectable_errors_total counter",
        'node_edac_uncorrectable_errors_total{controller="0"} 2',
        'node_edac_uncorrectable_errors_total{controller="1"} 0',
        "# TYPE node_edac_csrow_correctable_errors_total counter",
        'node_edac_csrow_correctable_errors_total{controller="0",csrow="unknown"} 1',
        'node_edac_csrow_correctable_errors_total{controller="0",csrow="0"} 4',
        'node_edac_csrow_correctable_errors_total{controller="1",csrow="unknown"} 0',
        "# TYPE node_edac_csrow_uncorrectable_errors_total counter",
        'node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="unknown"} 0',
        'node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="0"} 2',
        'node_edac_csrow_uncorrectable_errors_total{controller="1",csrow="unknown"} 0',
        "# TYPE node_edac_channel_correctable_errors_total counter",
        (
            'node_edac_channel_correctable_errors_total{controller="0",csrow="0",channel="0",'
            'dimm_label="CPU_SrcID0_MC0_Chan0_DIMM0"} 3'
        ),
        (
            'node_edac_channel_correctable_errors_total{controller="0",csrow="0",channel="1",'
            'dimm_label="mc0_csrow0_channel1"} 1'
        ),
    ]


def test_a_machine_without_ecc_has_no_series(recorded, exposed):
    """No controller, no series: that is no failure."""
    assert exposed(EdacCollector(recorded)) == []


def test_what_cannot_be_read_is_absent(tmp_path, exposed):
    """A missing or odd count is no 0, a module without label is unknown, folders may be odd."""
    controllers = tmp_path / "devices" / "system" / "edac" / "mc"
    for name in ("mc0/csrow1", "mc0/csrowx", "mc0/rank0", "mcx", "power"):
        (controllers / name).mkdir(parents=True)
    (controllers / "mc0" / "ce_count").write_text("many\n")
    (controllers / "mc0" / "ue_count").write_text("7\n")
    (controllers / "mc0" / "csrow1" / "ch3_ce_count").write_text("2\n")
    (controllers / "mc0" / "csrow1" / "ch3_ue_count").write_text("1\n")
    (controllers / "mc0" / "csrow1" / "chx_ce_count").write_text("9\n")
    (controllers / "mc1").touch()
    assert exposed(EdacCollector(Paths(sysfs=str(tmp_path)))) == [
        "# TYPE node_edac_uncorrectable_errors_total counter",
        'node_edac_uncorrectable_errors_total{controller="0"} 7',
        "# TYPE node_edac_channel_correctable_errors_total counter",
        (
            'node_edac_channel_correctable_errors_total{controller="0",csrow="1",channel="3",'
            'dimm_label="unknown"} 2'
        ),
        "# TYPE node_edac_channel_uncorrectable_errors_total counter",
        (
            'node_edac_channel_uncorrectable_errors_total{controller="0",csrow="1",channel="3",'
            'dimm_label="unknown"} 1'
        ),
    ]
