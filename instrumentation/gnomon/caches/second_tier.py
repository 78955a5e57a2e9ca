"""The second tier: what to ask of Redis for one lookup, whoever does the asking.

A lookup is a generator: it yields what is to be done, and a blocking or an asynchronous driver
does it and sends back what came of it. So both follow the same rules.

Keys are ``gnomon:NAME:DIGEST``; beside an entry stands ``…:lock`` while somebody loads it, and
``gnomon:NAME:generation`` is a text that each entry has to begin with: another one makes all of
them out of date at once.
"""

from __future__ import annotations

import math
import random
import secrets
import threading
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from gnomon.caches import families
from gnomon.caches.breaker import Breaker
from gnomon.caches.deadline import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from gnomon.caches.codec import Codec
    from gnomon.caches.families import Tally

#: Seconds between two looks for what another process loads, at first and at most.
PAUSES = (0.02, 0.25)

#: Seconds for which nobody is made to wait for values that the second tier cannot hold.
UNFIT = 60.0

#: Between the generation and the value of an entry.
_MARK = b"\n"


class Commands(NamedTuple):
    """To be sent in one exchange: methods of the client's pipeline, each with its arguments."""

    calls: tuple[tuple[Any, ...], ...]


class Pause(NamedTuple):
    """To wait for so many seconds."""

    seconds: float


class Load(NamedTuple):
    """To call the function; ``Loaded`` is sent back."""


class Loaded(NamedTuple):
    """What came of it. error: what it raised, None if it returned ``value``."""

    value: Any
    error: BaseException | None = None


class Found(NamedTuple):
    """A value, and the seconds for which it still holds; None for what is not kept.

    is_fresh: whether the function has just returned it.
    """

    value: Any
    remaining: float | None = None
    is_fresh: bool = False


Step = Commands | Pause | Load


class _Client(NamedTuple):
    """What all caches share that use the same client."""

    breaker: Breaker
    threads: Threads


_clients: WeakKeyDictionary[Any, _Client] = WeakKeyDictionary()
_lock = threading.Lock()


def _shared(client: Any) -> _Client:
    """Return what a client's caches share."""
    new = _Client(Breaker(), Threads("gnomon cache"))
    try:
        with _lock:
            return _clients.setdefault(client, new)
    except TypeError:  # it cannot be held weakly
        return new


class SecondTier:
    """One cache's part of a Redis.

    ttl: seconds, or by key and value. wait: the seconds for which callers of other processes are
    kept waiting for one that loads.
    """

    def __init__(
        self,
        name: str,
        client: Any,
        *,
        ttl: float | Callable[[Any, Any], float | None],
        codec: Codec,
        deadline: float,
        wait: float,
        tally: Tally,
    ) -> None:
        self.client = client
        self.deadline = deadline
        self.breaker, self.threads = _shared(client)
        self._prefix = f"gnomon:{name}"
        self._ttl = ttl
        self._codec = codec
        self._wait = wait
        self._tally = tally
        self._coalesced = tally.coalesced()
        self._own = families.SecondTally(name)
        self._unfit_until = -math.inf
        #: The generation to begin with, while Redis has not been told of it.
        self._new: str | None = None

    def lookup(self, digest: str, key: Any) -> Generator[Step, Any, Found | Loaded]:
        """Find a value, or have it loaded and keep it.

        Returns Loaded with what the function raised, if it raised.
        """
        entry = f"{self._prefix}:{digest}"
        generation, found = yield from self._read(entry)
        if generation is None:
            return self._unkept((yield Load()))
        if found is not None:
            self._own.hits.inc()
            return found
        self._own.misses.inc()
        held_until = -math.inf
        if self._wait > 0 and monotonic() >= self._unfit_until:
            held_until, generation, found = yield from self._turn(entry, generation)
            if found is not None:
                self._coalesced.inc()
                return found
        loaded = yield Load()
        may_unlock = monotonic() < held_until  # else it may be another's by now
        remaining = None
        calls: list[tuple[Any, ...]] = []
        if loaded.error is None:
            put, remaining = self._put(entry, generation, key, loaded.value)
            if put is not None:
                calls.append(put)
        if may_unlock:
            calls.append(("delete", f"{entry}:lock"))
        if calls:
            yield from self._ask(*calls)
        if loaded.error is not None:
            return Loaded(None, loaded.error)
        return Found(loaded.value, remaining, is_fresh=True)

    def outdate(self) -> None:
        """Make all entries out of date, as soon as Redis is asked for one."""
        self._new = secrets.token_hex(8)

    @staticmethod
    def _unkept(loaded: Loaded) -> Found | Loaded:
        return loaded if loaded.error is not None else Found(loaded.value, None, is_fresh=True)

    def tell(self) -> Generator[Step, Any, bool]:
        """Tell Redis of a new generation, if there is one; return whether it knows the latest."""
        new = self._new
        if new is None:
            return True
        if (yield from self._ask(("set", f"{self._prefix}:generation", new))) is None:
            return False
        if self._new == new:
            self._new = None
        return True

    def _read(
        self, entry: str, *more: tuple[Any, ...]
    ) -> Generator[Step, Any, tuple[bytes | None, Found | None]]:
        """Return the generation, None if Redis does not answer, and what there is of an entry."""
        generation, found, _ = yield from self._look(entry, *more)
        return generation, found

    def _look(
        self, entry: str, *more: tuple[Any, ...]
    ) -> Generator[Step, Any, tuple[bytes | None, Found | None, list[Any]]]:
        if not (yield from self.tell()):
            return None, None, []
        answers = yield from self._ask(
            ("get", f"{self._prefix}:generation"), ("get", entry), ("pttl", entry), *more
        )
        if answers is None:
            return None, None, []
        generation = _bytes(answers[0] or b"")
        return generation, self._found(generation, answers[1], answers[2]), answers[3:]

    def _found(self, generation: bytes, data: Any, milliseconds: int) -> Found | None:
        if data is None:
            return None
        written, mark, value = _bytes(data).partition(_MARK)
        if written != generation or not mark:
            return None
        try:
            return Found(
                self._codec.loads(value), milliseconds / 1000 if milliseconds >= 0 else None
            )
        except Exception:
            self._tally.failed(families.L2, "an entry could not be decoded", trace=True)
            return None

    def _put(
        self, entry: str, generation: bytes, key: Any, value: Any
    ) -> tuple[tuple[Any, ...] | None, float | None]:
        """Return what keeps a value, and its seconds; None if it is not to be kept."""
        try:
            lifetime = self._ttl(key, value) if callable(self._ttl) else self._ttl
            if lifetime is None or lifetime <= 0:
                return None, None
            data = self._codec.dumps(value)
        except Exception:
            self._unfit_until = monotonic() + UNFIT
            self._tally.failed(families.L2, "a value could not be encoded", trace=True)
            return None, None
        whole = generation + _MARK + (data.encode() if isinstance(data, str) else data)
        return ("set", entry, whole, None, max(1, round(lifetime * 1000))), lifetime

    def _turn(
        self, entry: str, generation: bytes
    ) -> Generator[Step, Any, tuple[float, bytes, Found | None]]:
        """Wait until this process may load an entry, or another one has loaded it.

        Returns until when it holds the entry's lock, the generation, and what was found.
        """
        until = monotonic() + self._wait
        pause, most = PAUSES
        lock = f"{entry}:lock"
        while True:
            # SET key value EX PX NX: the lock goes by itself if its holder does not come back.
            asked = monotonic()
            got = yield from self._ask(("set", lock, b"", None, round(self._wait * 1000), True))
            if got is None:
                return -math.inf, generation, None
            if got[0]:
                return asked + self._wait, generation, None
            is_held = True
            while is_held:
                if monotonic() >= until:
                    return -math.inf, generation, None
                yield Pause(pause * random.uniform(0.75, 1.25))  # noqa: S311  # no secret
                pause = min(most, pause * 1.5)
                now, found, rest = yield from self._look(entry, ("exists", lock))
                if now is None:
                    return -math.inf, generation, None
                generation = now
                if found is not None:
                    return -math.inf, generation, found
                is_held = bool(rest[0])

    def _ask(self, *calls: tuple[Any, ...]) -> Generator[Step, Any, list[Any] | None]:
        """Return the answers, None if Redis failed or is left alone because it did."""
        if not self.breaker.allows():
            return None
        began = perf_counter()
        try:
            answers: list[Any] = yield Commands(calls)
        except Exception as error:
            if _refused(error):
                self.breaker.succeeded()
            else:
                self.breaker.failed()
            self._tally.failed(families.L2, _why(error))
            return None
        self.breaker.succeeded()
        self._own.operations.observe(perf_counter() - began)
        return answers


def _bytes(data: bytes | str) -> bytes:
    """Return what a client gives that may decode answers."""
    return data.encode() if isinstance(data, str) else data


def _refused(error: Exception) -> bool:
    """Whether Redis answered, though not what was hoped for: no memory, read only."""
    return isinstance(error, UnicodeError) or any(
        kind.__name__ == "ResponseError" for kind in type(error).__mro__
    )


def _why(error: Exception) -> str:
    """Return what may be logged of a client's error.

    A pipeline's errors begin with the command, and that has the value in it.
    """
    if isinstance(error, UnicodeError):
        return "the client decodes answers that are no text: give it decode_responses=False"
    text = str(error).rpartition(" caused error: ")[2]
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__
