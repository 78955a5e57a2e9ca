"""Finds the programs of the stack: on PATH, else among the packages unpacked under .stack/."""

import os
import shutil
from pathlib import Path

from gnomon_stack import namespace

# Where one program has several names, the project's own comes before the distribution's.
NAMES = {
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "node_exporter": ("node_exporter", "prometheus-node-exporter"),
}


def find(name: str, unpacked: Path) -> str | None:
    """Return the path of program ``name``, or None where neither PATH nor ``unpacked`` has it."""
    names = NAMES.get(name, (name,))
    folders = (os.environ.get("PATH", os.defpath), str(unpacked / "usr/bin"))
    for folder in folders:
        for candidate in names:
            if path := shutil.which(candidate, path=folder):
                return os.path.abspath(path)
    return None


def is_unpacked(path: str, unpacked: Path) -> bool:
    """Whether ``path`` lies in the unpacked packages, so that its /usr/share is not in place."""
    return Path(path).is_relative_to(unpacked.absolute())


def command(path: str, unpacked: Path, *, lead: tuple[str, ...] = ()) -> list[str]:
    """Return the words that start the program at ``path``, to be followed by its arguments.

    A merely unpacked program sees the files of its package under /usr/share, where this user may
    make a namespace. ``lead`` is put right before the program, inside that namespace.
    """
    words = [*lead, path]
    if is_unpacked(path, unpacked) and namespace.available():
        return namespace.with_share(unpacked / "usr/share", words)
    return words
