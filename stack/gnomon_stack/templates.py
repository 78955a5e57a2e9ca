"""Alertmanager's templates, for systems on which a user may not make a mount namespace.

Debian's Alertmanager reads two files from an absolute path and does not start without them. Where
namespace.py cannot lay them there, root has to copy them. Only these files are copied: installing
the package would start a system service.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PLACE = "/usr/share/prometheus/alertmanager"


def in_place(unpacked: Path, place: str = PLACE) -> bool:
    """Whether every template of the unpacked package is at its absolute path."""
    return all((Path(place) / source.name).is_file() for source in _sources(unpacked))


def install_words(unpacked: Path, place: str = PLACE) -> list[str]:
    """Return the command that copies the templates, to be run by root."""
    return ["install", "-D", "-m", "644", "-t", place, *map(str, _sources(unpacked))]


def install(unpacked: Path, say: Callable[[str], None], place: str = PLACE) -> bool:
    """Copy the templates as root, by sudo where this is another user; return whether it worked.

    What root is needed for is said before sudo asks. Without a terminal sudo must not ask.
    """
    words = install_words(unpacked, place)
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            return False
        words = ["sudo", *([] if sys.stdin.isatty() else ["-n"]), *words]
        say(
            "Root is needed once, to copy Alertmanager's two templates: "
            f"it reads them from {place}. Nothing is installed or started. sudo asks:"
        )
    else:
        say(f"Copying Alertmanager's two templates to {place}, where it reads them.")
    say(f"  {' '.join(words)}")
    return subprocess.run(words, check=False).returncode == 0


def _sources(unpacked: Path) -> list[Path]:
    return sorted((unpacked / "usr/share/prometheus/alertmanager").glob("*.tmpl"))
