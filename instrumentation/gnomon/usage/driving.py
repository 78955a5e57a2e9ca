"""Where an instrumented application's own CPU seconds are counted: its requests, its threads.

Nothing here is done before something is measured, or ``instrument(app, usage=True)`` asks for it.
"""

from __future__ import annotations

import functools
import importlib
import weakref
from typing import TYPE_CHECKING, Any

from gnomon import guard
from gnomon.usage.ledger import Ledger, current, driven

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gnomon.asgi import App, Message, Pass, Receive, Scope, Send

#: What runs a function in another thread, and takes that function first.
_THREADS = (("anyio.to_thread", "run_sync"), ("asyncio", "to_thread"))

#: Messages that may be a response's last.
_LAST = frozenset(("http.response.body", "http.response.pathsend"))

_hosts: weakref.WeakSet[Host] = weakref.WeakSet()
_wanted = False
_originals: dict[tuple[str, str], tuple[Any, Any]] = {}


class Driven:
    """An application whose coroutines are driven step by step."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass one connection on."""
        above = current()
        if (above is not None and above.here()) or scope["type"] == "lifespan":
            return self.app(scope, receive, send)
        ledger = Ledger(above)
        if above is None and scope["type"] == "http":
            send = _Sending(ledger, send)
        work: Any = self.app(scope, receive, send)
        return driven(work, ledger)


class _Sending:
    """Hands on what an application answers.

    A request's span ends with the last of it. What began as a dependency of FastAPI ends after
    that, so its numbers have to be told before.
    """

    __slots__ = ("_ledger", "_send")

    def __init__(self, ledger: Ledger, send: Send) -> None:
        self._ledger = ledger
        self._send = send

    def __call__(self, message: Message) -> Awaitable[None]:
        waiting = self._ledger.at_response
        if waiting and message["type"] in _LAST and not message.get("more_body"):
            for tell in waiting:
                tell()
            waiting.clear()
        return self._send(message)


class Host:
    """One application with the two places in it where coroutines are driven.

    through: its pass, below which everything is. router: the innermost application. A middleware
    between them may run what is below it in a task of its own, as Starlette's BaseHTTPMiddleware
    does; there the steps are counted once more, as a part of the request.
    """

    def __init__(self, through: Pass, router: Any, *, wanted: bool) -> None:
        self._through = through
        self._router = router
        self._inner: Any = None
        _hosts.add(self)
        if wanted:
            want()
        elif _wanted:
            self.drive()

    def drive(self) -> None:
        """Count the steps of every request from now on."""
        if isinstance(self._through.app, Driven):
            return
        _enter_threads()
        layer: Any = self._through.app
        while (below := getattr(layer, "app", None)) is not None:
            if below is self._router and layer is not self._through.app:
                layer.app = Driven(below)
                self._inner = layer
                break
            layer = below
        self._through.app = Driven(self._through.app)

    def undo(self) -> None:
        """Leave the application as it was."""
        _hosts.discard(self)
        if isinstance(self._through.app, Driven):
            self._through.app = self._through.app.app
        if self._inner is not None and isinstance(self._inner.app, Driven):
            self._inner.app = self._inner.app.app
            self._inner = None
        if not _hosts:
            _leave_threads()


def want() -> None:
    """Count own CPU seconds in every instrumented application, now and later."""
    global _wanted  # noqa: PLW0603  # whether something is measured is a fact of the process
    _wanted = True
    for host in list(_hosts):
        try:
            host.drive()
        except Exception:
            guard.failed("own CPU")


def _enter_threads() -> None:
    for module, name in _THREADS:
        if (module, name) in _originals:
            continue
        try:
            home = importlib.import_module(module)
        except ImportError:
            continue
        original = getattr(home, name)
        ours = _counting(original)
        _originals[module, name] = original, ours
        setattr(home, name, ours)


def _leave_threads() -> None:
    for (module, name), (original, ours) in _originals.items():
        home = importlib.import_module(module)
        # Someone else may have wrapped it since: then ours stays below and lets through.
        if getattr(home, name) is ours:
            setattr(home, name, original)
    _originals.clear()


def _counting(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(original)
    async def entered(function: Any, /, *args: Any, **options: Any) -> Any:
        ledger = current()
        if ledger is not None and _originals:
            function = functools.partial(ledger.run, function)
        return await original(function, *args, **options)

    return entered
