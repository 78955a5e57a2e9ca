"""NVML without a GPU: nvidia-ml-py's functions, answered from a recording and a test's script."""

# ruff: noqa: N802  # the names are nvidia-ml-py's

import ctypes
import threading
import time
from pathlib import Path

import pynvml
import yaml

FIXTURES = Path(__file__).parent / "exporter" / "fixtures" / "nvml"

UNINITIALIZED = pynvml.NVML_ERROR_UNINITIALIZED
NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
NOT_FOUND = pynvml.NVML_ERROR_NOT_FOUND
LOST = pynvml.NVML_ERROR_GPU_IS_LOST

#: The structures that nvidia-ml-py returns or fills, which a recording has by their fields.
STRUCTURES = {
    "nvmlDeviceGetPciInfo": pynvml.nvmlPciInfo_t,
    "nvmlDeviceGetUtilizationRates": pynvml.c_nvmlUtilization_t,
    "nvmlDeviceGetMemoryInfo": pynvml.c_nvmlMemory_t,
    "nvmlDeviceGetMemoryInfo(v2)": pynvml.c_nvmlMemory_v2_t,
    "nvmlDeviceGetRowRemapperHistogram": pynvml.c_nvmlRowRemapperHistogramValues,
    "nvmlDeviceGetSramEccErrorStatus": pynvml.c_nvmlEccSramErrorStatus_v1_t,
    "nvmlDeviceGetGpuFabricInfoV": pynvml.c_nvmlGpuFabricInfo_v2_t,
    "nvmlGpmQueryDeviceSupport": pynvml.c_nvmlGpmSupport_t,
    "nvmlDeviceGetProcessUtilization": pynvml.c_nvmlProcessUtilizationSample_t,
}
#: Members of the union in a field's value, by its type.
MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


def question(function, arguments):
    """Return how a recording spells a question: the function, and what it asks for, if anything."""
    if function == "nvmlDeviceGetProcessUtilization":
        arguments = ()  # how far the last answer went
    words = ["v2" if word == pynvml.nvmlMemory_v2 else str(word) for word in arguments]
    return f"{function}({', '.join(words)})" if words else function


class ScriptedNvml:
    """Answers as nvidia-ml-py does, for the GPUs of a recording, until the test changes them.

    gpus: the recording's answers, to be changed at will. lost: indexes of GPUs that answer
    GPU_IS_LOST. absent: indexes that opening NVML does not find. init_error: what opening answers.
    hang: while it is set to an Event, every question waits for it. mistakes: what a real NVML
    would have crashed at.
    """

    def __init__(self, name):
        recording = yaml.safe_load((FIXTURES / name).read_text())
        self.origin = recording["origin"]
        self.system = recording["system"]
        self.gpus = recording["gpus"]
        self.lost = set()
        self.absent = set()
        self.init_error = None
        self.hang = None
        self.mistakes = []
        self.inits = 0
        self.references = 0
        self.samples = 0
        self.event_sets = 0
        self.waits = 0
        self.asked = []
        self._handles = {}
        self._events = []
        self._waiting = 0
        self._news = threading.Condition()

    def __getattr__(self, name):
        """Give nvidia-ml-py's constants and classes as they are, its functions by the script."""
        if not hasattr(pynvml, name):  # the collector would take it for an old nvidia-ml-py
            self.mistakes.append(f"nvidia-ml-py has no {name}")
        real = getattr(pynvml, name)
        if not name.startswith("nvml") or not callable(real) or isinstance(real, type):
            return real
        return lambda *arguments: self._answer(name, *arguments)

    def event(self, index, xid):
        """Let the driver report an XID error of a GPU."""
        with self._news:
            self._events.append((index, xid))
            self._news.notify_all()

    def handle(self, gpu):
        """Return the handle of a GPU or MIG device in this opening of NVML."""
        address = 0x1000 * self.inits + 0x10 * (len(self._handles) + 1)
        for known, other in self._handles.items():
            if other is gpu:
                address = known
        self._handles[address] = gpu
        return ctypes.cast(ctypes.c_void_p(address), pynvml.c_nvmlDevice_t)

    def nvmlInit(self):
        self._pause()
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)
        self.inits += 1
        self.references += 1

    def nvmlShutdown(self):
        if self._waiting:
            self.mistakes.append("NVML was shut down while a thread waited in it")
        if self.samples or self.event_sets:
            self.mistakes.append(f"left behind: {self.samples} samples, {self.event_sets} sets")
        self.references -= 1
        self._handles.clear()

    def nvmlSystemGetDriverVersion(self):
        return self.system["nvmlSystemGetDriverVersion"]

    def nvmlSystemGetCudaDriverVersion(self):
        return self.system["nvmlSystemGetCudaDriverVersion"]

    def nvmlDeviceGetCount(self):
        self._pause()
        return len(self.gpus) - len(self.absent)

    def nvmlDeviceGetHandleByIndex(self, index):
        self._pause()
        here = [gpu for number, gpu in enumerate(self.gpus) if number not in self.absent]
        if self.gpus.index(here[index]) in self.lost:
            raise pynvml.NVMLError(LOST)
        if "error" in here[index]:
            raise pynvml.NVMLError(here[index]["error"])
        return self.handle(here[index])

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, slot):
        gpu = self._gpu(handle)
        if slot not in gpu["mig"]:
            raise pynvml.NVMLError(NOT_FOUND)
        return self.handle(gpu["mig"][slot])

    def nvmlDeviceGetFieldValues(self, handle, numbers):
        fields = self._gpu(handle).get("fields", {})
        values = (pynvml.c_nvmlFieldValue_t * len(numbers))()
        for value, number in zip(values, numbers, strict=True):
            answer = fields.get(number, {"error": NOT_SUPPORTED})
            value.fieldId = number
            value.nvmlReturn = answer.get("error", 0)
            if "value" in answer:
                value.valueType = answer["type"]
                setattr(value.value, MEMBERS[answer["type"]], answer["value"])
        return values

    def nvmlEventSetCreate(self):
        self.event_sets += 1
        return pynvml.c_nvmlEventSet_t()

    def nvmlEventSetFree(self, _events):
        if not self.references:
            self.mistakes.append("an event set was freed after the shutdown")
        self.event_sets -= 1

    def nvmlDeviceRegisterEvents(self, handle, _types, _events):
        if not self._gpu(handle).get("events", True):
            raise pynvml.NVMLError(NOT_SUPPORTED)

    def nvmlEventSetWait_v2(self, _events, milliseconds):
        self.waits += 1
        if not self.references:
            self.mistakes.append("waited for events after the shutdown")
        deadline = time.monotonic() + milliseconds / 1000
        with self._news:
            self._waiting += 1
            try:
                while not self._events:
                    if not self._news.wait(deadline - time.monotonic()):
                        raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
                index, xid = self._events.pop(0)
            finally:
                self._waiting -= 1
        if xid < 0:  # the wait itself fails
            raise pynvml.NVMLError(-xid)
        event = pynvml.c_nvmlEventData_t()
        event.device = self.handle(self.gpus[index])
        event.eventType = pynvml.nvmlEventTypeXidCriticalError
        event.eventData = xid
        return event

    def nvmlGpmSampleAlloc(self):
        self.samples += 1
        return ctypes.cast(ctypes.c_void_p(self.samples), pynvml.c_nvmlGpmSample_t)

    def nvmlGpmSampleFree(self, _sample):
        if not self.references:
            self.mistakes.append("a sample was freed after the shutdown")
        self.samples -= 1

    def nvmlGpmMigSampleGet(self, handle, instance, sample):
        self._gpm = self._gpu(handle)["gpm"][instance]
        return sample

    def nvmlGpmMetricsGet(self, request):
        for slot in range(request.numMetrics):
            answer = self._gpm.get(request.metrics[slot].metricId, {"error": NOT_SUPPORTED})
            if isinstance(answer, dict):
                request.metrics[slot].nvmlReturn = answer["error"]
            else:
                request.metrics[slot].value = answer
        return request

    def _pause(self):
        if self.hang is not None:
            self.hang.wait(60)

    def _gpu(self, handle):
        self._pause()
        address = ctypes.cast(handle, ctypes.c_void_p).value
        if address not in self._handles:
            self.mistakes.append("a handle was used after the shutdown")
            raise pynvml.NVMLError(UNINITIALIZED)
        gpu = self._handles[address]
        if any(gpu is self.gpus[index] for index in self.lost):
            raise pynvml.NVMLError(LOST)
        return gpu

    def _answer(self, function, handle, *arguments):
        fills = [word for word in arguments if hasattr(word, "_obj")]
        asked = question(function, [word for word in arguments if word not in fills])
        self.asked.append(asked)
        answer = self._gpu(handle).get(asked, {"error": NOT_SUPPORTED})
        if isinstance(answer, dict) and "error" in answer:
            raise pynvml.NVMLError(answer["error"])
        if fills:
            _fill(fills[0]._obj, answer)
            return pynvml.NVML_SUCCESS
        if asked == "nvmlDeviceGetComputeRunningProcesses":
            return [pynvml.nvmlFriendlyObject(process) for process in answer]
        if asked == "nvmlDeviceGetProcessUtilization":
            if not answer:
                raise pynvml.NVMLError(NOT_FOUND)
            return [_fill(STRUCTURES[asked](), sample) for sample in answer]
        return _fill(STRUCTURES[asked](), answer) if asked in STRUCTURES else answer


def _fill(structure, values):
    for name, value in values.items():
        setattr(structure, name, value.encode() if isinstance(value, str) else value)
    return structure
