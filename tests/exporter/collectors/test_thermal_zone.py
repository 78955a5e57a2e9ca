"""The thermal_zone collector."""

from gnomon_exporter.collectors.thermal_zone import ThermalZoneCollector
from gnomon_exporter.paths import Paths


def test_reports_a_physical_machine(metal, exposed):
    """Thousandths of a degree become degrees, below freezing too; -1 is a state."""
    assert exposed(ThermalZoneCollector(metal)) == [
        "# TYPE node_thermal_zone_temp gauge",
        'node_thermal_zone_temp{zone="0",type="acpitz"} 27.8',
        'node_thermal_zone_temp{zone="1",type="x86_pkg_temp"} -5.0',
        "# TYPE node_cooling_device_cur_state gauge",
        'node_cooling_device_cur_state{name="0",type="Processor"} 0.0',
        'node_cooling_device_cur_state{name="1",type="intel_powerclamp"} -1.0',
        "# TYPE node_cooling_device_max_state gauge",
        'node_cooling_device_max_state{name="0",type="Processor"} 10.0',
        'node_cooling_device_max_state{name="1",type="intel_powerclamp"} 100.0',
    ]


def test_a_machine_without_sensors_has_no_series(recorded, exposed):
    """A virtual machine has no thermal zones: that is no failure."""
    assert exposed(ThermalZoneCollector(recorded)) == []


def test_a_sensor_that_does_not_answer_is_absent(tmp_path, exposed):
    """A zone that is switched off has no temperature, never 0; the others have theirs."""
    thermal = tmp_path / "class" / "thermal"
    for name in ("thermal_zone0", "thermal_zone1", "thermal_zone_new", "cooling_device0"):
        (thermal / name).mkdir(parents=True)
    (thermal / "thermal_zone0" / "temp").mkdir()  # as good as a read that fails
    (thermal / "thermal_zone1" / "temp").write_text("41500\n")
    (thermal / "thermal_zone1" / "type").write_bytes(b'cpu\xff "big"\n')
    (thermal / "thermal_zone_new" / "temp").write_text("1\n")
    (thermal / "cooling_device0" / "type").write_text("Fan\n")
    (thermal / "cooling_device0" / "max_state").write_text("3\n")
    assert exposed(ThermalZoneCollector(Paths(sysfs=str(tmp_path)))) == [
        "# TYPE node_thermal_zone_temp gauge",
        'node_thermal_zone_temp{zone="1",type="cpu\ufffd \\"big\\""} 41.5',
        "# TYPE node_cooling_device_max_state gauge",
        'node_cooling_device_max_state{name="0",type="Fan"} 3.0',
    ]
