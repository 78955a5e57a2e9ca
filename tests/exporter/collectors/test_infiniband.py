"""The infiniband collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.infiniband import InfinibandCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def adapters(tmp_path):
    """Return an empty /sys/class/infiniband."""
    folder = tmp_path / "class/infiniband"
    folder.mkdir(parents=True)
    return folder


def collector(adapters, **settings):
    """Return a collector of ``adapters``."""
    return InfinibandCollector(Paths(sysfs=str(adapters.parent.parent)), **settings)


def test_reports_each_counter_under_its_own_name(metal, exposed):
    """Data is in bytes; the second port is down and lacks what its driver has not got."""
    assert exposed(InfinibandCollector(metal)) == [
        "# TYPE node_infiniband_info gauge",
        (
            'node_infiniband_info{device="mlx5_0",board_id="MT_0000000223",'
            'firmware_version="20.31.1014",hca_type="MT4123"} 1'
        ),
        "# TYPE node_infiniband_state_id gauge",
        'node_infiniband_state_id{device="mlx5_0",port="1"} 4',
        'node_infiniband_state_id{device="mlx5_0",port="2"} 1',
        "# TYPE node_infiniband_physical_state_id gauge",
        'node_infiniband_physical_state_id{device="mlx5_0",port="1"} 5',
        'node_infiniband_physical_state_id{device="mlx5_0",port="2"} 3',
        "# TYPE node_infiniband_rate_bytes_per_second gauge",
        'node_infiniband_rate_bytes_per_second{device="mlx5_0",port="1"} 25000000000',
        'node_infiniband_rate_bytes_per_second{device="mlx5_0",port="2"} 312500000',
        "# TYPE node_infiniband_lifespan_seconds gauge",
        'node_infiniband_lifespan_seconds{device="mlx5_0",port="1"} 0.01',
        "# TYPE node_infiniband_excessive_buffer_overrun_errors_total counter",
        'node_infiniband_excessive_buffer_overrun_errors_total{device="mlx5_0",port="1"} 1001',
        "# TYPE node_infiniband_link_downed_total counter",
        'node_infiniband_link_downed_total{device="mlx5_0",port="1"} 1002',
        "# TYPE node_infiniband_link_error_recovery_total counter",
        'node_infiniband_link_error_recovery_total{device="mlx5_0",port="1"} 1003',
        "# TYPE node_infiniband_local_link_integrity_errors_total counter",
        'node_infiniband_local_link_integrity_errors_total{device="mlx5_0",port="1"} 1004',
        "# TYPE node_infiniband_multicast_packets_received_total counter",
        'node_infiniband_multicast_packets_received_total{device="mlx5_0",port="1"} 1005',
        "# TYPE node_infiniband_multicast_packets_transmitted_total counter",
        'node_infiniband_multicast_packets_transmitted_total{device="mlx5_0",port="1"} 1006',
        "# TYPE node_infiniband_port_constraint_errors_received_total counter",
        'node_infiniband_port_constraint_errors_received_total{device="mlx5_0",port="1"} 1007',
        "# TYPE node_infiniband_port_data_received_bytes_total counter",
        'node_infiniband_port_data_received_bytes_total{device="mlx5_0",port="1"} 4032',
        "# TYPE node_infiniband_port_errors_received_total counter",
        'node_infiniband_port_errors_received_total{device="mlx5_0",port="1"} 1009',
        "# TYPE node_infiniband_port_packets_received_total counter",
        'node_infiniband_port_packets_received_total{device="mlx5_0",port="1"} 1010',
        "# TYPE node_infiniband_port_receive_remote_physical_errors_total counter",
        'node_infiniband_port_receive_remote_physical_errors_total{device="mlx5_0",port="1"} 1011',
        "# TYPE node_infiniband_port_receive_switch_relay_errors_total counter",
        'node_infiniband_port_receive_switch_relay_errors_total{device="mlx5_0",port="1"} 1012',
        "# TYPE node_infiniband_port_constraint_errors_transmitted_total counter",
        'node_infiniband_port_constraint_errors_transmitted_total{device="mlx5_0",port="1"} 1013',
        "# TYPE node_infiniband_port_data_transmitted_bytes_total counter",
        'node_infiniband_port_data_transmitted_bytes_total{device="mlx5_0",port="1"} 4056',
        "# TYPE node_infiniband_port_discards_transmitted_total counter",
        'node_infiniband_port_discards_transmitted_total{device="mlx5_0",port="1"} 1015',
        "# TYPE node_infiniband_port_packets_transmitted_total counter",
        'node_infiniband_port_packets_transmitted_total{device="mlx5_0",port="1"} 1016',
        "# TYPE node_infiniband_port_transmit_wait_total counter",
        'node_infiniband_port_transmit_wait_total{device="mlx5_0",port="1"} 1017',
        "# TYPE node_infiniband_symbol_error_total counter",
        'node_infiniband_symbol_error_total{device="mlx5_0",port="1"} 1018',
        'node_infiniband_symbol_error_total{device="mlx5_0",port="2"} 3',
        "# TYPE node_infiniband_unicast_packets_received_total counter",
        'node_infiniband_unicast_packets_received_total{device="mlx5_0",port="1"} 1019',
        "# TYPE node_infiniband_unicast_packets_transmitted_total counter",
        'node_infiniband_unicast_packets_transmitted_total{device="mlx5_0",port="1"} 1020',
        "# TYPE node_infiniband_vl15_dropped_total counter",
        'node_infiniband_vl15_dropped_total{device="mlx5_0",port="1"} 1000',
        "# TYPE node_infiniband_duplicate_requests_packets_total counter",
        'node_infiniband_duplicate_requests_packets_total{device="mlx5_0",port="1"} 2000',
        "# TYPE node_infiniband_implied_nak_seq_errors_total counter",
        'node_infiniband_implied_nak_seq_errors_total{device="mlx5_0",port="1"} 2001',
        "# TYPE node_infiniband_local_ack_timeout_errors_total counter",
        'node_infiniband_local_ack_timeout_errors_total{device="mlx5_0",port="1"} 2002',
        "# TYPE node_infiniband_np_cnp_packets_sent_total counter",
        'node_infiniband_np_cnp_packets_sent_total{device="mlx5_0",port="1"} 2003',
        "# TYPE node_infiniband_np_ecn_marked_roce_packets_received_total counter",
        'node_infiniband_np_ecn_marked_roce_packets_received_total{device="mlx5_0",port="1"} 2004',
        "# TYPE node_infiniband_out_of_buffer_drops_total counter",
        'node_infiniband_out_of_buffer_drops_total{device="mlx5_0",port="1"} 2005',
        "# TYPE node_infiniband_out_of_sequence_packets_received_total counter",
        'node_infiniband_out_of_sequence_packets_received_total{device="mlx5_0",port="1"} 2006',
        "# TYPE node_infiniband_packet_sequence_errors_total counter",
        'node_infiniband_packet_sequence_errors_total{device="mlx5_0",port="1"} 2007',
        "# TYPE node_infiniband_req_cqes_errors_total counter",
        'node_infiniband_req_cqes_errors_total{device="mlx5_0",port="1"} 2008',
        "# TYPE node_infiniband_req_cqes_flush_errors_total counter",
        'node_infiniband_req_cqes_flush_errors_total{device="mlx5_0",port="1"} 2009',
        "# TYPE node_infiniband_req_remote_access_errors_total counter",
        'node_infiniband_req_remote_access_errors_total{device="mlx5_0",port="1"} 2010',
        "# TYPE node_infiniband_req_remote_invalid_request_errors_total counter",
        'node_infiniband_req_remote_invalid_request_errors_total{device="mlx5_0",port="1"} 2011',
        "# TYPE node_infiniband_resp_cqes_errors_total counter",
        'node_infiniband_resp_cqes_errors_total{device="mlx5_0",port="1"} 2012',
        "# TYPE node_infiniband_resp_cqes_flush_errors_total counter",
        'node_infiniband_resp_cqes_flush_errors_total{device="mlx5_0",port="1"} 2013',
        "# TYPE node_infiniband_resp_local_length_errors_total counter",
        'node_infiniband_resp_local_length_errors_total{device="mlx5_0",port="1"} 2014',
        "# TYPE node_infiniband_resp_remote_access_errors_total counter",
        'node_infiniband_resp_remote_access_errors_total{device="mlx5_0",port="1"} 2015',
        "# TYPE node_infiniband_rnr_nak_retry_packets_received_total counter",
        'node_infiniband_rnr_nak_retry_packets_received_total{device="mlx5_0",port="1"} 2016',
        "# TYPE node_infiniband_roce_adp_retransmits_total counter",
        'node_infiniband_roce_adp_retransmits_total{device="mlx5_0",port="1"} 2017',
        "# TYPE node_infiniband_roce_adp_retransmits_timeout_total counter",
        'node_infiniband_roce_adp_retransmits_timeout_total{device="mlx5_0",port="1"} 2018',
        "# TYPE node_infiniband_roce_slow_restart_used_total counter",
        'node_infiniband_roce_slow_restart_used_total{device="mlx5_0",port="1"} 2019',
        "# TYPE node_infiniband_roce_slow_restart_cnps_total counter",
        'node_infiniband_roce_slow_restart_cnps_total{device="mlx5_0",port="1"} 2020',
        "# TYPE node_infiniband_roce_slow_restart_total counter",
        'node_infiniband_roce_slow_restart_total{device="mlx5_0",port="1"} 2021',
        "# TYPE node_infiniband_rp_cnp_packets_handled_total counter",
        'node_infiniband_rp_cnp_packets_handled_total{device="mlx5_0",port="1"} 2022',
        "# TYPE node_infiniband_rp_cnp_ignored_packets_received_total counter",
        'node_infiniband_rp_cnp_ignored_packets_received_total{device="mlx5_0",port="1"} 2023',
        "# TYPE node_infiniband_rx_atomic_requests_total counter",
        'node_infiniband_rx_atomic_requests_total{device="mlx5_0",port="1"} 2024',
        "# TYPE node_infiniband_rx_dct_connect_requests_total counter",
        'node_infiniband_rx_dct_connect_requests_total{device="mlx5_0",port="1"} 2025',
        "# TYPE node_infiniband_rx_icrc_encapsulated_errors_total counter",
        'node_infiniband_rx_icrc_encapsulated_errors_total{device="mlx5_0",port="1"} 2026',
        "# TYPE node_infiniband_rx_read_requests_total counter",
        'node_infiniband_rx_read_requests_total{device="mlx5_0",port="1"} 2027',
        "# TYPE node_infiniband_rx_write_requests_total counter",
        'node_infiniband_rx_write_requests_total{device="mlx5_0",port="1"} 2028',
    ]


def test_leaves_out_the_excluded_adapters(metal, exposed):
    """No other adapter, no series."""
    assert exposed(InfinibandCollector(metal, device_exclude="mlx5")) == []


def test_odd_attributes_harm_no_other(adapters, exposed):
    """Neither an empty state, nor a rate without a number, nor a counter that cannot be read."""
    port = adapters / "rxe0/ports/1"
    (port / "counters/symbol_error").mkdir(parents=True)
    (adapters / "rxe0/fw_ver").write_text('1"2\n')
    (port / "state").write_text("\n")
    (port / "phys_state").write_text("LinkUp: 5\n")
    (port / "rate").write_text("unknown\n")
    (port / "counters/link_downed").write_text("4\n")
    assert exposed(collector(adapters)) == [
        "# TYPE node_infiniband_info gauge",
        r'node_infiniband_info{device="rxe0",board_id="",firmware_version="1\"2",hca_type=""} 1',
        "# TYPE node_infiniband_link_downed_total counter",
        'node_infiniband_link_downed_total{device="rxe0",port="1"} 4',
    ]


def test_an_adapter_without_ports_is_still_named(adapters, exposed):
    """One that is being set up has none yet."""
    (adapters / "rxe0").mkdir()
    assert exposed(collector(adapters)) == [
        "# TYPE node_infiniband_info gauge",
        'node_infiniband_info{device="rxe0",board_id="",firmware_version="",hca_type=""} 1',
    ]


def test_without_adapters_there_is_no_data(tmp_path):
    """Most hosts have none."""
    with pytest.raises(NoData, match="no InfiniBand"):
        list(InfinibandCollector(Paths(sysfs=str(tmp_path))).collect())


def test_two_filters_at_once_are_refused(adapters):
    """The message names both settings."""
    with pytest.raises(ValueError, match="device_include and device_exclude"):
        collector(adapters, device_include="a", device_exclude="b")
