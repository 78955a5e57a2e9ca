"""What this process uses of GPUs, by a scripted driver."""

import asyncio
import os
import threading
import time
from functools import partial

import pynvml
import pytest

import gnomon
from gnomon.usage import gpu
from gnomon.usage import sampler as sampling
from gnomon.usage.gpu import Gpus
from scripted_nvml import ScriptedNvml

MIB = 2**20
KEYS = ("gpu_vram_mb_current", "gpu_vram_mb_peak", "gpu_percent")


@pytest.fixture
def nvml(monkeypatch):
    """Two GPUs; this process holds 2 GiB on the first, which is in use by 57 %."""
    monkeypatch.setattr(gpu, "DEADLINE", 20.0)  # a slow machine is not a driver that hangs
    nvml = ScriptedNvml("two-gpus.yml")
    nvml.gpus[0]["nvmlDeviceGetComputeRunningProcesses"][0]["pid"] = os.getpid()
    nvml.gpus[1]["nvmlDeviceGetComputeRunningProcesses"] = []
    yield nvml
    if nvml.hang is not None:
        nvml.hang.set()
    assert not nvml.mistakes


@pytest.fixture
def host(tmp_path):
    """A link that says that this process is in the host's PID namespace."""
    link = tmp_path / "pid"
    link.symlink_to("pid:[4026531836]")
    return link


@pytest.fixture
def machine(nvml, host, monkeypatch):
    """A machine with these GPUs."""

    def load():
        return nvml

    gpus = partial(Gpus, load=load, installed=lambda: True, namespace=str(host))
    own = sampling.Sampler(gpus)
    monkeypatch.setattr(sampling, "_sampler", own)
    return own


def measured(**options):
    """Return the three GPU numbers of a short piece of work."""
    with gnomon.measure("gpu", **options) as usage:
        pass
    numbers = usage.as_dict()
    return tuple(numbers[key] for key in KEYS)


@pytest.mark.usefixtures("machine")
def test_memory_and_use_of_this_process():
    """Its memory by its process number, and the use of the GPUs that it holds memory on."""
    assert measured() == (2048, 2048, 57)


@pytest.mark.usefixtures("machine")
def test_on_several_gpus(nvml):
    """Memory is the sum of all, use the mean of those that it is on."""
    nvml.gpus[1]["nvmlDeviceGetComputeRunningProcesses"] = [
        {
            "pid": os.getpid(),
            "usedGpuMemory": 1024 * MIB,
            "gpuInstanceId": 0,
            "computeInstanceId": 0,
        }
    ]
    nvml.gpus[1]["nvmlDeviceGetUtilizationRates"] = {"gpu": 3, "memory": 0}
    assert measured() == (3072, 3072, 30)


@pytest.mark.usefixtures("machine")
def test_process_that_is_on_no_gpu(nvml):
    """It holds nothing and uses nothing of them: that is known, and is 0."""
    nvml.gpus[0]["nvmlDeviceGetComputeRunningProcesses"] = []
    assert measured() == (0, 0, 0)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("namespace", ["pid:[4026532281]", None])
def test_other_pid_namespace(host, namespace):
    """The driver's numbers mean other processes there: none is matched by chance."""
    host.unlink()
    if namespace is not None:
        host.symlink_to(namespace)
    assert measured() == (None, None, 28.5)  # the mean use of both GPUs


@pytest.mark.usefixtures("machine")
def test_memory_that_the_driver_does_not_tell(nvml):
    """As on Windows, and for some in containers: unknown is not 0."""
    nvml.gpus[0]["nvmlDeviceGetComputeRunningProcesses"][0]["usedGpuMemory"] = None
    assert measured() == (None, None, 28.5)
    nvml.gpus[0]["nvmlDeviceGetComputeRunningProcesses"] = {
        "error": pynvml.NVML_ERROR_NO_PERMISSION
    }
    nvml.gpus[0]["nvmlDeviceGetUtilizationRates"] = {"error": pynvml.NVML_ERROR_NOT_SUPPORTED}
    assert measured() == (None, None, None)


@pytest.mark.usefixtures("machine")
def test_peak_and_mean(nvml, until):
    """Between beginning and end the driver is asked every interval."""
    processes = nvml.gpus[0]["nvmlDeviceGetComputeRunningProcesses"]
    with gnomon.measure("gpu", interval=0.02) as usage:
        until(lambda: usage.as_dict()["gpu_percent"] == 57)
        processes[0]["usedGpuMemory"] = 4096 * MIB
        nvml.gpus[0]["nvmlDeviceGetUtilizationRates"] = {"gpu": 100, "memory": 0}
        until(lambda: usage.as_dict()["gpu_vram_mb_peak"] == 4096)
        processes[0]["usedGpuMemory"] = 1024 * MIB
    numbers = usage.as_dict()
    assert numbers["gpu_vram_mb_current"] == 1024
    assert numbers["gpu_vram_mb_peak"] == 4096
    assert 57 < numbers["gpu_percent"] < 100


@pytest.mark.usefixtures("machine")
def test_gpu_that_is_lost(nvml):
    """The others are still told of."""
    nvml.gpus[1]["nvmlDeviceGetComputeRunningProcesses"] = [
        {"pid": os.getpid(), "usedGpuMemory": 512 * MIB, "gpuInstanceId": 0xFFFFFFFF}
    ]
    nvml.lost.add(0)
    assert measured() == (512, 512, 0)


@pytest.mark.usefixtures("machine")
def test_gpu_absent_is_for_machines_without_one(nvml):
    """Where there is a GPU that does not tell, a zero is no answer either."""
    nvml.gpus[0]["nvmlDeviceGetComputeRunningProcesses"][0]["usedGpuMemory"] = None
    assert measured(gpu_absent=0)[:2] == (None, None)


@pytest.mark.parametrize(
    ("error", "zeros"),
    [(pynvml.NVML_ERROR_DRIVER_NOT_LOADED, 0), (pynvml.NVML_ERROR_UNKNOWN, None)],
)
@pytest.mark.usefixtures("machine")
def test_driver_that_cannot_be_opened(nvml, error, zeros):
    """Without a driver there is no GPU; with a broken one nobody knows."""
    nvml.init_error = error
    assert measured() == (None, None, None)
    assert measured(gpu_absent=0) == (zeros, zeros, zeros)


def test_driver_that_hangs(nvml, machine, monkeypatch, until):
    """Nobody waits longer than the deadline, one thread hangs, and it all comes back."""
    before = set(threading.enumerate())
    assert measured() == (2048, 2048, 57)
    monkeypatch.setattr(gpu, "DEADLINE", 0.1)
    nvml.hang = threading.Event()
    began = time.monotonic()
    for _ in range(20):
        assert measured()[0] in (None, 2048)
    took = time.monotonic() - began
    assert took < 20 * 0.1 + 10  # the first waits for the deadline, the others not at all
    assert machine.gpus.settled(machine.gpus.ask())
    began = set(threading.enumerate()) - before
    assert [thread.name for thread in began if thread.name == "gnomon gpu"] == ["gnomon gpu"]

    async def at_once():
        async def one():
            async with gnomon.measure("gpu"):
                await asyncio.sleep(0)

        await asyncio.gather(*(one() for _ in range(20)))

    asyncio.run(asyncio.wait_for(at_once(), 30))
    nvml.hang.set()
    nvml.hang = None
    monkeypatch.setattr(gpu, "DEADLINE", 20.0)
    until(lambda: measured() == (2048, 2048, 57))


@pytest.mark.usefixtures("machine")
def test_driver_that_never_answered(nvml, monkeypatch):
    """That there is no GPU was not said: nobody is told a zero."""
    monkeypatch.setattr(gpu, "DEADLINE", 0.1)
    nvml.hang = threading.Event()
    assert measured(gpu_absent=0) == (None, None, None)


@pytest.mark.usefixtures("machine")
def test_an_event_loop_goes_on_meanwhile(nvml, monkeypatch):
    """While one waits for a driver that hangs, others have their turns."""
    assert measured()[2] == 57
    monkeypatch.setattr(gpu, "DEADLINE", 1.0)
    nvml.hang = threading.Event()
    turns = []

    async def others():
        while True:
            turns.append(time.monotonic())
            await asyncio.sleep(0)

    async def run():
        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        before = len(turns)
        async with gnomon.measure("gpu"):
            pass
        task.cancel()
        return len(turns) - before

    assert asyncio.run(run()) > 3


@pytest.mark.usefixtures("machine")
def test_cancelled_while_waiting(nvml, shown):
    """A cancellation that comes during the wait ends it, and the work is counted all the same."""
    nvml.hang = threading.Event()

    async def work():
        async with gnomon.measure("cancelled"):
            pass

    async def run():
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(run(), 15))
    assert shown("gnomon_usage_duration_seconds_count", name="cancelled") == 1
    assert shown("gnomon_usage_active", name="cancelled") == 0


def test_no_thread_where_there_is_no_driver(nvml, host, monkeypatch):
    """Three looks at files tell that there is none."""
    own = sampling.Sampler(
        partial(Gpus, load=lambda: nvml, installed=lambda: False, namespace=str(host))
    )
    monkeypatch.setattr(sampling, "_sampler", own)
    assert measured() == (None, None, None)
    assert own.gpus._thread is None
    assert nvml.inits == 0


def test_the_thread_ends(machine, monkeypatch, until):
    """A while after the last question it is gone, and comes back for the next."""
    monkeypatch.setattr(gpu, "IDLE", 0.05)
    assert measured() == (2048, 2048, 57)
    until(lambda: machine.gpus._thread is None)
    assert measured() == (2048, 2048, 57)
