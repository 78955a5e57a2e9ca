"""Where the host's file systems are seen from here."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paths:
    """The mount points of the observed host's root, proc and sys.

    On the host itself the defaults are right. In a container that has the host's ``/`` at
    ``/host``, ``Paths("/host")`` reads ``/host/proc`` and ``/host/sys``.
    """

    rootfs: str = "/"
    procfs: str = ""
    sysfs: str = ""

    def root(self, path: str) -> str:
        """Return where the host's absolute ``path`` lies."""
        return path if self.rootfs == "/" else self.rootfs.rstrip("/") + path

    def proc(self, path: str) -> str:
        """Return the path of a file below the host's /proc."""
        return f"{self.procfs or self.root('/proc')}/{path}"

    def net(self, path: str) -> str:
        """Return the path of a file below the host's /proc/net, which each process has its own of.

        That of pid 1 is the host's, also from inside a container. Where pid 1 is hidden from this
        user (``hidepid``), it is this process's own, so ask once and keep the answer.
        """
        pid = "1" if os.access(self.proc("1/net/dev"), os.R_OK) else "self"
        return self.proc(f"{pid}/net/{path}")

    def sys(self, path: str) -> str:
        """Return the path of a file below the host's /sys."""
        return f"{self.sysfs or self.root('/sys')}/{path}"
