"""What this machine has: what `make up` looks for, and what it has no setting for."""

import os
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path

from gnomon_stack import discover

HOST = "127.0.0.1"

_PATIENCE_S = 0.5

#: PostgreSQL's request for TLS, to which every version says S or N at once; E is a refusal.
_TLS_PLEASE = struct.pack("!ii", 8, 80877103)

#: Where those who run containers listen.
_RUNTIMES = {
    "Docker": ("run/docker.sock", "var/run/docker.sock"),
    "Podman": ("run/podman/podman.sock",),
    "containerd": ("run/containerd/containerd.sock",),
    "CRI-O": ("run/crio/crio.sock",),
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where servers listen that nobody has moved."""

    known: discover.Ports = field(default_factory=discover.Ports)
    postgresql: int = 5432
    blackbox: int = 9115


@dataclass(frozen=True, slots=True)
class Machine:
    """What is here.

    servers: GPUs, and servers on their ports. runtimes: who runs containers. systemd: whether it
    runs the machine. postgresql, blackbox: whether one answers.
    """

    servers: discover.Found = field(default_factory=discover.Found)
    runtimes: tuple[str, ...] = ()
    systemd: bool = False
    postgresql: bool = False
    blackbox: bool = False


def look(ports: Ports, root: str = "/") -> Machine:
    """Return what is here, within a few seconds; nothing but loopback is asked.

    root: where /proc, /dev and /run are.
    """
    return Machine(
        servers=discover.look(ports.known, root),
        runtimes=tuple(
            name
            for name, places in _RUNTIMES.items()
            if any(Path(root, place).is_socket() for place in places)
        ),
        systemd=os.path.isdir(os.path.join(root, "run/systemd/system")),
        postgresql=_said(ports.postgresql, _TLS_PLEASE) in {b"S", b"N", b"E"},
        blackbox=_said(ports.blackbox, b"GET /-/healthy HTTP/1.0\r\n\r\n") == b"H",
    )


def _said(port: int, question: bytes) -> bytes:
    """Return the first byte that a server says to a question, b"" for none."""
    try:
        with socket.create_connection((HOST, port), timeout=_PATIENCE_S) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.sendall(question)
            return connection.recv(1)
    except OSError:
        return b""
