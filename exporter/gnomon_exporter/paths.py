"""Where the host's file systems are seen from here."""

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

    def sys(self, path: str) -> str:
        """Return the path of a file below the host's /sys."""
        return f"{self.sysfs or self.root('/sys')}/{path}"
