"""Whether a TCP port of loopback is free, and who holds it where /proc tells."""

import os
import pwd
import socket
from contextlib import suppress

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


def free() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def holder(port: int, procfs: str = "/proc") -> str:
    """Return who listens on ``port``, as far as /proc tells this user.

    ``"NAME (pid N)"`` of a process of one's own (root sees all), else whose process it is.
    """
    sockets = _listening(port, procfs)
    for pid in filter(str.isdecimal, os.listdir(procfs) if sockets else []):
        if sockets.keys() & _open_files(f"{procfs}/{pid}/fd"):
            with suppress(OSError), open(f"{procfs}/{pid}/comm") as file:
                return f"{file.read().strip()} (pid {pid})"
    for uid in sockets.values():
        try:
            return f"a process of user {pwd.getpwuid(uid).pw_name}"
        except KeyError:
            return f"a process of user {uid}"
    return "another process"


def _open_files(folder: str) -> set[str]:
    """Return what a process has open; nothing where it is another user's, or has just ended."""
    found = set()
    with suppress(OSError):
        for number in os.listdir(folder):
            with suppress(OSError):
                found.add(os.readlink(f"{folder}/{number}"))
    return found


def _listening(port: int, procfs: str) -> dict[str, int]:
    """Return the sockets that listen on ``port``, as /proc/PID/fd names them, with their users."""
    found = {}
    for table in ("tcp", "tcp6"):
        try:
            with open(f"{procfs}/net/{table}") as file:
                rows = file.readlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}"):
                found[f"socket:[{fields[9]}]"] = int(fields[7])
    return found
