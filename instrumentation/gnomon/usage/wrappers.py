"""Functions that are measured each time they are called, generators each time they run.

What a decorated function uses itself is always known: one that is not async runs to its end in
one thread, and the steps of all others are counted here.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any

from gnomon.usage.ledger import Ledger, current, driven, step
from gnomon.usage.piece import as_current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator

    from gnomon.usage.work import Work

    Begin = Callable[..., Work]


def wrapped(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """Return a function with everything of the given one, of the same kind, that is measured.

    begin: called with the arguments of each call.
    """
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, begin)
    if inspect.iscoroutinefunction(function):
        return _async_function(function, begin)
    if inspect.isgeneratorfunction(function):
        return _generator(function, begin)
    return _function(function, begin)


def _function(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        work = begin(*args, **kwargs)
        # It runs to its end in one step, also on an event loop.
        with step(Ledger(current())):
            work.begin()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                work.end(error)
                raise
            work.end(None)
            return result

    return measured


def _async_function(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @wraps(function)
    async def measured(*args: Any, **kwargs: Any) -> Any:
        awaited = _awaited(begin(*args, **kwargs), function(*args, **kwargs))
        ledger = current()
        if ledger is not None and ledger.here():
            return await awaited
        return await driven(awaited, Ledger(ledger))

    return measured


async def _awaited(work: Work, coroutine: Coroutine[Any, Any, Any]) -> Any:
    work.begin()
    try:
        result = await coroutine
    except BaseException as error:
        await work.end_async(error)
        raise
    await work.end_async(None)
    return result


def _generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        work = begin(*args, **kwargs)
        items = function(*args, **kwargs)
        ledger = Ledger(current())
        with step(ledger):
            usage = work.begin(named=False)
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                with step(ledger), as_current(usage):
                    try:
                        item = items.send(sent) if thrown is None else items.throw(thrown)
                    except StopIteration as stop:
                        result = stop.value
                        break
                    finally:
                        sent = thrown = None
                try:
                    sent = yield item
                except GeneratorExit:
                    with step(ledger), as_current(usage):
                        items.close()
                    raise
                except BaseException as error:  # noqa: BLE001, RUF100  # it is the generator's
                    thrown = error
        except BaseException as error:
            work.end(error, ledger)
            raise
        work.end(None, ledger)
        return result

    return measured


def _async_generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @wraps(function)
    async def measured(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        work = begin(*args, **kwargs)
        items = function(*args, **kwargs)
        ledger = Ledger(current())
        with step(ledger):
            usage = work.begin(named=False)
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                asked = items.asend(sent) if thrown is None else items.athrow(thrown)
                sent = thrown = None
                try:
                    with as_current(usage):
                        item = await driven(asked, ledger)
                except StopAsyncIteration:
                    break
                try:
                    sent = yield item
                except GeneratorExit:
                    with as_current(usage):
                        await driven(items.aclose(), ledger)
                    raise
                except BaseException as error:  # noqa: BLE001, RUF100  # it is the generator's
                    thrown = error
        except BaseException as error:
            await work.end_async(error, ledger)
            raise
        await work.end_async(None, ledger)

    return measured
