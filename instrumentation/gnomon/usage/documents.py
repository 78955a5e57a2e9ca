"""Reading back what pieces of work left in their files, whoever wrote them."""

from __future__ import annotations

import json
import math
import os
import unicodedata
from dataclasses import dataclass
from typing import Any

from gnomon.usage.files import SUFFIX
from gnomon.usage.piece import KEYS

#: Most bytes that such a file is read of; ours have less than a thousand.
LIMIT = 1 << 20

#: What ``Own.as_dict`` gives.
OWN_KEYS = ("cpu_seconds", "cpu_share_ratio", "ram_added_mb", "concurrent", "concurrent_avg")


class Unreadable(Exception):  # noqa: N818  # it says what the file is
    """A file that does not hold the numbers of a piece of work."""


@dataclass(frozen=True, slots=True)
class Document:
    """What one file says.

    file_id: from the file, else from its name. name: of the work, empty if the file has none, as
    those of the transcription system. numbers: the eight, None where unknown. own: what
    ``Usage.own`` was, likewise.
    """

    file_id: str
    name: str
    finished_at: str
    error_type: str
    numbers: dict[str, float | None]
    own: dict[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        return {
            "file_id": self.file_id,
            "name": self.name or None,
            "finished_at": self.finished_at or None,
            "error_type": self.error_type or None,
            **self.numbers,
            "own": dict(self.own),
        }


def load(path: str) -> Document:
    """Return what a file says. Raises Unreadable with the reason, and OSError."""
    with open(path, "rb") as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise Unreadable("it is too large")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(content, dict) or not any(key in content for key in KEYS):
        raise Unreadable(f"it has none of the numbers, such as {KEYS[-1]}")
    own = content.get("own")
    file_id = os.path.basename(path).removesuffix(SUFFIX)
    return Document(
        file_id=_text(content.get("file_id")) or _printable(file_id),
        name=_text(content.get("name")),
        finished_at=_text(content.get("finished_at")),
        error_type=_text(content.get("error_type")),
        numbers={key: _number(content.get(key), key) for key in KEYS},
        own={
            key: _number(own.get(key), key) if isinstance(own, dict) else None for key in OWN_KEYS
        },
    )


def paths(folder: str) -> list[str]:
    """Return the files of a folder that pieces of work left, by name. Raises OSError."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    return [os.path.join(folder, name) for name in names if not name.startswith(".")]


def _number(value: Any, key: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unreadable(f"{key} is no number")
    return value


def _text(value: Any) -> str:
    return _printable(value) if isinstance(value, str) else ""


def _printable(text: str) -> str:
    """Return a text without what a terminal would take for a command."""
    return "".join("\ufffd" if unicodedata.category(c)[0] == "C" else c for c in text)
