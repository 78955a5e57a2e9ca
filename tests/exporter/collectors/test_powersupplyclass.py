"""The powersupplyclass collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.powersupplyclass import PowersupplyclassCollector
from gnomon_exporter.paths import Paths


def test_reports_a_physical_machine(metal, exposed):
    """Millionths and tenths become base units; each supply's texts are its own labels."""
    assert exposed(PowersupplyclassCollector(metal)) == [
        "# TYPE node_power_supply_capacity gauge",
        'node_power_supply_capacity{power_supply="BAT0"} 81.0',
        "# TYPE node_power_supply_cyclecount gauge",
        'node_power_supply_cyclecount{power_supply="BAT0"} 120.0',
        "# TYPE node_power_supply_online gauge",
        'node_power_supply_online{power_supply="AC"} 1.0',
        "# TYPE node_power_supply_present gauge",
        'node_power_supply_present{power_supply="BAT0"} 1.0',
        "# TYPE node_power_supply_time_to_empty_seconds gauge",
        'node_power_supply_time_to_empty_seconds{power_supply="BAT0"} 10500.0',
        "# TYPE node_power_supply_charge_full gauge",
        'node_power_supply_charge_full{power_supply="BAT0"} 4.5',
        "# TYPE node_power_supply_charge_full_design gauge",
        'node_power_supply_charge_full_design{power_supply="BAT0"} 5.0',
        "# TYPE node_power_supply_charge_ampere gauge",
        'node_power_supply_charge_ampere{power_supply="BAT0"} 3.645',
        "# TYPE node_power_supply_current_ampere gauge",
        'node_power_supply_current_ampere{power_supply="BAT0"} 1.25',
        "# TYPE node_power_supply_energy_full gauge",
        'node_power_supply_energy_full{power_supply="BAT0"} 50.06',
        "# TYPE node_power_supply_energy_watthour gauge",
        'node_power_supply_energy_watthour{power_supply="BAT0"} 40.5',
        "# TYPE node_power_supply_power_watt gauge",
        'node_power_supply_power_watt{power_supply="BAT0"} 14.25',
        "# TYPE node_power_supply_voltage_min_design gauge",
        'node_power_supply_voltage_min_design{power_supply="BAT0"} 11.4',
        "# TYPE node_power_supply_voltage_volt gauge",
        'node_power_supply_voltage_volt{power_supply="BAT0"} 11.85',
        "# TYPE node_power_supply_temp_celsius gauge",
        'node_power_supply_temp_celsius{power_supply="BAT0"} 30.5',
        "# TYPE node_power_supply_info gauge",
        'node_power_supply_info{power_supply="AC",type="Mains"} 1',
        (
            'node_power_supply_info{power_supply="BAT0",capacity_level="Normal",'
            'manufacturer="Acme",model_name="Cell 5",serial_number="1",status="Discharging",'
            'technology="Li-ion",type="Battery"} 1'
        ),
    ]


def test_supplies_can_be_left_out(metal, exposed):
    """The setting's expression is found anywhere in the name."""
    page = exposed(PowersupplyclassCollector(metal, ignored_supplies="^BAT"))
    assert page == [
        "# TYPE node_power_supply_online gauge",
        'node_power_supply_online{power_supply="AC"} 1.0',
        "# TYPE node_power_supply_info gauge",
        'node_power_supply_info{power_supply="AC",type="Mains"} 1',
    ]


def test_a_bad_expression_is_refused():
    """The message names the setting."""
    with pytest.raises(ValueError, match=r"^ignored_supplies: "):
        PowersupplyclassCollector(Paths(), ignored_supplies="(")


def test_attributes_that_cannot_be_read_are_absent(tmp_path, exposed):
    """A battery that is being taken out has no numbers, and harms no other supply."""
    supplies = tmp_path / "class" / "power_supply"
    (supplies / "BAT0" / "capacity").mkdir(parents=True)  # as good as a read that fails
    for name, text in {"current_now": "", "voltage_now": "-", "temp": "-15\n", "odd": "1"}.items():
        (supplies / "BAT0" / name).write_text(text)
    (supplies / 'U"PS').mkdir()
    (supplies / 'U"PS' / "model_name").write_bytes(b"a\nb\xff\n")
    (supplies / 'U"PS' / "health").write_text("\n")
    assert exposed(PowersupplyclassCollector(Paths(sysfs=str(tmp_path)))) == [
        "# TYPE node_power_supply_temp_celsius gauge",
        'node_power_supply_temp_celsius{power_supply="BAT0"} -1.5',
        "# TYPE node_power_supply_info gauge",
        'node_power_supply_info{power_supply="BAT0"} 1',
        'node_power_supply_info{power_supply="U\\"PS",model_name="a\\nb\ufffd"} 1',
    ]


def test_a_machine_without_supplies_has_no_series(tmp_path, exposed):
    """An empty class is no failure and gives nothing."""
    (tmp_path / "class" / "power_supply").mkdir(parents=True)
    assert exposed(PowersupplyclassCollector(Paths(sysfs=str(tmp_path)))) == []


def test_a_kernel_without_the_class_has_no_data(recorded):
    """The reason names the folder."""
    with pytest.raises(NoData, match="class/power_supply"):
        list(PowersupplyclassCollector(recorded).collect())
