"""The file that a piece of work leaves: ``{file_id}.performance.json``, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.usage.piece import Usage

#: What comes after the file's id.
SUFFIX = ".performance.json"

#: Longest id in bytes: file systems take names of 255, and the temporary one is longer.
LONGEST = 180

#: Everything but letters and digits of any script, ``_``, ``.`` and ``-``.
_FOREIGN = re.compile(r"[^\w.-]")


def safe(file_id: str) -> str:
    """Return an id as a file's name can hold it, whoever chose it.

    Letters, digits, ``_``, ``-`` and inner dots stay; everything else becomes ``_``. An id that
    had to be changed ends in a hash of what it was, so that no two ids share a file.
    """
    name = _FOREIGN.sub("_", file_id).lstrip(".")
    # Lone surrogates, which no file name has in UTF-8, are not \w either.
    while len(name.encode()) > LONGEST:
        name = name[: max(1, LONGEST * len(name) // len(name.encode()))][:-1]
    if name and name == file_id:
        return name
    digest = hashlib.sha256(file_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{name}-{digest}" if name else digest


def content(usage: Usage, error: str | None) -> dict[str, Any]:
    """Return what is written: the eight numbers, what was its own, and which work it was."""
    return {
        "file_id": usage.file_id,
        "name": usage.name,
        "finished_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "error_type": error,
        **usage.as_dict(),
        "own": usage.own.as_dict(),
    }


def write(folder: str, file_id: str, document: dict[str, Any]) -> str:
    """Write a document of this id into a folder, which is made if it is not there.

    Returns its path. A reader sees the whole file or the one before it. Raises OSError, and
    leaves nothing behind then.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, safe(file_id) + SUFFIX)
    unfinished = os.path.join(folder, f".{uuid.uuid4().hex}.performance.tmp")
    text = json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"
    try:
        # Exclusively: what lies there under a guessed name, such as a link, is not written to.
        with open(unfinished, "xb") as file:
            file.write(text)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    return path
