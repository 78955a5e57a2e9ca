"""The resident memory of this process."""

import os

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident(path: str = "/proc/self/statm") -> int | None:
    """Return the process's resident memory in bytes, None where the kernel does not tell."""
    try:
        with open(path, "rb", buffering=0) as file:
            return int(file.read(256).split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return None
