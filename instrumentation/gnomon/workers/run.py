"""Which run a worker belongs to: the directory that it shares with its peers."""

import contextlib
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Mapping


class Alone(Exception):  # noqa: N818  # a finding, not a failure
    """This process shares its listening socket with nobody."""


def directory(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the run's directory, made if need be; None while this process does not listen.

    GNOMON_RUN_DIR names it; else it is known by the listening socket that this process shares
    with the one that has started it. name: tells several registries of one process apart.

    Raises Alone for a process that is, OSError if the directory cannot be made or is another's.
    """
    if given := environ.get("GNOMON_RUN_DIR"):
        return _made(os.path.join(given, name))
    shared = _shared_socket()
    if shared is None:
        return None
    # Inodes of sockets are counted anew after a boot, and in each network namespace.
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read(8)
    space = os.stat("/proc/self/ns/net").st_ino
    return own(f"{boot}-{space}-{shared}-{name}", environ)


def own(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return this user's directory of a name, made if need be. Raises OSError."""
    base = os.path.join(
        environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"gnomon-{os.getuid()}"
    )
    return _made(os.path.join(_made(base), name))


def _made(path: str) -> str:
    """Make a directory that is ours alone."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path} is not this user's directory")
    return path


def _shared_socket() -> int | None:
    """Return the inode of the listening socket that is the parent's too, None without any."""
    listening = _listening()
    if not listening:
        return None
    try:
        theirs = _sockets(os.getppid()).values()
    except OSError:
        # The parent is another user's, as gunicorn's that has dropped its workers' privileges.
        if "gunicorn" in sys.modules:
            return min(listening)
        raise Alone from None
    shared = listening.intersection(theirs)
    if not shared:
        raise Alone
    return min(shared)


def _listening() -> set[int]:
    """Return the inodes of this process's listening sockets."""
    found = set()
    with contextlib.suppress(OSError):
        for number, inode in _sockets("self").items():
            with contextlib.suppress(OSError):
                sock = socket.socket(fileno=os.dup(number))
                with sock:
                    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.add(inode)
    return found


def _sockets(pid: int | str) -> dict[int, int]:
    """Return a process's sockets: inodes by descriptor. Raises OSError without /proc or rights."""
    found = {}
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                found[int(name)] = int(target[8:-1])
    return found
