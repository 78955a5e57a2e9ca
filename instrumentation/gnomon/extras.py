"""What an extra brings is imported where it is used; where it is missing, say which and how."""

from importlib import import_module
from typing import Any


def require(module: str, extra: str) -> Any:
    """Import a module that an extra of this distribution brings.

    Raises RuntimeError with the extra's name if it, or something that it needs, is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise RuntimeError(
            f"{module} is missing ({error}). It comes with gnomon's extra {extra!r}: install gnomon"
            f" again from where you have it, with that extra, as in `pip install '.[{extra}]'` in"
            " its source folder."
        ) from error
