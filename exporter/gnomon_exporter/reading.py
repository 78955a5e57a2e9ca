"""Reading the kernel's small text files at the price of the system calls."""

import os
from collections.abc import Iterator

_CHUNK = 65536


def read(path: str) -> str:
    """Return the whole text of a file; bytes that are not UTF-8 become U+FFFD.

    Raises OSError as open(2) and read(2) do.
    """
    return read_bytes(path).decode("utf-8", "replace")


def read_bytes(path: str) -> bytes:
    """Return the whole content of a file. Raises OSError as open(2) and read(2) do."""
    # A Python file object costs twice the system calls: fstat, lseek, a buffer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, _CHUNK)
        # The kernel hands out long files a page at a time; only an empty read is the end.
        if more := os.read(descriptor, _CHUNK):
            # Pages are joined once: adding each to the last would copy a table of 20,000
            # sockets, which comes in hundreds of pages, as often.
            pages = [text]
            while more:
                pages.append(more)
                more = os.read(descriptor, _CHUNK)
            text = b"".join(pages)
    finally:
        os.close(descriptor)
    return text


def read_value(path: str, *, dir_fd: int | None = None) -> str:
    """Return the one value of a /sys attribute, without its line end.

    An attribute arrives in a single read, at most a page. Raises OSError.

    dir_fd: an open directory to which ``path`` is relative; for many attributes of one
    directory it saves a third, the way down from the root.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        return os.read(descriptor, 4096).decode("utf-8", "replace").strip()
    finally:
        os.close(descriptor)


def fields(path: str) -> Iterator[list[str]]:
    """Yield the blank-separated fields of each line that is not empty. Raises OSError."""
    for line in read(path).splitlines():
        if parts := line.split():
            yield parts


def attribute(path: str) -> str | None:
    """Return the value of a /sys attribute, None where it is absent or cannot be read."""
    try:
        return read_value(path)
    except OSError:
        return None


def attribute_int(path: str) -> int | None:
    """Return the whole number in a /sys attribute, None where there is none to be read."""
    try:
        return int(read_value(path))
    except (OSError, ValueError):
        return None


def numbers(text: str) -> Iterator[int]:
    """Yield the numbers of a list such as ``0-3,8``; what is no number gives none."""
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            yield from range(int(first), int(last or first) + 1)
