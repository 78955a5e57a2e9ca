"""The recorder of NVML's answers, on a scripted NVML instead of a real one."""

import os

import pytest
import yaml

import record_nvml
import scripted_nvml
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.nvml import Driver
from gnomon_exporter.paths import Paths
from scripted_nvml import FIXTURES, ScriptedNvml

# What the real one prints, in form: a list of quoted names, and CSV whose header has the units.
NVIDIA_SMI = """\
#!/bin/sh
case "$1" in
--help-query-gpu)
    printf '"index"\\nIndex.\\n\\n"memory.used"\\nUsed.\\n\\n"power.draw"\\n"clocks.gr"\\n'
    printf '"clocks_event_reasons_counters.sw_power_cap"\\n"pstate"\\n"ecc.mode.current"\\n'
    printf '"clocks_event_reasons.active"\\n"hostname"\\n' ;;
*)
    printf 'index, memory.used [MiB], power.draw [W], clocks.current.graphics [MHz], '
    printf 'clocks_event_reasons_counters.sw_power_cap [us], pstate, ecc.mode.current, '
    printf 'clocks_event_reasons.active, hostname\\n'
    printf '0, 40958, %s, 1755, 212553937, P0, Enabled, 0x0000000000000024, here\\n' "$POWER"
    printf '1, 6, [N/A], 210, [N/A], [N/A], [N/A], 0x0000000000000001, here\\n' ;;
esac
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put a program nvidia-smi in front of PATH; return the function that sets its power draw."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return lambda watts: monkeypatch.setenv("POWER", watts)


def _page(scripted):
    collector = GpuCollector(Paths(), _driver=Driver(lambda: scripted, lambda: True))
    lines = render(list(collector.collect())).decode()
    return lines.replace("11111111-aaaa-bbbb-cccc-", "00000000-0000-0000-0000-").replace(
        "22222222-aaaa-bbbb-cccc-", "00000001-0000-0000-0000-"
    )


def _anonymous(page):
    return page.replace('serial="1650000000001"', 'serial="0000000000000"').splitlines()


def test_recording_answers_as_what_was_recorded(tmp_path, smi, capsys, monkeypatch):
    """A recording gives the same page, says that it is one, and holds no serial number or UUID."""
    smi("431.25")
    file = tmp_path / "recorded.yml"
    assert record_nvml.main([str(file)], real=ScriptedNvml("two-gpus.yml")) == 0
    recorded = yaml.safe_load(file.read_text())
    assert recorded["origin"] == "recorded"
    assert "1650000000001" not in file.read_text()
    assert "aaaa-bbbb" not in file.read_text()
    monkeypatch.setattr(scripted_nvml, "FIXTURES", tmp_path)
    again = _page(ScriptedNvml("recorded.yml"))
    monkeypatch.setattr(scripted_nvml, "FIXTURES", FIXTURES)
    original = _page(ScriptedNvml("two-gpus.yml"))
    unwatched = [line for line in again.splitlines() if "watched" not in line]
    assert unwatched == [line for line in _anonymous(original) if "watched" not in line]
    assert "0 values differ" in capsys.readouterr().out


def test_recording_of_mig():
    """A MIG GPU's instances are recorded with their activity."""
    recorder = record_nvml.RecordingNvml(ScriptedNvml("mig.yml"))
    collector = GpuCollector(Paths(), _driver=Driver(lambda: recorder, lambda: True))
    collector._mig._clock = iter(range(0, 10000, 10)).__next__
    list(collector.collect())
    list(collector.collect())
    gpu = recorder.recording()["gpus"][0]
    assert sorted(gpu["mig"]) == [0, 1, 4]
    assert gpu["gpm"][1] == {1: 87.5, 2: 61.25, 3: 30.0, 5: 12.5, 20: 3.0, 21: 1.5}
    assert gpu["gpm"][5][3] == {"error": 3}


def test_difference_is_shown(tmp_path, smi, capsys):
    """A value that nvidia-smi gives otherwise is named, with both, and fails the run."""
    smi("99.00")
    assert record_nvml.main([str(tmp_path / "r.yml")], real=ScriptedNvml("two-gpus.yml")) == 1
    differing = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
    assert [line.split() for line in differing] == [
        ["DIFFERS", "GPU", "0", "power.draw", "[W]", "nvidia-smi", "99.00", "here", "431.25"]
    ]
