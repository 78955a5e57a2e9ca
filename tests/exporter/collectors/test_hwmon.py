"""The hwmon collector."""

import os

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.hwmon import HwmonCollector
from gnomon_exporter.paths import Paths

# What node_exporter 1.11 shows for the same files, in the order of ours.
PAGE = """\
# TYPE node_hwmon_chip_names gauge
node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"} 1
node_hwmon_chip_names{chip="platform_nct6775_656",chip_name="nct6798"} 1
node_hwmon_chip_names{chip="pci0000:00_0000:03:00_0",chip_name="amdgpu"} 1
# TYPE node_hwmon_sensor_label gauge
node_hwmon_sensor_label{chip="platform_coretemp_0",sensor="temp1",label="Package id 0"} 1
node_hwmon_sensor_label{chip="platform_coretemp_0",sensor="temp2",label="Core 0"} 1
node_hwmon_sensor_label{chip="pci0000:00_0000:03:00_0",sensor="freq1",label="sclk"} 1
node_hwmon_sensor_label{chip="pci0000:00_0000:03:00_0",sensor="freq2",label="mclk "} 1
node_hwmon_sensor_label{chip="pci0000:00_0000:03:00_0",sensor="in0",label="vddgfx"} 1
# TYPE node_hwmon_temp_crit_celsius gauge
node_hwmon_temp_crit_celsius{chip="platform_coretemp_0",sensor="temp1"} 100.0
# TYPE node_hwmon_temp_crit_alarm_celsius gauge
node_hwmon_temp_crit_alarm_celsius{chip="platform_coretemp_0",sensor="temp1"} 0.0
# TYPE node_hwmon_temp_celsius gauge
node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"} 45.0
node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp2"} 43.5
node_hwmon_temp_celsius{chip="platform_nct6775_656",sensor="temp1"} 31.0
# TYPE node_hwmon_temp_max_celsius gauge
node_hwmon_temp_max_celsius{chip="platform_coretemp_0",sensor="temp1"} 80.0
# TYPE node_hwmon_beep_enabled gauge
node_hwmon_beep_enabled{chip="platform_nct6775_656",sensor="beep_enable0"} 1.0
# TYPE node_hwmon_cpu_vid_volts gauge
node_hwmon_cpu_vid_volts{chip="platform_nct6775_656",sensor="cpu0"} 1.35
# TYPE node_hwmon_fan_alarm gauge
node_hwmon_fan_alarm{chip="platform_nct6775_656",sensor="fan1"} 0.0
# TYPE node_hwmon_fan_fault gauge
node_hwmon_fan_fault{chip="platform_nct6775_656",sensor="fan1"} 0.0
# TYPE node_hwmon_fan_rpm gauge
node_hwmon_fan_rpm{chip="platform_nct6775_656",sensor="fan1"} 1205.0
# TYPE node_hwmon_fan_min_rpm gauge
node_hwmon_fan_min_rpm{chip="platform_nct6775_656",sensor="fan1"} 600.0
# TYPE node_hwmon_fan_pulses gauge
node_hwmon_fan_pulses{chip="platform_nct6775_656",sensor="fan1"} 2.0
# TYPE node_hwmon_fan_target_rpm gauge
node_hwmon_fan_target_rpm{chip="platform_nct6775_656",sensor="fan1"} 1200.0
# TYPE node_hwmon_in_alarm gauge
node_hwmon_in_alarm{chip="platform_nct6775_656",sensor="in0"} 0.0
# TYPE node_hwmon_in_beep_enabled gauge
node_hwmon_in_beep_enabled{chip="platform_nct6775_656",sensor="in0"} 1.0
# TYPE node_hwmon_in_volts gauge
node_hwmon_in_volts{chip="platform_nct6775_656",sensor="in0"} 1.032
node_hwmon_in_volts{chip="pci0000:00_0000:03:00_0",sensor="in0"} 0.856
# TYPE node_hwmon_in_max_volts gauge
node_hwmon_in_max_volts{chip="platform_nct6775_656",sensor="in0"} 1.744
# TYPE node_hwmon_in_min_volts gauge
node_hwmon_in_min_volts{chip="platform_nct6775_656",sensor="in0"} 0.0
# TYPE node_hwmon_intrusion_alarm gauge
node_hwmon_intrusion_alarm{chip="platform_nct6775_656",sensor="intrusion0"} 1.0
# TYPE node_hwmon_intrusion_beep_enabled gauge
node_hwmon_intrusion_beep_enabled{chip="platform_nct6775_656",sensor="intrusion0"} 0.0
# TYPE node_hwmon_pwm gauge
node_hwmon_pwm{chip="platform_nct6775_656",sensor="pwm1"} 128.0
# TYPE node_hwmon_pwm_auto_point1_temp gauge
node_hwmon_pwm_auto_point1_temp{chip="platform_nct6775_656",sensor="pwm1"} 40000.0
# TYPE node_hwmon_pwm_enable gauge
node_hwmon_pwm_enable{chip="platform_nct6775_656",sensor="pwm1"} 5.0
# TYPE node_hwmon_temp_offset_celsius gauge
node_hwmon_temp_offset_celsius{chip="platform_nct6775_656",sensor="temp1"} -0.5
# TYPE node_hwmon_temp_type gauge
node_hwmon_temp_type{chip="platform_nct6775_656",sensor="temp1"} 3.0
# TYPE node_hwmon_update_interval_seconds gauge
node_hwmon_update_interval_seconds{chip="platform_nct6775_656",sensor="update_interval0"} 1.0
# TYPE node_hwmon_voltage_regulator_version gauge
node_hwmon_voltage_regulator_version{chip="platform_nct6775_656",sensor="vrm0"} 110.0
# TYPE node_hwmon_curr_amps gauge
node_hwmon_curr_amps{chip="pci0000:00_0000:03:00_0",sensor="curr1"} 1.25
# TYPE node_hwmon_energy_joule_total counter
node_hwmon_energy_joule_total{chip="pci0000:00_0000:03:00_0",sensor="energy1"} 123.456789
# TYPE node_hwmon_freq_freq_mhz gauge
node_hwmon_freq_freq_mhz{chip="pci0000:00_0000:03:00_0",sensor="sclk"} 1500.0
node_hwmon_freq_freq_mhz{chip="pci0000:00_0000:03:00_0",sensor="mclk"} 875.0
# TYPE node_hwmon_humidity gauge
node_hwmon_humidity{chip="pci0000:00_0000:03:00_0",sensor="humidity1"} 0.43
# TYPE node_hwmon_power_average_watt gauge
node_hwmon_power_average_watt{chip="pci0000:00_0000:03:00_0",sensor="power1"} 95.0
# TYPE node_hwmon_power_average_interval_seconds gauge
node_hwmon_power_average_interval_seconds{chip="pci0000:00_0000:03:00_0",sensor="power1"} 1.0
# TYPE node_hwmon_power_cap_watt gauge
node_hwmon_power_cap_watt{chip="pci0000:00_0000:03:00_0",sensor="power1"} 220.0
"""


@pytest.fixture
def chip(tmp_path):
    """Return a function that adds a chip, as the kernel lays it out, and gives the host's paths.

    device: the directory below /sys/devices that the chip belongs to, None for no device.
    """
    (tmp_path / "class/hwmon").mkdir(parents=True)

    def add(name, device, files):
        folder = tmp_path / "devices" / (device or "virtual") / "hwmon" / name
        folder.mkdir(parents=True)
        (tmp_path / "class/hwmon" / name).symlink_to(folder)
        if device is not None:
            (folder / "device").symlink_to(tmp_path / "devices" / device)
        for file, content in files.items():
            raw = content if isinstance(content, bytes) else f"{content}\n".encode()
            (folder / file).write_bytes(raw)
        return Paths(sysfs=str(tmp_path))

    return add


def _samples(lines):
    return [line for line in lines if not line.startswith("#")]


def test_reports_every_kind_of_sensor(metal, exposed):
    """A processor's, a board's and a GPU's, under node_exporter's names and in base units."""
    assert exposed(HwmonCollector(metal)) == PAGE.splitlines()


def test_chips_of_one_device_keep_their_series_apart(chip, exposed):
    """By their drivers, or by their numbers where those are the same."""
    chip("hwmon0", "platform/asus-nb-wmi", {"name": "asus", "fan1_input": 1000})
    chip("hwmon1", "platform/asus-nb-wmi", {"name": "asus_custom", "fan1_input": 2000})
    chip("hwmon2", "platform/two.0", {"name": "same", "fan1_input": 3000})
    paths = chip("hwmon3", "platform/two.0", {"name": "same", "fan1_input": 4000})
    chips = {
        line.split('"')[1]: line.split()[-1]
        for line in exposed(HwmonCollector(paths))
        if "rpm{" in line
    }
    assert chips == {
        "platform_asus_nb_wmi_asus": "1000.0",
        "platform_asus_nb_wmi_asus_custom": "2000.0",
        "platform_two_0_hwmon2": "3000.0",
        "platform_two_0_hwmon3": "4000.0",
    }


def test_a_chip_without_a_device_is_called_after_its_driver(chip, exposed):
    """And one without a name either after its number."""
    chip("hwmon6", None, {"name": "My Chip!", "pwm1": 1})
    paths = chip("hwmon7", None, {"pwm1": 2})
    assert _samples(exposed(HwmonCollector(paths))) == [
        'node_hwmon_chip_names{chip="my_chip",chip_name="my_chip"} 1',
        'node_hwmon_pwm{chip="my_chip",sensor="pwm1"} 1.0',
        'node_hwmon_pwm{chip="hwmon7",sensor="pwm1"} 2.0',
    ]


def test_attributes_beside_the_device(chip, exposed, tmp_path):
    """Old drivers put the sensors where the device is, and only the name beside the chip."""
    paths = chip("hwmon0", "platform/old.1", {"name": "old"})
    (tmp_path / "devices/platform/old.1/temp1_input").write_text("21500\n")
    assert 'node_hwmon_temp_celsius{chip="platform_old_1",sensor="temp1"} 21.5' in exposed(
        HwmonCollector(paths)
    )


def test_a_value_beside_an_input(chip, exposed):
    """Then the input has its own name."""
    paths = chip("hwmon0", None, {"name": "c", "temp1": 1000, "temp1_input": 2000})
    assert _samples(exposed(HwmonCollector(paths)))[1:] == [
        'node_hwmon_temp_celsius{chip="c",sensor="temp1"} 1.0',
        'node_hwmon_temp_input_celsius{chip="c",sensor="temp1"} 2.0',
    ]


def test_what_is_no_sensor_is_left_out(chip, exposed):
    """Other files, words for numbers, empty files, a clock without a label."""
    paths = chip(
        "hwmon0",
        None,
        {
            "name": "c",
            "uevent": "1",
            "temperature": "1",
            "in_temp_input": "1",
            "1temp_input": "1",
            "temp1_input": "hot",
            "temp2_input": b"",
            "power1_accuracy": "98.0%",
            "freq1_input": "1000000",
            "vrm": "none",
            "temp03_input": "3000",
        },
    )
    assert _samples(exposed(HwmonCollector(paths)))[1:] == [
        'node_hwmon_temp_celsius{chip="c",sensor="temp3"} 3.0'
    ]


def test_names_become_valid_and_labels_stay(chip, exposed):
    """Odd characters in a property; quotes and bytes that are no UTF-8 in a label."""
    paths = chip(
        "hwmon0",
        None,
        {"name": "c", "pwm1_a-b ü": 1, "temp1_label": b'a "b"\xff\n', "temp1_x": 2000},
    )
    assert _samples(exposed(HwmonCollector(paths)))[1:] == [
        'node_hwmon_pwm_a_b{chip="c",sensor="pwm1"} 1.0',
        'node_hwmon_sensor_label{chip="c",sensor="temp1",label="a \\"b\\"\ufffd"} 1',
        'node_hwmon_temp_x_celsius{chip="c",sensor="temp1"} 2.0',
    ]


def test_a_sensor_that_cannot_be_read_is_left_out(chip, exposed, monkeypatch):
    """Drivers answer EAGAIN, EIO or ENODATA for a sensor they know and cannot ask."""
    paths = chip("hwmon0", None, {"name": "c", "temp1_input": 1000, "temp2_input": 2000})
    real = os.open

    def refusing(path, *rest, **more):
        if str(path).endswith("temp1_input"):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
    assert _samples(exposed(HwmonCollector(paths)))[1:] == [
        'node_hwmon_temp_celsius{chip="c",sensor="temp2"} 2.0'
    ]


def test_links_to_nowhere_are_no_chips(chip, exposed, tmp_path):
    """A chip that goes away while the directory is read."""
    paths = chip("hwmon0", None, {"name": "c"})
    (tmp_path / "class/hwmon/hwmon1").symlink_to(tmp_path / "gone")
    assert len(_samples(exposed(HwmonCollector(paths)))) == 1


def test_filters(metal, exposed):
    """By chip, and by chip and sensor."""

    def shown(**settings):
        lines = exposed(HwmonCollector(metal, **settings))
        return [line.split("{")[1].split("}")[0] for line in lines if "temp_celsius{" in line]

    core, board = 'chip="platform_coretemp_0"', 'chip="platform_nct6775_656"'
    assert shown(chip_include="coretemp") == [f'{core},sensor="temp1"', f'{core},sensor="temp2"']
    assert shown(chip_exclude="coretemp") == [f'{board},sensor="temp1"']
    assert shown(sensor_exclude="coretemp_0;temp1$|nct") == [f'{core},sensor="temp2"']
    assert shown(sensor_include=";temp2$") == [f'{core},sensor="temp2"']


@pytest.mark.parametrize("setting", ["chip_include", "sensor_exclude"])
def test_refuses_a_bad_expression(setting):
    """The message begins with the setting."""
    with pytest.raises(ValueError, match=f"{setting}: not a regular expression"):
        HwmonCollector(Paths(), **{setting: "("})


def test_no_sensors_no_data(tmp_path):
    """A virtual machine has no such directory."""
    with pytest.raises(NoData, match="no sensors"):
        list(HwmonCollector(Paths(sysfs=str(tmp_path))).collect())
