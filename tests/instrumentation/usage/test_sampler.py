"""The one thread that looks at the process for all that is measured."""

import json
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import gnomon
from gnomon.usage import readings


def threads():
    """Return the names of the sampling threads."""
    return [thread.name for thread in threading.enumerate() if thread.name == "gnomon usage"]


def test_one_thread_for_all_and_none_for_none(sampler, until):
    """It begins with the first piece of work and ends after the last."""
    until(lambda: not threads())
    with gnomon.measure("a", interval=0.02), gnomon.measure("b", interval=0.03) as usage:
        assert threads() == ["gnomon usage"]
        until(lambda: usage.samples._count > 4)
        assert threads() == ["gnomon usage"]
    until(lambda: not threads())
    assert sampler._thread is None
    assert not sampler._groups
    assert not sampler._due
    with gnomon.measure("a", interval=0.02) as usage:
        until(lambda: usage.samples._count > 2)


@pytest.mark.usefixtures("sampler")
def test_looks_are_shared(monkeypatch, until):
    """A hundred pieces of work with one interval are looked at once for all."""
    looks = []
    read = readings.read

    def counted():
        looks.append(threading.current_thread().name)
        return read()

    measures = [gnomon.measure("many", interval=0.05) for _ in range(100)]
    monkeypatch.setattr(readings, "read", counted)
    usages = [measure.__enter__() for measure in measures]
    until(lambda: min(usage.samples._count for usage in usages) >= 4)
    for measure in measures:
        measure.__exit__(None, None, None)
    own = looks.count("gnomon usage")
    assert own <= max(usage.samples._count for usage in usages)


@pytest.mark.usefixtures("sampler")
def test_a_sampler_that_fails_goes_on(monkeypatch, until):
    """One broken look is one look less."""
    read, broken = readings.read, []

    def fail():
        if threading.current_thread().name == "gnomon usage" and len(broken) < 3:
            broken.append(1)
            raise OSError("broken")
        return read()

    monkeypatch.setattr(readings, "read", fail)
    with gnomon.measure("goes on", interval=0.02) as usage:
        until(lambda: len(broken) == 3 and usage.samples._count > 2)


def test_after_a_fork():
    """A child has a sampler of its own, whatever was measured when it was made."""
    program = textwrap.dedent(
        """
        import json, os, time
        import gnomon
        with gnomon.measure("parent", interval=0.02) as parent:
            with gnomon.measure("also", interval=0.02):
                read, write = os.pipe()
                pid = os.fork()
                if not pid:
                    with gnomon.measure("child", interval=0.02) as usage:
                        held = b"x" * (32 << 20)
                        deadline = time.monotonic() + 20
                        while usage.samples._count < 4 and time.monotonic() < deadline:
                            time.sleep(0.01)
                    told = [usage.samples._count >= 4, usage.own.ram_added_mb, usage.own.concurrent]
                    os.write(write, json.dumps(told).encode())
                    os._exit(0)
                os.waitpid(pid, 0)
        print(os.read(read, 1000).decode())
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    looked, added, concurrent = json.loads(done.stdout)
    assert looked
    assert 27 < added < 37
    assert concurrent == 0


def test_an_interpreter_that_ends_does_not_wait():
    """Work that is still being measured does not keep a process."""
    program = """if True:
        import gnomon
        gnomon.measure("left", interval=3600).__enter__()
        print("end")
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_readings(monkeypatch):
    """What a look tells is the kernel's; what cannot be read is not there."""
    reading = readings.read()
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file)
    kib = int(status["VmRSS"].split()[0])
    assert abs(reading.resident - kib * 1024) < 8 * 2**20
    assert reading.highest >= reading.resident - 2**20
    assert reading.cpu <= sum(os.times()[:2]) + 0.1
    monkeypatch.setattr(readings, "resident", lambda: None)
    monkeypatch.setattr(readings, "_psutil", False)
    assert readings.read().resident is None
    with gnomon.measure("unreadable") as usage:
        pass
    assert usage.as_dict()["ram_mb_avg"] is None
    assert usage.own.ram_added_mb is None
    monkeypatch.setattr(readings, "_psutil", None)
    assert readings.read().resident > 2**20  # psutil tells where /proc does not
