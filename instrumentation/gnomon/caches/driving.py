"""Doing what a lookup in the second tier asks for: blocking, or in an event loop."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gnomon.caches.second_tier import Commands, Load, Loaded, Pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from gnomon.caches.second_tier import SecondTier, Step
    from gnomon.families import Distribution


def _pipeline(client: Any, commands: Commands) -> Any:
    pipeline = client.pipeline(transaction=False)
    for method, *arguments in commands.calls:
        getattr(pipeline, method)(*arguments)
    return pipeline


def _execute(client: Any, commands: Commands) -> Any:
    return _pipeline(client, commands).execute()


def load(function: Callable[[], Any], loads: Distribution) -> Loaded:
    """Call the function."""
    began = perf_counter()
    try:
        return Loaded(function())
    except BaseException as error:
        return Loaded(None, error)
    finally:
        loads.observe(perf_counter() - began)


async def load_async(function: Callable[[], Awaitable[Any]], loads: Distribution) -> Loaded:
    """Await the function. A coroutine that is closed meanwhile is not caught."""
    began = perf_counter()
    try:
        return Loaded(await function())
    except GeneratorExit:
        raise
    except BaseException as error:
        return Loaded(None, error)
    finally:
        loads.observe(perf_counter() - began)


def drive(
    flow: Generator[Step, Any, Any], tier: SecondTier, loading: Callable[[], Loaded] | None
) -> Any:
    """Do what a flow asks for and return what it returns.

    loading: calls the function; None for a flow that never asks for that.
    """
    try:
        step = next(flow)
        while True:
            answer: Any = None
            try:
                if isinstance(step, Commands):
                    work = partial(_execute, tier.client, step)
                    answer = tier.threads.run(work, tier.deadline)
                elif isinstance(step, Load) and loading is not None:
                    answer = loading()
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return end.value


async def drive_async(
    flow: Generator[Step, Any, Any],
    tier: SecondTier,
    loading: Callable[[], Awaitable[Loaded]] | None,
) -> Any:
    """Do what a flow asks for, in an event loop; see ``drive``."""
    try:
        step = next(flow)
        while True:
            answer: Any = None
            try:
                if isinstance(step, Commands):
                    async with asyncio.timeout(tier.deadline):
                        answer = await _pipeline(tier.client, step).execute()
                elif isinstance(step, Load) and loading is not None:
                    answer = await loading()
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
            except GeneratorExit:  # nothing may be awaited any more
                flow.close()
                raise
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return end.value
