"""Waiting in asynchronous tests: on a condition, with a limit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 60.0


async def soon(awaitable: Awaitable[T], seconds: float = SECONDS) -> T:
    async with asyncio.timeout(seconds):
        return await awaitable


async def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """For what tells nobody when it changes."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def beside(*programs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run them beside the test and end them with it; a program that fails fails the test."""
    tasks = [asyncio.create_task(p) for p in programs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
