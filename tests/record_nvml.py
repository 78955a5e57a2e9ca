"""Records what a machine's GPUs answer to the gpu collector, and compares it with nvidia-smi.

    python tests/record_nvml.py tests/exporter/fixtures/nvml/h200.yml

On a machine with an NVIDIA GPU and gnomon's extra ``exporter``. The file is for
``scripted_nvml.ScriptedNvml``: serial numbers and UUIDs are replaced, everything else stands as
NVML gave it. The comparison is printed; the exit status is 1 if a value differs.
"""

import argparse
import csv
import ctypes
import re
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import yaml

from gnomon_exporter import nvml
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.gpu_readings import HELP
from gnomon_exporter.nvml import Driver
from gnomon_exporter.paths import Paths
from scripted_nvml import MEMBERS, question

#: What one of nvidia-smi's units is in the base unit's: its number is ours times this.
UNITS = {"%": 100, "MiB": 1 / 1048576, "MHz": 1e-6, "us": 1e6, "W": 1, "": 1}
#: What our names end in where nvidia-smi's field names have a unit, or nothing.
SUFFIXES = ("", "_ratio", "_bytes", "_watts", "_clock_hz", "_seconds")
#: nvidia-smi's words for a state, and for a value that it does not have.
WORDS = {
    **dict.fromkeys(("enabled", "yes", "active", "exclusive_thread"), 1.0),
    **dict.fromkeys(("disabled", "no", "not active", "default", "none"), 0.0),
    "prohibited": 2.0,
    "exclusive_process": 3.0,
    "not started": 1.0,
    "in progress": 2.0,
    "completed": 3.0,
}
NONE = re.compile(
    r"\[?(n/a|not supported|insufficient permissions|unknown error|.*deprecated.*)\]?"
)


class RecordingNvml:
    """Passes questions on to nvidia-ml-py and keeps the answers."""

    def __init__(self, real):
        self._real = real
        self._handles = {}
        self._instance = None
        self.system = {}
        self.gpus = {}

    def __getattr__(self, name):
        """Give constants as they are and wrap functions."""
        value = getattr(self._real, name)
        if not name.startswith("nvml") or not callable(value) or isinstance(value, type):
            return value
        return lambda *arguments: self._ask(name, value, arguments)

    def recording(self):
        """Return the recording, without what tells one device of a model from another."""
        gpus = []
        for index, gpu in sorted(self.gpus.items()):
            gpu["nvmlDeviceGetUUID"] = f"GPU-{index:08d}-0000-0000-0000-000000000000"
            if isinstance(gpu.get("nvmlDeviceGetSerial"), str):
                gpu["nvmlDeviceGetSerial"] = "0000000000000"
            for slot, part in gpu.get("mig", {}).items():
                part["nvmlDeviceGetUUID"] = f"MIG-{slot:08d}-0000-0000-0000-{index:012d}"
            gpus.append(gpu)
        return {"origin": "recorded", "system": self.system, "gpus": gpus}

    def _ask(self, name, function, arguments):
        subject = self._subject(arguments)
        try:
            answer = function(*arguments)
        except pynvml.NVMLError as error:
            self._keep_error(name, subject, arguments, error.value)
            raise
        self._keep(name, subject, arguments, answer)
        return answer

    def _subject(self, arguments):
        """Return the record of the device that a question is about."""
        if arguments and isinstance(arguments[0], pynvml.c_nvmlDevice_t):
            return self._handles.get(_address(arguments[0]))
        return None

    def _keep_error(self, name, subject, arguments, code):
        if name == "nvmlDeviceGetHandleByIndex":
            self.gpus[arguments[0]] = {"error": code}
        elif name == "nvmlDeviceRegisterEvents":
            subject["events"] = False
        elif subject is not None and name != "nvmlDeviceGetMigDeviceHandleByIndex":
            subject[_question(name, arguments)] = {"error": code}

    def _keep(self, name, subject, arguments, answer):
        if name == "nvmlDeviceGetHandleByIndex":
            self._handles[_address(answer)] = self.gpus.setdefault(arguments[0], {})
        elif name == "nvmlDeviceGetMigDeviceHandleByIndex":
            part = subject.setdefault("mig", {}).setdefault(arguments[1], {})
            self._handles[_address(answer)] = part
        elif name.startswith("nvmlSystem"):
            self.system[name] = answer
        elif name == "nvmlDeviceGetFieldValues":
            subject["fields"] = {field.fieldId: _field(field) for field in answer}
        elif name == "nvmlGpmMigSampleGet":
            self._instance = subject.setdefault("gpm", {}).setdefault(arguments[1], {})
        elif name == "nvmlGpmMetricsGet":
            for slot in range(arguments[0].numMetrics):
                metric = arguments[0].metrics[slot]
                failed = {"error": metric.nvmlReturn}
                self._instance[metric.metricId] = failed if metric.nvmlReturn else metric.value
        elif subject is not None and name != "nvmlDeviceRegisterEvents":
            filled = [word._obj for word in arguments if hasattr(word, "_obj")]
            subject[_question(name, arguments)] = _plain(filled[0] if filled else answer)


def _address(handle):
    return ctypes.cast(handle, ctypes.c_void_p).value


def _question(name, arguments):
    return question(name, [word for word in arguments[1:] if not hasattr(word, "_obj")])


def _field(field):
    if field.nvmlReturn:
        return {"error": field.nvmlReturn}
    return {"type": field.valueType, "value": getattr(field.value, MEMBERS[field.valueType])}


def _plain(answer):
    """Return an answer as YAML has it: structures by their fields, but for version and arrays."""
    if isinstance(answer, ctypes.Structure):
        fields = {name: getattr(answer, name) for name, *_ in answer._fields_ if name != "version"}
        return {name: value for name, value in fields.items() if isinstance(value, int | str)}
    if isinstance(answer, pynvml.nvmlFriendlyObject):
        return dict(vars(answer))
    if isinstance(answer, list | tuple):
        return [_plain(item) for item in answer]
    return answer


def readings(collector):
    """Return the collector's values of each GPU, by index and name without prefix."""
    families = list(collector.collect())
    rows = {}
    for family in families:
        if family.name == "nvidia_smi_index":
            rows = {sample.labels["uuid"]: int(sample.value) for sample in family.samples}
    found = {index: {} for index in rows.values()}
    for family in families:
        for sample in family.samples:
            if set(sample.labels) == {"uuid"} and sample.labels["uuid"] in rows:
                name = sample.name.removeprefix("nvidia_smi_")
                found[rows[sample.labels["uuid"]]][name] = sample.value
    return found


def nvidia_smi():
    """Return nvidia-smi's values: for each GPU a text by the field's name and unit."""
    text = _run("nvidia-smi", "--help-query-gpu")
    fields = re.findall(r'^"([^"]+)"', text, re.MULTILINE)
    lines = _run("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,nounits")
    header, *rows = csv.reader(lines.splitlines(), skipinitialspace=True)
    names = []
    for column in header:
        name, unit = re.fullmatch(r"(.*?)(?: \[(.*)\])?", column).groups()
        names.append((name, unit or ""))
    return [dict(zip(names, row, strict=True)) for row in rows]


def number(text):
    """Return nvidia-smi's text as a number, None if it says that there is none."""
    text = text.strip().lower()
    if not text or NONE.fullmatch(text):
        return None
    if text in WORDS:
        return WORDS[text]
    if text.startswith("0x"):
        return float(int(text, 16))
    return float(text.removeprefix("p"))


def compare(before, theirs, after):
    """Yield a row for each field that both know: GPU, field, theirs, ours, verdict.

    Theirs may lie anywhere between our readings before and after, within its last digit.
    """
    for index, row in enumerate(theirs):
        for (field, unit), text in row.items():
            stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", field).replace(".", "_").lower()
            name = next((stem + end for end in SUFFIXES if stem + end in HELP), None)
            if name is None or name == "index":
                continue
            try:
                wanted = number(text)
            except ValueError:  # a word that we do not know
                yield index, field, text, "", "DIFFERS"
                continue
            ours = [side[index].get(name) for side in (before, after)]
            if wanted is None or None in ours:
                verdict = "same" if wanted is None and ours == [None, None] else "DIFFERS"
                yield index, field, text, str(ours[1]), verdict
                continue
            low, high = sorted(value * UNITS.get(unit, 1) for value in ours)
            digit = 10 ** -len(text.partition(".")[2])
            same = low - digit <= wanted <= high + digit
            yield index, f"{field} [{unit}]", text, f"{high:.6g}", "same" if same else "DIFFERS"


def _run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main(arguments=None, real=pynvml):
    """Record and compare. real: nvidia-ml-py."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", type=Path, help="where the recording goes (YAML)")
    options = parser.parse_args(arguments)
    recorder = RecordingNvml(real)
    driver = Driver(lambda: recorder, lambda: True)
    collector = GpuCollector(Paths(), processes=True, dcgm=True, _driver=driver)
    list(collector.collect())
    time.sleep(1.1)  # MIG activity needs two scrapes
    before = readings(collector)
    theirs = nvidia_smi()
    after = readings(collector)
    text = yaml.safe_dump(recorder.recording(), sort_keys=False, width=100)
    options.file.write_text(f"# NVML's answers to the gpu collector.\n{text}")
    differing = 0
    for index, field, wanted, ours, verdict in compare(before, theirs, after):
        differing += verdict != "same"
        sys.stdout.write(
            f"{verdict:8} GPU {index} {field:60} nvidia-smi {wanted:>12} here {ours}\n"
        )
    sys.stdout.write(f"{options.file} written; {differing} values differ from nvidia-smi's\n")
    return 1 if differing else 0


if __name__ == "__main__":
    assert nvml.load() is pynvml
    sys.exit(main())
