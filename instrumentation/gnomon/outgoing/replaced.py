"""Methods of client libraries that have ours around them, until they are put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Replaced:
    """Methods of a library, all replaced and put back at once.

    methods: the class, the method's name, and what makes ours out of the one that is there. Ours
    keeps that one by itself, so that it goes on to work for whoever holds it afterwards.
    """

    def __init__(self, *methods: tuple[type, str, Callable[[Any], Any]]) -> None:
        self._methods = methods
        self._originals: list[Any] = []
        self._ours: list[Any] = []

    def install(self) -> None:
        """Put ours around, once."""
        if self._ours:
            return
        self._originals = [getattr(owner, name) for owner, name, _ in self._methods]
        for (owner, name, around), original in zip(self._methods, self._originals, strict=True):
            self._ours.append(around(original))
            setattr(owner, name, self._ours[-1])

    def uninstall(self) -> None:
        """Put back what there was, unless something else has been put around any of them since."""
        if self._ours != [getattr(owner, name) for owner, name, _ in self._methods]:
            return
        for (owner, name, _), original in zip(self._methods, self._originals, strict=True):
            setattr(owner, name, original)
        self._ours.clear()
