"""nvidia-ml-py over a real shared library: loaded, asked, waited in, replaced by an upgrade."""

import os
import shutil
import subprocess
import sys

import pytest

from scripted_nvml import FIXTURES

_START = """
import ctypes, os, time
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.nvml import Driver, load
from gnomon_exporter.paths import Paths

def upgrade(version):
    os.unlink(LIBRARY)
    os.symlink(f"libnvidia-ml.so.{version}", LIBRARY)
    ctypes.CDLL(None).setenv(b"STUB_KERNEL", str(version).encode(), 1)

driver = Driver(load, lambda: True)
collector = GpuCollector(Paths(), _driver=driver)
"""


@pytest.fixture
def run(tmp_path):
    """Return the function that runs a program where versions 1 and 2 of a library are."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed: a library cannot be built")
    for version in (1, 2):
        library = tmp_path / f"libnvidia-ml.so.{version}.0"
        words = [compiler, "-shared", "-fPIC", f"-DVERSION={version}", "-o", str(library)]
        subprocess.run([*words, str(FIXTURES / "stub.c")], check=True)
    link = tmp_path / "libnvidia-ml.so.1"
    link.symlink_to("libnvidia-ml.so.1.0")
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}

    def program(code):
        code = f"LIBRARY = {str(link)!r}\n{_START}\n{code}"
        words = [sys.executable, "-c", code]
        return subprocess.run(
            words, env=environment, check=True, capture_output=True, text=True
        ).stdout.splitlines()

    return program


def test_library_is_read(run):
    """Structures, numbers and the handle of an event arrive as the library meant them."""
    lines = run(
        "list(collector.collect())\n"
        "page = ''\n"
        "deadline = time.monotonic() + 5\n"
        "while 'xid_last' not in page and time.monotonic() < deadline:\n"
        "    page = render(list(collector.collect())).decode()\n"
        "print(page)\n"
    )
    for line in (
        'nvidia_smi_memory_used_bytes{uuid="0"} 40',
        'nvidia_smi_memory_reserved_bytes{uuid="1"} 10',
        'nvidia_smi_temperature_gpu{uuid="1"} 41',
        'nvidia_smi_xid_errors_total{uuid="0",xid="79"} 0',
        'nvidia_smi_xid_errors_total{uuid="1",xid="79"} 1',
    ):
        assert line in lines
    assert not any("power" in line for line in lines)  # the library has no such function


def test_library_is_replaced_by_an_upgrade(run):
    """After an upgrade under the running process, the new library is used, without a restart."""
    lines = run(
        "print(driver.gpus()[0].driver)\n"
        "driver.close()\n"
        "upgrade('2.0')\n"
        "print(driver.gpus()[0].driver)\n"
    )
    assert lines == ["591.1", "592.1"]
