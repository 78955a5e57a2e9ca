"""gnomon-exporter with collectors that hang, flood and fail, to be run as a program.

With a mount that hangs too, as one of a dead NFS server does, beside one that answers.
"""

import os
import sys
import tempfile
from pathlib import Path

from gnomon_exporter.__main__ import main
from gnomon_exporter.collectors import COLLECTORS
from gnomon_exporter.collectors.filesystem import FilesystemCollector
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.registry import Entry


class Hangs:
    """Never answers: reads from a pipe that nobody writes to, as from a driver that is gone."""

    def __init__(self, _paths):
        self._end, self._held = os.pipe()

    def collect(self):
        self.wait()
        yield GaugeMetricFamily("hangs", "Hangs.", 1)

    def wait(self):
        """Sit in a system call for ever."""
        os.read(self._end, 1)


class StuckMount(FilesystemCollector):
    """Two mounts, of which /stuck never answers."""

    def __init__(self, paths):
        self._hangs = Hangs(paths)
        proc = Path(tempfile.mkdtemp())
        (proc / "1").mkdir()
        (proc / "1/mountinfo").write_text(
            "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / /stuck rw - nfs server:/ rw\n"
        )
        super().__init__(Paths(procfs=str(proc)), self._ask, mount_timeout=0.2)

    def _ask(self, path):
        if path == b"/stuck":
            self._hangs.wait()
        return os.statvfs("/")


class Floods:
    """Yields far more series than fit, with hostile names."""

    def __init__(self, _paths):
        pass

    def collect(self):
        family = GaugeMetricFamily("floods", "Floods.", labels=["name"])
        for number in range(3_000):
            family.add_metric([f'"\n\\{number}'], number)
        yield family


class Fails:
    """Always fails."""

    def __init__(self, _paths):
        pass

    def collect(self):
        raise RuntimeError("as always")


if __name__ == "__main__":
    hostile = {
        "filesystem": Entry(StuckMount, threaded=True),
        "fails": Entry(Fails, node=False),
        "floods": Entry(Floods, node=False, threaded=True),
        "hangs": Entry(Hangs, node=False, threaded=True),
    }
    sys.exit(main(registry=COLLECTORS | hostile))
