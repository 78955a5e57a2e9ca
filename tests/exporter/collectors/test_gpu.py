"""The gpu collector, against a scripted NVML."""

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pynvml
import pytest
import yaml

from gnomon_exporter import gpu_events, nvml
from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.gpu import GpuCollector, GpuError
from gnomon_exporter.exposition import render
from gnomon_exporter.guard import Guard
from gnomon_exporter.helpers import Helpers
from gnomon_exporter.nvml import AbsentError, Driver, DriverError
from gnomon_exporter.paths import Paths
from scripted_nvml import FIXTURES, ScriptedNvml

FIRST = "11111111-aaaa-bbbb-cccc-000000000000"
SECOND = "22222222-aaaa-bbbb-cccc-000000000000"
PARTED = "33333333-aaaa-bbbb-cccc-000000000000"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Machine:
    """A collector on scripted GPUs, and the clock of its driver."""

    def __init__(self, name, paths, **settings):
        self.nvml = ScriptedNvml(name)
        self.clock = Clock()
        self.installed = True
        self.loads = 0
        driver = Driver(self._load, lambda: self.installed, self.clock)
        self.collector = GpuCollector(paths, _driver=driver, **settings)

    def _load(self):
        self.loads += 1
        return self.nvml

    def page(self):
        """Return the page without HELP, and the error that ended it."""
        families, error = [], None
        try:
            families.extend(self.collector.collect())
        except GpuError as raised:
            error = str(raised)
        lines = render(families).decode().splitlines()
        return [line for line in lines if not line.startswith("# HELP")], error

    def series(self):
        """Return the values by series, and the error."""
        lines, error = self.page()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {series: float(value) for series, value in pairs}, error

    def leave(self):
        """Have the collector let go of NVML, whoever still holds on to it."""
        self.collector._watch.stop()
        self.collector._watch.join()
        self.collector._mig.release(self.nvml)
        self.collector._driver.close()


def gpu_threads():
    """Return the collector's own threads."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("gpu ")]


def wait_for(condition, seconds=5.0):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Waits in the driver of 20 ms, so that a test need not wait five seconds to be rid of one."""
    monkeypatch.setattr(gpu_events, "_WAIT", 20)


@pytest.fixture
def machine(tmp_path):
    """Return the function that makes a machine; in the end NVML was left as it has to be."""
    machines = []

    def make(name="two-gpus.yml", paths=None, **settings):
        machines.append(Machine(name, paths or Paths(str(tmp_path)), **settings))
        return machines[-1]

    yield make
    for each in machines:
        each.nvml.hang = None
        if each.collector is not None:
            each.leave()
        assert each.nvml.mistakes == []
        assert (each.nvml.references, each.nvml.samples, each.nvml.event_sets) == (0, 0, 0)


def of(series, uuid):
    """Return the series of one GPU."""
    return {name: value for name, value in series.items() if uuid in name}


def without_xids(series):
    """Return the series that only a GPU which answers has."""
    return {name: value for name, value in series.items() if "xid" not in name}


def watched(a_machine, uuid=FIRST):
    """Return whether the driver reports a GPU's events to the collector."""
    return a_machine.series()[0][f'gnomon_gpu_xid_watched{{uuid="{uuid}"}}'] == 1


def test_every_recording_says_where_it_comes_from():
    """A fixture is recorded from a device or written by hand, and says which."""
    names = sorted(FIXTURES.glob("*.yml"))
    assert names
    for name in names:
        assert yaml.safe_load(name.read_text())["origin"] in ("recorded", "written by hand")


def test_two_gpus(machine):
    """Every reading stands under nvidia_gpu_exporter's name in base units; the rest is absent."""
    two = machine()
    two.series()
    wait_for(lambda: watched(two))
    assert two.page() == ((FIXTURES / "two-gpus.txt").read_text().splitlines(), None)


def test_values_that_stand_for_none_are_absent(machine):
    """All ones, 2^63, an unknown state and every kind of refusal give no series."""
    names = {name.split("{")[0] for name in of(machine().series()[0], SECOND)}
    for absent in (
        "power_draw_watts",  # 0xffffffff
        "energy_joules_total",  # 2^64 - 1
        "power_draw_instant_watts",  # 2^63
        "pstate",  # 32
        "enforced_power_limit_watts",  # unknown error
        "temperature_memory",  # not supported, in the field
        "ecc_mode_current",  # not supported
        "remapped_rows_failure",
    ):
        assert f"nvidia_smi_{absent}" not in names
    assert "nvidia_smi_temperature_gpu" in names


def test_what_a_gpu_refuses_is_no_failure(machine):
    """A reading that a GPU does not have leaves the collector successful."""
    two = machine()
    series, error = two.series()
    assert error is None
    assert series["nvidia_smi_last_collect_success"] == 1


def test_fault_of_one_reading(machine):
    """A reading that times out is absent and fails the collector by name; the others stay."""
    two = machine()
    before = two.series()[0]
    two.nvml.gpus[0]["nvmlDeviceGetTemperature(0)"] = {"error": pynvml.NVML_ERROR_TIMEOUT}
    series, error = two.series()
    gone = f'nvidia_smi_temperature_gpu{{uuid="{FIRST}"}}'
    assert before.keys() - series.keys() == {gone}
    assert series["nvidia_smi_last_collect_success"] == 0
    assert error == f"GPU 0 ({FIRST}, 00000000:3B:00.0): nvmlDeviceGetTemperature: Timeout"
    two.nvml.gpus[0]["nvmlDeviceGetTemperature(0)"] = 61
    assert two.series()[1] is None


def test_old_driver(machine):
    """Before driver 510 memory has no reserved part, before 535 clock reasons have other names."""
    two = machine()
    gpu = two.nvml.gpus[0]
    del gpu["nvmlDeviceGetMemoryInfo(v2)"]
    gpu["nvmlDeviceGetMemoryInfo"] = {"total": 30, "free": 10, "used": 20}
    gpu["nvmlDeviceGetCurrentClocksThrottleReasons"] = gpu.pop(
        "nvmlDeviceGetCurrentClocksEventReasons"
    )
    series = of(two.series()[0], FIRST)
    assert series[f'nvidia_smi_memory_used_bytes{{uuid="{FIRST}"}}'] == 20
    assert f'nvidia_smi_memory_reserved_bytes{{uuid="{FIRST}"}}' not in series
    assert series[f'nvidia_smi_clocks_event_reasons_sw_power_cap{{uuid="{FIRST}"}}'] == 1


def test_fields_that_meant_something_else_are_not_asked(machine):
    """Before driver 590 the numbers of the thermal counters meant other things: no series."""
    two = machine()
    two.nvml.system["nvmlSystemGetDriverVersion"] = "580.65.06"
    series = two.series()[0]
    start = "nvidia_smi_clocks_event_reasons_counters_"
    assert f'{start}sw_thermal_slowdown_seconds{{uuid="{FIRST}"}}' not in series
    assert series[f'{start}sw_power_cap_seconds{{uuid="{FIRST}"}}'] == 212.553937


def test_unsupported_places_of_ecc_are_asked_once(machine):
    """Of the 28 error counters those that a chip does not have cost nothing after the first run."""
    two = machine()
    two.series()
    two.nvml.asked.clear()
    two.series()
    places = [asked for asked in two.nvml.asked if "MemoryErrorCounter" in asked]
    assert len(places) == 8


def test_nvidia_ml_py_that_does_not_know_a_function(machine, monkeypatch):
    """With an older nvidia-ml-py a reading is absent, and nothing else."""
    two = machine()
    monkeypatch.delattr(pynvml, "nvmlDeviceGetMarginTemperature")
    monkeypatch.delattr(pynvml, "c_nvmlGpuFabricInfo_v2_t")
    series, error = two.series()
    assert error is None
    assert f'nvidia_smi_temperature_gpu_tlimit{{uuid="{FIRST}"}}' not in series
    assert f'nvidia_smi_fabric_state{{uuid="{FIRST}"}}' not in series
    assert set(two.nvml.mistakes) == {
        "nvidia-ml-py has no nvmlDeviceGetMarginTemperature",
        "nvidia-ml-py has no c_nvmlGpuFabricInfo_v2_t",
    }
    two.nvml.mistakes.clear()


def test_hostile_names(machine):
    """A GPU's name with quotes, backslashes and newlines keeps the page whole."""
    two = machine()
    two.nvml.gpus[0]["nvmlDeviceGetName"] = 'a"b\\c\nd' + "x" * 100_000
    lines, error = two.page()
    assert error is None
    assert any(r'name="a\"b\\c\ndxxx' in line for line in lines)
    assert max(len(line) for line in lines) < 2000


def test_gpu_lost_mid_run_and_reset(machine):
    """A lost GPU's series vanish, the other's stay, success is 0; after its reset it is back."""
    two = machine()
    before, error = two.series()
    assert error is None
    wait_for(lambda: watched(two))
    two.nvml.event(0, 79)
    two.nvml.lost = {0}
    wait_for(lambda: two.series()[0][f'nvidia_smi_xid_errors_total{{uuid="{FIRST}",xid="79"}}'])
    series, error = two.series()
    assert f"GPU 0 ({FIRST}, 00000000:3B:00.0): " in error
    assert "GPU is lost" in error
    assert without_xids(of(series, FIRST)) == {}
    assert without_xids(of(series, SECOND)) == without_xids(of(before, SECOND))
    assert series["nvidia_smi_last_collect_success"] == 0
    # Not before the pause is over: opening NVML is dear.
    two.nvml.lost = set()
    assert two.series()[1] is not None
    assert two.nvml.inits == 1
    two.clock.now += 31

    def back():
        return two.series()[1] is None

    wait_for(back)
    assert two.nvml.inits == 2
    again = two.series()[0]
    assert without_xids(again) == without_xids(before)
    assert again[f'nvidia_smi_xid_errors_total{{uuid="{FIRST}",xid="79"}}'] == 1
    wait_for(lambda: watched(two))


def test_lost_gpu_that_is_not_even_found_again(machine):
    """A GPU that was there is missed though NVML, opened anew, knows only the other one."""
    two = machine()
    two.series()
    two.nvml.lost = {0}
    two.series()
    two.nvml.absent = {0}
    two.clock.now += 31
    wait_for(lambda: two.series() and two.nvml.inits == 2)
    series, error = two.series()
    assert error == f"GPU 0 ({FIRST}, 00000000:3B:00.0): it was there and is not any more"
    assert without_xids(of(series, SECOND))
    two.nvml.absent, two.nvml.lost = set(), set()
    two.clock.now += 31
    wait_for(lambda: two.series()[1] is None)


def test_gpu_lost_from_the_start(machine):
    """A GPU that never answered is a failure, though it was not expected."""
    two = machine()
    two.nvml.lost = {0}
    series, error = two.series()
    assert error == "GPU 0: GPU is lost"
    assert without_xids(of(series, SECOND))


def test_gpu_that_answers_nothing(machine):
    """A GPU whose every answer is an unknown error is lost, not one without readings."""
    two = machine()
    two.series()
    two.nvml.gpus[1] |= {key: {"error": pynvml.NVML_ERROR_UNKNOWN} for key in two.nvml.gpus[1]}
    two.nvml.gpus[1]["fields"] = {}
    series, error = two.series()
    assert "it answers none of the questions" in error
    assert without_xids(of(series, SECOND)) == {}
    assert without_xids(of(series, FIRST))


def test_gpu_of_another_container(machine):
    """A GPU that we may not open is nobody's failure."""
    two = machine()
    two.nvml.gpus[0]["error"] = pynvml.NVML_ERROR_NO_PERMISSION
    series, error = two.series()
    assert error is None
    assert of(series, FIRST) == {}


def test_driver_reloaded(machine):
    """A driver that goes is a failure; when it is back, counters are passed on as it has them."""
    two = machine()
    two.series()
    wait_for(lambda: watched(two))
    two.nvml.event(0, 31)
    wait_for(lambda: two.series()[0][f'nvidia_smi_xid_errors_total{{uuid="{FIRST}",xid="31"}}'])
    two.nvml.lost = {0, 1}
    two.nvml.init_error = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    two.clock.now += 31
    two.series()
    wait_for(lambda: "Driver Not Loaded" in two.series()[1])
    series, error = two.series()
    assert error == "0 of 2 GPUs: NVML: Driver Not Loaded"
    assert without_xids(series) == {}
    assert series[f'nvidia_smi_xid_errors_total{{uuid="{FIRST}",xid="31"}}'] == 1
    two.nvml.lost, two.nvml.init_error = set(), None
    two.nvml.gpus[0]["nvmlDeviceGetTotalEnergyConsumption"] = 5
    assert two.series()[1] is not None
    two.clock.now += 31
    series, error = two.series()
    assert error is None
    assert series[f'nvidia_smi_energy_joules_total{{uuid="{FIRST}"}}'] == 0.005
    assert series[f'nvidia_smi_xid_errors_total{{uuid="{FIRST}",xid="31"}}'] == 1


def test_without_driver(machine):
    """Without a driver there is nothing to say, and NVIDIA's library is not even looked for."""
    none = machine()
    none.installed = False
    with pytest.raises(NoData, match="no NVIDIA driver is loaded"):
        list(none.collector.collect())
    assert none.loads == 0
    none.installed = True  # installed while the exporter runs
    assert none.series()[1] is None


def test_without_library(machine):
    """Without NVIDIA's library there is nothing to say; looking again waits half a minute."""
    none = machine()
    none.nvml.init_error = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    for _ in range(10):
        with pytest.raises(NoData, match="NVML Shared Library Not Found"):
            list(none.collector.collect())
    assert none.loads == 1
    none.nvml.init_error = None
    none.clock.now += 31
    assert none.series()[1] is None


def test_without_gpu(machine):
    """A driver without a GPU is let go of, and there is nothing to say."""
    none = machine()
    none.nvml.gpus.clear()
    with pytest.raises(NoData, match="the NVIDIA driver has no GPU"):
        list(none.collector.collect())
    assert none.nvml.references == 0


@pytest.mark.parametrize(
    ("installed", "init_error", "words"),
    [
        (False, None, "0 of 2 GPUs: no NVIDIA driver is loaded"),
        (True, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "0 of 2 GPUs: NVML: Driver Not Loaded"),
    ],
)
def test_expected_gpus_without_driver(machine, installed, init_error, words):
    """Where GPUs are expected, no driver is a failure that says so."""
    none = machine(expected=2)
    none.installed, none.nvml.init_error = installed, init_error
    assert none.series() == ({}, words)


def test_fewer_gpus_than_expected(machine):
    """Where more GPUs are expected than answer, those that answer are read, and it is a failure."""
    two = machine(expected=3)
    series, error = two.series()
    assert error == "2 of 3 expected GPUs: the others are missing"
    assert without_xids(of(series, FIRST))
    assert machine(expected=2).series()[1] is None


def test_bad_setting():
    """A negative number of GPUs is refused with the setting's name."""
    with pytest.raises(ValueError, match=r"^expected: "):
        GpuCollector(Paths(), expected=-1)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "load the new module or reboot"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error"),
    ],
)
def test_driver_that_does_not_work_is_a_failure(machine, code, words):
    """A driver that is there and cannot be used is a failure, though no GPU was expected."""
    broken = machine()
    broken.nvml.init_error = code
    series, error = broken.series()
    assert series == {}
    assert words in error


def test_hang(machine):
    """1,000 scrapes with a hung driver hold one thread and return; it works again afterwards."""
    two = machine()
    guard = Guard("gpu", two.collector, timeout=0.2, cap=1000, helpers=Helpers())
    outcome = guard.finish(guard.begin(), time.monotonic() + 5)
    assert outcome.success is True
    two.nvml.hang = threading.Event()
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    started = time.monotonic()
    for _ in range(1000):
        assert guard.finish(guard.begin(), time.monotonic() + 5).success is False
    assert time.monotonic() - started < 1.0  # one wait of 0.2 s, with five times as much
    assert threading.active_count() <= before[0] + 1
    assert len(os.listdir("/proc/self/fd")) == before[1]
    two.nvml.hang.set()

    def works():
        return guard.finish(guard.begin(), time.monotonic() + 5).success

    wait_for(works)


def test_thousand_scrapes_with_a_gpu_that_leaves_and_comes_back(machine):
    """Threads, descriptors and NVML's own objects stay flat over losses and recoveries."""
    two = machine()
    two.series()
    descriptors = len(os.listdir("/proc/self/fd"))
    failures = 0
    for scrape in range(1000):
        two.clock.now += 10
        two.nvml.lost = {1} if 300 <= scrape < 600 else set()
        if 400 <= scrape < 500:
            two.nvml.absent = {1}
        else:
            two.nvml.absent = set()
        series, error = two.series()
        failures += error is not None
        assert without_xids(of(series, FIRST))
        assert len(gpu_threads()) <= 1
        assert two.nvml.event_sets <= 1
    assert two.series()[1] is None
    assert 300 <= failures < 600
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_xid_counters_stand_at_zero_from_the_start(machine):
    """Known XIDs have a series before their first event, and no time of a last one."""
    two = machine()
    series = two.series()[0]
    for uuid in (FIRST, SECOND):
        for xid in gpu_events.XIDS:
            assert series[f'nvidia_smi_xid_errors_total{{uuid="{uuid}",xid="{xid}"}}'] == 0
    assert not any(name.startswith("nvidia_smi_xid_last") for name in series)


def test_xid_event(machine, caplog):
    """An event counts for its GPU and code, at its time, with one line of log for a storm."""
    two = machine(dcgm=True)
    two.series()
    wait_for(lambda: watched(two))
    started = time.time()
    for _ in range(3):
        two.nvml.event(0, 48)
    key = f'{{uuid="{FIRST}",xid="48"}}'
    wait_for(lambda: two.series()[0][f"nvidia_smi_xid_errors_total{key}"] == 3)
    series = two.series()[0]
    assert started <= series[f"nvidia_smi_xid_last_timestamp_seconds{key}"] <= time.time()
    assert series[f'nvidia_smi_xid_errors_total{{uuid="{SECOND}",xid="48"}}'] == 0
    assert [record.getMessage() for record in caplog.records] == [
        f"GPU {FIRST}: XID 48 (uncorrectable memory error)"
    ]
    newest = [name for name in series if name.startswith("DCGM_FI_DEV_XID_ERRORS")]
    assert 'err_code="48",err_msg="uncorrectable memory error"' in newest[0]
    assert series[newest[0]] == 48
    assert series[newest[1]] == 0


def test_unknown_xid_is_born_at_zero(machine, monkeypatch):
    """A code without a series gets one at 0 first, so that a scraper sees it rise."""
    two = machine()
    two.series()
    wait_for(lambda: watched(two))
    two.nvml.event(0, 999)
    key = f'{{uuid="{FIRST}",xid="999"}}'
    wait_for(lambda: f"nvidia_smi_xid_errors_total{key}" in two.series()[0])
    series = two.series()[0]
    assert series[f"nvidia_smi_xid_errors_total{key}"] == 0
    assert f"nvidia_smi_xid_last_timestamp_seconds{key}" in series
    monkeypatch.setattr(gpu_events, "_BIRTH", 0.0)
    assert two.series()[0][f"nvidia_smi_xid_errors_total{key}"] == 1


def test_xid_thread_is_one_and_a_daemon(machine):
    """However many scrapes, one thread watches; the process does not wait for it."""
    two = machine()
    for _ in range(100):
        two.series()
    threads = gpu_threads()
    assert len(threads) == 1
    assert threads[0].daemon
    assert two.nvml.event_sets == 1


def test_xid_thread_sleeps_in_the_driver(machine, monkeypatch):
    """Idle, it wakes up once in a wait; a driver that does not wait at all is asked at leisure."""
    monkeypatch.setattr(gpu_events, "_WAIT", 5000)
    two = machine()
    two.series()
    wait_for(lambda: watched(two))
    time.sleep(0.3)
    assert two.nvml.waits == 1
    two.nvml.event(0, -pynvml.NVML_ERROR_TIMEOUT)  # an interrupt, as NVML documents
    time.sleep(0.3)
    assert two.nvml.waits == 1
    two.nvml.event(0, 13)


def test_exit_does_not_wait_for_the_thread():
    """A process whose thread sleeps in the driver for five seconds ends at once."""
    code = (
        "import time\n"
        "from gnomon_exporter.collectors.gpu import GpuCollector\n"
        "from gnomon_exporter.nvml import Driver\n"
        "from gnomon_exporter.paths import Paths\n"
        "from scripted_nvml import ScriptedNvml\n"
        "nvml = ScriptedNvml('two-gpus.yml')\n"
        "collector = GpuCollector(Paths(), _driver=Driver(lambda: nvml, lambda: True))\n"
        "list(collector.collect())\n"
        "while not nvml.waits:\n"
        "    time.sleep(0.01)\n"
        "print(time.monotonic(), flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(FIXTURES.parents[2])}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - float(result.stdout) < 2.5  # of five


def test_failing_wait_ends_the_thread_and_is_begun_anew(machine, monkeypatch):
    """When NVML cannot wait any more, the thread ends, and a later scrape starts another."""
    two = machine()
    two.series()
    wait_for(lambda: watched(two))
    two.nvml.event(0, -pynvml.NVML_ERROR_UNKNOWN)
    wait_for(lambda: not gpu_threads())
    assert not watched(two)
    monkeypatch.setattr(gpu_events, "_PAUSE", 0.0)
    two.collector._watch._not_before = 0.0
    wait_for(lambda: watched(two))


def test_driver_without_events(machine):
    """Where no GPU reports events, nothing is watched, and it is not asked at every scrape."""
    two = machine()
    two.nvml.gpus[0]["events"] = False
    two.series()
    wait_for(lambda: not gpu_threads())
    series = two.series()[0]
    assert series[f'gnomon_gpu_xid_watched{{uuid="{FIRST}"}}'] == 0
    assert not gpu_threads()


def test_out_of_threads(machine, monkeypatch):
    """Where no thread can be had the events are not watched; the readings stay."""

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    two = machine()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        series, error = two.series()
    assert error is None
    assert series[f'gnomon_gpu_xid_watched{{uuid="{FIRST}"}}'] == 0


def test_dropped_collector_lets_go_of_the_driver(machine):
    """A collector that a new configuration replaces leaves no thread and no open NVML behind."""
    two = machine()
    two.series()
    wait_for(lambda: watched(two))
    two.collector = None
    gc.collect()
    wait_for(lambda: not gpu_threads())
    assert two.nvml.references == 0
    assert two.nvml.event_sets == 0


def test_mig(machine):
    """MIG devices are listed, their GPU instances' memory and activity stand once each."""
    parted = machine("mig.yml")
    clock = Clock()
    parted.collector._mig._clock = clock
    first = parted.series()[0]
    assert not any("activity" in name for name in first)
    clock.now += 10
    lines, error = parted.page()
    assert error is None
    assert [line for line in lines if "_mig_" in line] == (
        (FIXTURES / "mig.txt").read_text().splitlines()
    )


def test_mig_activity_between_two_scrapers(machine):
    """A second scrape shortly after the first one repeats its activity instead of noise."""
    parted = machine("mig.yml")
    clock = Clock()
    parted.collector._mig._clock = clock
    name = f'nvidia_smi_mig_sm_activity_ratio{{uuid="{PARTED}",gpu_instance_id="1"}}'
    parted.series()
    clock.now += 10
    assert parted.series()[0][name] == 0.6125
    parted.nvml.gpus[0]["gpm"][1][2] = 99.0
    clock.now += 0.5
    assert parted.series()[0][name] == 0.6125
    clock.now += 0.6
    assert parted.series()[0][name] == 0.99


def test_mig_instance_made_anew(machine):
    """An instance that got the number of a destroyed one does not inherit its sample."""
    parted = machine("mig.yml")
    clock = Clock()
    parted.collector._mig._clock = clock
    name = f'nvidia_smi_mig_sm_activity_ratio{{uuid="{PARTED}",gpu_instance_id="5"}}'
    parted.series()
    slots = parted.nvml.gpus[0]["mig"]
    slots[4]["nvmlDeviceGetUUID"] = "MIG-dddddddd-0000-0000-0000-000000000000"
    clock.now += 10
    assert name not in parted.series()[0]
    clock.now += 10
    assert name in parted.series()[0]
    del slots[4]
    parted.series()
    assert parted.nvml.samples == 1
    clock.now += 3600  # nobody scraped for an hour
    assert not any("activity" in series for series in parted.series()[0])


def test_mig_before_hopper(machine):
    """A GPU that cannot measure its instances has their memory and no activity."""
    parted = machine("mig.yml")
    del parted.nvml.gpus[0]["nvmlGpmQueryDeviceSupport"]
    parted.series()
    series, error = parted.series()
    assert error is None
    assert any(name.startswith("nvidia_smi_mig_memory") for name in series)
    assert not any("activity" in name for name in series)


def test_mig_gpu_lost(machine):
    """Losing a GPU with samples frees them with the NVML that they belong to."""
    parted = machine("mig.yml")
    parted.series()
    parted.nvml.lost = {0}
    parted.series()
    parted.nvml.lost = set()
    parted.clock.now += 31
    wait_for(lambda: parted.series()[1] is None)


def _process(proc, pid, name, started=100, *, text=None):
    (proc / str(pid)).mkdir(parents=True)
    fields = ["S", "1"] + ["0"] * 17 + [str(started)] + ["0"] * 30
    stat = b"%d (%b) %b\n" % (pid, name, " ".join(fields).encode())
    (proc / str(pid) / "stat").write_bytes(stat if text is None else text)


@pytest.fixture
def host(tmp_path):
    """A host's /proc with the PID namespace that is every host's first."""
    proc = tmp_path / "proc"
    (proc / "self/ns").mkdir(parents=True)
    (proc / "self/ns/pid").symlink_to("pid:[4026531836]")
    return proc


def test_processes(machine, host):
    """Processes are named as the kernel does; what they use stands by name, without a pid."""
    _process(host, 4021, b"python3")
    _process(host, 4022, b"python3")
    two = machine(processes=True)
    lines, error = two.page()
    assert error is None
    apps = [line for line in lines if not line.startswith("#") and "compute_app" in line]
    name = 'process_name="python3"'
    assert apps == [
        f'nvidia_smi_compute_apps{{uuid="{FIRST}"}} 2',
        f'nvidia_smi_compute_app_info{{uuid="{FIRST}",pid="4021",process_name="python3"}} 1',
        f'nvidia_smi_compute_app_info{{uuid="{FIRST}",pid="4022",process_name="python3"}} 1',
        f'nvidia_smi_compute_app_used_memory_bytes{{uuid="{FIRST}",pid="4021",{name}}} 2147483648',
    ]
    use = f'gnomon_gpu_process_sm_utilization_ratio{{uuid="{FIRST}",groupname="python3"}}'
    series = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(series[use]) == 0.55
    # The same samples again are no use of the time since.
    assert use not in two.series()[0]


def test_processes_are_opt_in(machine, host):
    """Nothing is asked about processes unless that was set."""
    _process(host, 4021, b"python3")
    two = machine()
    assert not any("compute_app" in name for name in two.series()[0])
    assert not any("Process" in asked for asked in two.nvml.asked)


@pytest.mark.parametrize("namespace", ["pid:[4026532281]", None])
def test_other_pid_namespace(machine, host, caplog, namespace):
    """In a container's PID namespace the numbers name other processes: absent, said once."""
    _process(host, 4021, b"innocent")
    (host / "self/ns/pid").unlink()
    if namespace:
        (host / "self/ns/pid").symlink_to(namespace)
    two = machine(processes=True)
    for _ in range(3):
        series, error = two.series()
        assert error is None
        assert not any("compute_app" in name or "process" in name for name in series)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "--pid=host" in warnings[0].getMessage()


def test_reused_pid(machine, host):
    """A process that began after NVML was asked is not the one that NVML meant."""
    _process(host, 4021, b"newcomer", started=10**12)
    series = machine(processes=True).series()[0]
    assert not any("newcomer" in name for name in series)
    assert series[f'nvidia_smi_compute_apps{{uuid="{FIRST}"}}'] == 2


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (b"a) R (b", "a) R (b"),
        (b'"\\\n', r"\"\\\n"),
        (b"\xff\xfe", "��"),
        (b"", ""),
    ],
)
def test_hostile_process_names(machine, host, name, label):
    """Parentheses, quotes, newlines and bytes that are no UTF-8 stay within their label."""
    _process(host, 4021, name)
    lines, error = machine(processes=True).page()
    assert error is None
    assert any(f'pid="4021",process_name="{label}"' in line for line in lines)


@pytest.mark.parametrize("text", [b"", b"4021 (half", b"4021 (short) S 1", b"4021 no name S"])
def test_torn_stat(machine, host, text):
    """A stat file that makes no sense gives no name, and harms nothing else."""
    _process(host, 4021, b"", text=text)
    series, error = machine(processes=True).series()
    assert error is None
    assert not any('pid="4021"' in name for name in series)


def test_process_in_two_mig_instances(machine, host):
    """A process's memory is the sum over its instances, for it has one series."""
    _process(host, 4021, b"worker")
    series = machine("mig.yml", processes=True).series()[0]
    name = (
        f'nvidia_smi_compute_app_used_memory_bytes{{uuid="{PARTED}",pid="4021",'
        'process_name="worker"}'
    )
    assert series[name] == 3 * 1048576
    assert series[f'nvidia_smi_compute_apps{{uuid="{PARTED}"}}'] == 1


def test_dcgm_names(machine, monkeypatch):
    """With one setting the readings stand a second time under DCGM's names, labels and units."""
    monkeypatch.setenv("NODE_NAME", "node-7")
    lines, error = machine(dcgm=True).page()
    assert error is None
    assert [line for line in lines if "DCGM" in line] == (
        (FIXTURES / "two-gpus.dcgm.txt").read_text().splitlines()
    )


def test_dcgm_names_of_mig_instances(machine, monkeypatch):
    """A GPU instance's memory has DCGM's labels of instance and profile, in whole MiB."""
    monkeypatch.setenv("NODE_NAME", "node-7")
    lines, _ = machine("mig.yml", dcgm=True).page()
    used = [line for line in lines if line.startswith("DCGM_FI_DEV_FB_USED{")]
    assert [line.partition('"590.12.34"')[2] for line in used] == [
        "} 798",
        ',GPU_I_PROFILE="3g.40gb",GPU_I_ID="1"} 67',
        ',GPU_I_PROFILE="1g.10gb",GPU_I_ID="5"} 81',
    ]


def test_library_is_absent(monkeypatch):
    """Without NVIDIA's library the reason names it."""
    ctypes = pytest.importorskip("ctypes")

    def refuse(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with pytest.raises(AbsentError, match=r"libnvidia-ml\.so\.1"):
        nvml.load()


def test_package_is_absent(monkeypatch):
    """A driver without nvidia-ml-py is a failure that names the extra."""
    ctypes = pytest.importorskip("ctypes")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(DriverError, match="its extra 'gpu'"):
        nvml.load()


def test_imports_nothing_without_a_driver(tmp_path):
    """On a machine without a driver nothing of NVIDIA's is imported, however often it looks."""
    code = (
        "import sys\n"
        "from gnomon_exporter.collectors.gpu import GpuCollector\n"
        "from gnomon_exporter.collector import NoData\n"
        "from gnomon_exporter.paths import Paths\n"
        "collector = GpuCollector(Paths(sys.argv[1]))\n"
        "for _ in range(1000):\n"
        "    try:\n"
        "        list(collector.collect())\n"
        "    except NoData:\n"
        "        pass\n"
        "print('pynvml' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


def test_driver_shows_itself_in_proc(tmp_path):
    """The loaded kernel module is what makes asking for the library worthwhile."""
    assert not nvml.installed(Paths(str(tmp_path)))
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text("NVRM version: ...\n")
    assert nvml.installed(Paths(str(tmp_path)))


def test_library_of_an_upgraded_driver(tmp_path):
    """A library whose file was replaced is loaded anew by the new file's path."""
    ctypes = pytest.importorskip("ctypes")
    mapped = Path("/proc/self/maps").read_text().split()
    libc = next(word for word in mapped if "/libc.so" in word or "/libc-" in word)
    old, new, link = (tmp_path / f"libnvidia-ml.so.{end}" for end in ("1.1", "2.2", "1"))
    new.write_bytes(Path(libc).read_bytes())
    maps = tmp_path / "maps"
    maps.write_text(f"7f00-7f01 r-xp 00000000 00:00 1 {old}\n7f02-7f03 rw-p 0 00:00 0\n")
    fake = type("Nvml", (), {"nvmlLib": None, "_nvmlGetFunctionPointer_cache": {"stale": 1}})()
    link.symlink_to(old)
    assert not nvml.renew_library(fake, str(maps))
    link.unlink()
    link.symlink_to(new)
    assert nvml.renew_library(fake, str(maps))
    assert isinstance(fake.nvmlLib, ctypes.CDLL)
    assert fake._nvmlGetFunctionPointer_cache == {}
    maps.write_text(f"7f00-7f01 r-xp 00000000 00:00 1 {new}\n")
    assert not nvml.renew_library(fake, str(maps))
