"""The fibrechannel collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.fibrechannel import FibrechannelCollector
from gnomon_exporter.paths import Paths

PAGE = """\
# TYPE node_fibrechannel_info gauge
node_fibrechannel_info{fc_host="host0",speed="16 Gbit",port_state="Online",\
port_type="NPort (fabric via point-to-point)",port_id="010000",port_name="1000000000000001",\
fabric_name="0",symbolic_name="Example HBA FV1.2",\
supported_classes="Class 3",supported_speeds="4 Gbit, 8 Gbit, 16 Gbit",\
dev_loss_tmo="30"} 1
# TYPE node_fibrechannel_dumped_frames_total counter
node_fibrechannel_dumped_frames_total{fc_host="host0"} 100
# TYPE node_fibrechannel_error_frames_total counter
node_fibrechannel_error_frames_total{fc_host="host0"} 400
# TYPE node_fibrechannel_invalid_crc_total counter
node_fibrechannel_invalid_crc_total{fc_host="host0"} 900
# TYPE node_fibrechannel_rx_frames_total counter
node_fibrechannel_rx_frames_total{fc_host="host0"} 1600
# TYPE node_fibrechannel_rx_words_total counter
node_fibrechannel_rx_words_total{fc_host="host0"} 2500
# TYPE node_fibrechannel_tx_frames_total counter
node_fibrechannel_tx_frames_total{fc_host="host0"} 3600
# TYPE node_fibrechannel_tx_words_total counter
node_fibrechannel_tx_words_total{fc_host="host0"} 4900
# TYPE node_fibrechannel_seconds_since_last_reset_total counter
node_fibrechannel_seconds_since_last_reset_total{fc_host="host0"} 6400
# TYPE node_fibrechannel_invalid_tx_words_total counter
node_fibrechannel_invalid_tx_words_total{fc_host="host0"} 8100
# TYPE node_fibrechannel_link_failure_total counter
node_fibrechannel_link_failure_total{fc_host="host0"} 10000
# TYPE node_fibrechannel_loss_of_sync_total counter
node_fibrechannel_loss_of_sync_total{fc_host="host0"} 12100
# TYPE node_fibrechannel_loss_of_signal_total counter
node_fibrechannel_loss_of_signal_total{fc_host="host0"} 14400
# TYPE node_fibrechannel_fcp_packet_aborts_total counter
node_fibrechannel_fcp_packet_aborts_total{fc_host="host0"} 19600
"""


def test_reports_the_port(metal, exposed):
    """Its numbers come hexadecimal; one that the adapter does not have is all ones, and absent."""
    assert exposed(FibrechannelCollector(metal)) == [line for line in PAGE.splitlines() if line]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x10", "16"),
        ("16", "16"),
        ("0x0", "0"),
        ("0xffffffffffffffff", None),
        ("x", None),
        ("", None),
    ],
)
def test_counters(tmp_path, exposed, text, value):
    """What is no number is absent, not 0."""
    statistics = tmp_path / "class/fc_host/host7/statistics"
    statistics.mkdir(parents=True)
    (statistics / "rx_frames").write_text(f"{text}\n")
    lines = exposed(FibrechannelCollector(Paths(sysfs=str(tmp_path))))
    assert [line.split()[-1] for line in lines if "rx_frames_total{" in line] == (
        [value] if value else []
    )


def test_a_port_that_says_nothing(tmp_path, exposed):
    """A disabled one has no statistics; drivers may leave out any attribute."""
    (tmp_path / "class/fc_host/host0").mkdir(parents=True)
    (tmp_path / "class/fc_host/host0/port_state").write_text("Unknown\n")
    (tmp_path / "class/fc_host/host0/port_id").write_text("0x\n")
    (tmp_path / "class/fc_host/host0/symbolic_name").write_text('a "b"\n')
    assert exposed(FibrechannelCollector(Paths(sysfs=str(tmp_path)))) == [
        "# TYPE node_fibrechannel_info gauge",
        (
            'node_fibrechannel_info{fc_host="host0",speed="",port_state="Unknown",port_type="",'
            'port_id="0x",port_name="",fabric_name="",symbolic_name="a \\"b\\"",'
            'supported_classes="",supported_speeds="",dev_loss_tmo=""} 1'
        ),
    ]


def test_no_ports_no_data(tmp_path):
    """A machine without an adapter has no such directory."""
    with pytest.raises(NoData, match="no Fibre Channel port"):
        list(FibrechannelCollector(Paths(sysfs=str(tmp_path))).collect())
