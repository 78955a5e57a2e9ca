"""Reading the kernel's small text files at the price of the system calls."""

import os
from collections.abc import Iterator

_CHUNK = 65536


def read(path: str) -> str:
    """Return the whole text of a file; bytes that are not UTF-8 become U+FFFD.

    Raises OSError as open(2) and read(2) do.
    """
    # A Python file object costs twice the system calls: fstat, lseek, a buffer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, _CHUNK)
        # The kernel hands out long files a page at a time; only an empty read is the end.
        while more := os.read(descriptor, _CHUNK):
            text += more
    finally:
        os.close(descriptor)
    return text.decode("utf-8", "replace")


def read_value(path: str) -> str:
    """Return the one value of a /sys attribute, without its line end.

    An attribute arrives in a single read, at most a page. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096).decode("utf-8", "replace").strip()
    finally:
        os.close(descriptor)


def fields(path: str) -> Iterator[list[str]]:
    """Yield the blank-separated fields of each line that is not empty. Raises OSError."""
    for line in read(path).splitlines():
        if parts := line.split():
            yield parts
