"""What tells one call of a cached function from another: in memory, and as a text for Redis."""

import datetime as dt
import decimal
import enum
import hashlib
import pathlib
import uuid
from collections.abc import Callable, Hashable, Mapping
from typing import Any


class _Keywords:
    """Stands between positional and keyword arguments."""

    def __repr__(self) -> str:
        return "**"


_KEYWORDS = _Keywords()


def key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Return a call's key: its arguments, the keywords in order of their names.

    Arguments that are equal are one, as in a dictionary: 1, 1.0 and True. The same value given by
    position and by keyword is two.
    """
    if not kwargs:
        return args
    if len(kwargs) == 1:
        return (*args, _KEYWORDS, *kwargs.items())
    return (*args, _KEYWORDS, *sorted(kwargs.items()))


def function(found: Any) -> str:
    """Return the name of a function that is the same in each process."""
    named = found if hasattr(found, "__qualname__") else getattr(found, "func", type(found))
    return f"{named.__module__}.{getattr(named, '__qualname__', '')}"


#: Types whose repr is the same in each process, and tells their values apart.
_PLAIN: frozenset[type] = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, _Keywords),
        *(dt.date, dt.time, dt.datetime, dt.timedelta),
        *(decimal.Decimal, uuid.UUID, pathlib.PurePosixPath, pathlib.PosixPath),
    }
)
_SEQUENCES: Mapping[type, Callable[[list[str]], list[str]]] = {
    tuple: list,
    list: list,
    frozenset: sorted,
    set: sorted,
}


def digest(found: Hashable) -> str:
    """Return a key as a text that is the same in each process: 32 hexadecimal digits.

    Raises TypeError for what has no such text, an application's own objects for example.
    """
    return hashlib.blake2b(
        _text(found).encode("utf-8", "surrogatepass"), digest_size=16
    ).hexdigest()


def _text(part: Any) -> str:
    kind = type(part)
    if kind in _PLAIN:
        return f"{kind.__name__} {part!r}"
    if kind in _SEQUENCES:
        inner = _SEQUENCES[kind]([_text(one) for one in part])
        return f"{kind.__name__} [{','.join(inner)}]"
    if kind is dict:
        return f"dict [{','.join(sorted(f'{_text(k)}:{_text(v)}' for k, v in part.items()))}]"
    if isinstance(part, enum.Enum):
        return f"{kind.__module__}.{kind.__qualname__} {part.name}"
    raise TypeError(
        f"{kind.__module__}.{kind.__qualname__} is not the same text in each process: give"
        " gnomon.cached a key= that returns texts and numbers"
    )
