"""gnomon-exporter beside a scripted NVML with two GPUs, to be run as a program by a benchmark."""

import sys

from gnomon_exporter.__main__ import main
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.nvml import Driver
from gnomon_exporter.paths import Paths
from gnomon_exporter.registry import Entry
from scripted_nvml import ScriptedNvml


class ScriptedGpus(GpuCollector):
    """The GPUs of a recording that was written by hand. Their answers cost Python's time."""

    def __init__(self, paths: Paths) -> None:
        nvml = ScriptedNvml("two-gpus.yml")
        super().__init__(paths, _driver=Driver(lambda: nvml, lambda: True))


if __name__ == "__main__":
    gpu = Entry(ScriptedGpus, threaded=True, node=False)
    sys.exit(main(registry=COLLECTORS | {"gpu": gpu}))
