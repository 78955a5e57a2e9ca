"""Passwords: made once, never again, and kept where only `setup` looks."""

import secrets
from pathlib import Path

from gnomon_stack.compose.files import put
from gnomon_stack.trouble import Trouble

#: Whose passwords there are.
NAMES = ("grafana", "postgres", "rabbitmq", "redis")

#: Bytes of chance in one; written in hexadecimal, it needs no quoting in any file or URL.
_BYTES = 20


def ensure(folder: Path) -> dict[str, str]:
    """Return the passwords by name, with those made that were missing."""
    for name in NAMES:
        if not (folder / name).exists():
            put(folder / name, secrets.token_hex(_BYTES) + "\n")
    return {name: read(folder, name) for name in NAMES}


def read(folder: Path, name: str) -> str:
    """Return one password. Raise Trouble where there is none yet, or an empty file."""
    try:
        text = (folder / name).read_text().strip()
    except FileNotFoundError:
        raise Trouble(f"{name} has no password yet: `docker compose up` makes it") from None
    except OSError as error:
        raise Trouble(f"the password of {name} cannot be read: {error.strerror}") from None
    if not text:
        raise Trouble(f"the password of {name} is empty: restore the volume `secrets`")
    return text
