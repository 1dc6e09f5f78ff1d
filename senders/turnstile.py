"""Bounds how many calls to a provider are in flight, the most urgent first. Shared by all batches of a process; no I/O."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from senders.provider import Answer, Desk, Message


class Turnstile:
    """At most `limit` holders at once; waiters go in order of urgency (lower first), then of arrival."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    @asynccontextmanager
    async def pass_(self, urgency: int) -> AsyncIterator[None]:
        """Holds a place while the block runs."""
        await self.enter(urgency)
        try:
            yield
        finally:
            self.leave()

    async def enter(self, urgency: int) -> None:
        """Waits for a place; whoever got one gives it back by `leave`."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (urgency, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was ours already: hand it on
            raise

    def leave(self) -> None:
        """Hands the place to the next one, or frees it."""
        while self._waiters:
            turn = heapq.heappop(self._waiters)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


async def one_by_one(
    turnstile: Turnstile, messages: Sequence[Message], desk: Desk, attempt: Callable[[Message], Awaitable[Answer]]
) -> None:
    """Sends messages each in a call of its own, several at once as far as the turnstile lets them.

    An exception of `attempt` (a bug) leaves its message begun and not ended; the others are seen to, then it is raised.
    """
    todo = iter(messages)
    failures: list[Exception] = []
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(turnstile.limit, len(messages))):
            workers.create_task(_work(turnstile, todo, desk, attempt, failures))
    if failures:
        raise failures[0]


async def _work(
    turnstile: Turnstile,
    todo: Iterator[Message],
    desk: Desk,
    attempt: Callable[[Message], Awaitable[Answer]],
    failures: list[Exception],
) -> None:
    for message in todo:
        await turnstile.enter(message.record.priority)
        try:
            if not await desk.begin(message):
                continue
            answer = await attempt(message)
        except Exception as error:
            failures.append(error)
            continue
        finally:
            turnstile.leave()
        desk.end(message, answer)
