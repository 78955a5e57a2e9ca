"""Values as bytes for the second tier."""

import json
from typing import Any, Protocol


class Codec(Protocol):
    """What turns values into bytes and back, as modules like json, orjson or msgpack do.

    ``pickle`` is one as well, and runs whatever code somebody else has put into Redis.
    """

    def dumps(self, value: Any, /) -> bytes | str:
        """Return a value as bytes or text."""

    def loads(self, data: bytes, /) -> Any:
        """Return the value that was dumped."""


class Json:
    """JSON, for values that come back as they were: no tuples, no dates, no keys but texts."""

    @staticmethod
    def dumps(value: Any, /) -> bytes:
        """Return a value as JSON. Raises TypeError or ValueError for what would come back changed.

        A hit must not return something else than the function does.
        """
        text = json.dumps(value, separators=(",", ":"))
        if not _same(json.loads(text), value):
            raise ValueError("JSON would give back another value than the function's")
        return text.encode()

    @staticmethod
    def loads(data: bytes, /) -> Any:
        """Return the value."""
        return json.loads(data)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types all through."""
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if type(one) is list:
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
