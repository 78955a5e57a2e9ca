"""Whether a TCP port of loopback is free, and who holds it where /proc tells."""

import os
import re
import socket

from gnomon_stack.parts import HOST

_LISTEN = "0A"  # the kernel's state number, as /proc/net/tcp prints it


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        # As servers do: connections that linger after a server's end do not hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def holder(port: int, procfs: str = "/proc") -> str | None:
    """Return ``"NAME (pid N)"`` of the process that listens on ``port``.

    None where that cannot be known: another user's process, or a system without /proc.
    """
    inodes = _listening(port, procfs)
    if not inodes:
        return None
    for pid in filter(str.isdecimal, os.listdir(procfs)):
        try:
            links = [
                os.readlink(f"{procfs}/{pid}/fd/{number}")
                for number in os.listdir(f"{procfs}/{pid}/fd")
            ]
            with open(f"{procfs}/{pid}/comm") as file:
                name = file.read().strip()
        except OSError:
            continue
        if inodes.intersection(links):
            return f"{name} (pid {pid})"
    return None


def _listening(port: int, procfs: str) -> set[str]:
    """Return the sockets that listen on ``port``, as /proc/PID/fd names them."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            with open(f"{procfs}/net/{table}") as file:
                rows = file.readlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN and re.search(rf":{port:04X}$", fields[1]):
                found.add(f"socket:[{fields[9]}]")
    return found
