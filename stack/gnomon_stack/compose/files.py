"""Files for one service's user alone, in a volume that only that service mounts."""

import os
from pathlib import Path

from gnomon_stack.trouble import Trouble


def put(path: Path, text: str, user: int = 0, mode: int = 0o400) -> None:
    """Write a file that belongs to ``user``; at no moment is it half there or open to others.

    Raise Trouble where it cannot be written, or given away.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        give(beside, user, mode)
        os.replace(beside, path)
    except OSError as error:
        raise Trouble(f"{path} cannot be written: {error.strerror}") from None


def give(path: Path, user: int, mode: int) -> None:
    """Let a file or folder belong to ``user``. Raises OSError."""
    path.chmod(mode)  # before it is another's
    if path.stat().st_uid != user:
        os.chown(path, user, user)
