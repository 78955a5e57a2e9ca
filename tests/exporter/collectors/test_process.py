"""The process collector, on the process of the tests."""

import os
import time

import psutil

from gnomon_exporter.collectors.process import ProcessCollector
from gnomon_exporter.paths import Paths


def test_tells_what_this_process_uses():
    """Every value is that which psutil finds for the same process."""
    collector = ProcessCollector(Paths())
    list(collector.collect())
    me = psutil.Process()
    values = {family.name: family.samples[0].value for family in collector.collect()}
    times = me.cpu_times()
    assert abs(values["process_cpu_seconds_total"] - times.user - times.system) < 0.5
    memory = me.memory_info()
    assert abs(values["process_resident_memory_bytes"] - memory.rss) < 8 << 20
    assert abs(values["process_virtual_memory_bytes"] - memory.vms) < 64 << 20
    assert values["process_open_fds"] == me.num_fds() - 1  # psutil counts its own look
    assert values["process_max_fds"] == me.rlimit(psutil.RLIMIT_NOFILE)[0]
    assert abs(values["process_start_time_seconds"] - me.create_time()) < 2
    assert values["process_start_time_seconds"] < time.time()


def test_counts_a_file_that_is_opened():
    """One more open file is one more descriptor."""

    def _open():
        (value,) = (
            family.samples[0].value
            for family in ProcessCollector(Paths()).collect()
            if family.name == "process_open_fds"
        )
        return value

    before = _open()
    descriptor = os.open("/dev/null", os.O_RDONLY)
    assert _open() == before + 1
    os.close(descriptor)
