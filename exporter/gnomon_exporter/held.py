"""Attributes below /sys, held open from one scrape to the next."""

import errno
import os
import weakref
from collections.abc import Iterable


class HeldAttributes:
    """The attributes of one device's directory.

    The kernel writes an attribute anew whenever it is read from its start, and opening costs
    four times as much as reading. When the device goes, its attributes become unreadable, also
    when another one takes its name: the directory's inode tells the two apart.

    Names that the device lacks or that this user may not open are left out. Raises OSError when
    ``directory`` is none (any more) or the process is out of descriptors. They are closed by
    ``close()`` or with the last reference.
    """

    def __init__(self, directory: str, names: Iterable[str]) -> None:
        self._descriptors: dict[str, int] = {}
        self.close = weakref.finalize(self, _close, self._descriptors)
        # Each name is looked up from the directory, not all the way down from the root.
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                try:
                    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=parent)
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE):
                        raise
                    continue
                self._descriptors[name] = descriptor
        finally:
            os.close(parent)

    def read(self) -> dict[str, str]:
        """Return the text of each attribute that is readable now."""
        texts = {}
        for name, descriptor in self._descriptors.items():
            try:
                text = os.pread(descriptor, 4096, 0)
            except OSError:  # EINVAL while a network device is down, ENODEV once it has gone
                continue
            texts[name] = text.decode("utf-8", "replace").strip()
        return texts


def _close(descriptors: dict[str, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])
