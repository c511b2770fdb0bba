"""JSON lines between a gate and its workers: reports one way, questions and answers both ways."""

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)

Message = Mapping[str, Any]
LONGEST = 32 << 20
ASK_SECONDS = 5.0


class Line:
    """One end; `listen` must run for questions and answers to come through."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        answer: Callable[[Message], Awaitable[Any]],
        report: Callable[[Message], None] = lambda message: None,
    ) -> None:
        """`answer` gives the answer to a question of the other end, `report` takes its reports."""
        self._writer = writer
        self._answer = answer
        self._report = report
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, report: Message) -> None:
        self._write({"report": report})

    def _write(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def ask(self, question: Message) -> Any:
        """Return the answer; None when the other end does not give one in time."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._write({"question": question, "number": number})
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._waiting[number]
        except TimeoutError:
            log.warning("no answer to %s within %g s", question.get("what"), ASK_SECONDS)
            return None
        finally:
            del self._waiting[number]

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Until the other end has gone."""
        try:
            with contextlib.suppress(OSError, ValueError, asyncio.LimitOverrunError):
                while line := await reader.readline():
                    self._take(json.loads(line))
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(None)
            for task in tuple(self._tasks):
                task.cancel()

    def _take(self, message: Message) -> None:
        if "report" in message:
            self._report(message["report"])
        elif "question" in message:
            task = asyncio.create_task(self._reply(message["question"], message["number"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            future = self._waiting.get(message["number"])
            if future is not None and not future.done():
                future.set_result(message["answer"])

    async def _reply(self, question: Message, number: int) -> None:
        try:
            answer = await self._answer(question)
        except Exception:
            log.exception("a question about %s could not be answered", question.get("what"))
            answer = None
        self._write({"answer": answer, "number": number})
