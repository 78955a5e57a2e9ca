"""The configuration files that the servers read: the checked-in ones, unless a port was moved."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from gnomon_stack.parts import HOST, Part

_NOTE = "# Made by `make up` because a port was moved. Edit {source} instead.\n"


def with_ports(source: Path, ports: dict[Part, int]) -> Path:
    """Return a file like ``source`` in which every part's address has the port it has now.

    That is ``source`` itself where nothing was moved: what people edit is then what runs.
    Otherwise it is a copy in the same folder, so that relative paths in it stay true.
    """
    if all(port == part.default_port for part, port in ports.items()):
        return source
    moved = {part.default_port: f"{HOST}:{port}" for part, port in ports.items()}
    text = with_addresses(source.read_text(), moved)
    copy = source.with_name(f".moved.{source.name}")
    replace_file(copy, _NOTE.format(source=source.name) + text)
    return copy


def with_addresses(text: str, moved: Mapping[int, str]) -> str:
    """Return a configuration in which each port of loopback that is named there has moved.

    moved: host and port by the port that it had.
    """
    return re.sub(
        rf"(?<![\d.]){re.escape(HOST)}:(\d+)\b",
        lambda found: moved.get(int(found[1]), found[0]),
        text,
    )


def replace_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that no reader ever sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    os.replace(beside, path)
