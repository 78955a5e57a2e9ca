"""gnomon-exporter on scripted GPUs that a test takes away and gives back, to be run as a program.

The directory in $GPU_SCRIPT holds the script. While there is a file ``lost``, the second of two
GPUs is off the bus. Until there is a file ``released``, another driver hangs at every question.
"""

import os
import sys
import time
from collections import deque
from pathlib import Path

from gnomon_exporter.__main__ import main
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.nvml import Driver
from gnomon_exporter.registry import Entry
from scripted_nvml import ScriptedNvml

SCRIPT = Path(os.environ["GPU_SCRIPT"])


class Leaving(ScriptedNvml):
    """Two GPUs; the second is lost while the script says so, with the event that tells of it."""

    def __init__(self, name):
        super().__init__(name)
        self.asked = deque(maxlen=1)  # else it remembers every question
        self.gpus[1]["events"] = True

    def _pause(self):
        is_lost = (SCRIPT / "lost").exists()
        if is_lost and not self.lost:
            self.event(1, 79)
        self.lost = {1} if is_lost else set()


class Hanging(ScriptedNvml):
    """Never answers until the script says so, as a driver that waits for dead hardware."""

    def _pause(self):
        while not (SCRIPT / "released").exists():
            time.sleep(0.1)


class TwoGpus(GpuCollector):
    """Looks for a lost GPU every second and a half instead of twice a minute."""

    def __init__(self, paths):
        nvml = Leaving("two-gpus.yml")
        driver = Driver(lambda: nvml, lambda: True, lambda: 20 * time.monotonic())
        super().__init__(paths, _driver=driver)


class HungGpu(GpuCollector):
    """The other driver's GPU."""

    def __init__(self, paths):
        super().__init__(paths, _driver=Driver(lambda: Hanging("mig.yml"), lambda: True))


if __name__ == "__main__":
    gpus = {
        "gpu": Entry(TwoGpus, threaded=True, node=False),
        "gpu_hung": Entry(HungGpu, threaded=True, node=False),
    }
    sys.exit(main(registry=COLLECTORS | gpus))
