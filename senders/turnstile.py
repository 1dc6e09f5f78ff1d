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
        self._waiters: list[tuple[int, int, int, asyncio.Future[None]]] = []  # urgency, arrival, what tells equals apart
        self._arrivals = itertools.count()

    @asynccontextmanager
    async def pass_(self, urgency: int) -> AsyncIterator[None]:
        """Holds a place while the block runs."""
        await self.enter(urgency)
        try:
            yield
        finally:
            self.leave()

    def arrive(self) -> int:
        """An arrival, for those who come together and enter one after another."""
        return next(self._arrivals)

    async def enter(self, urgency: int, arrival: int | None = None) -> None:
        """Waits for a place; whoever got one gives it back by `leave`. `arrival`: what `arrive` said; now if not given."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        now = self.arrive()
        heapq.heappush(self._waiters, (urgency, now if arrival is None else arrival, now, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was ours already: hand it on
            raise

    def goes_on(self, urgency: int, arrival: int) -> bool:
        """Whether a holder may take up another one that arrived with it: nobody who waits is before that."""
        waiters = self._waiters
        while waiters and waiters[0][3].done():
            heapq.heappop(waiters)
        return not waiters or (urgency, arrival) <= waiters[0][:2]

    def leave(self) -> None:
        """Hands the place to the next one, or frees it."""
        while self._waiters:
            turn = heapq.heappop(self._waiters)[3]
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
    todo, arrival = iter(messages), turnstile.arrive()
    failures: list[Exception] = []
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(turnstile.limit, len(messages))):
            workers.create_task(_work(turnstile, arrival, todo, desk, attempt, failures))
    if failures:
        raise failures[0]


async def _work(
    turnstile: Turnstile,
    arrival: int,
    todo: Iterator[Message],
    desk: Desk,
    attempt: Callable[[Message], Awaitable[Answer]],
    failures: list[Exception],
) -> None:
    held = False  # a place, which is kept from one message to the next unless somebody else's turn is before it
    try:
        for message in todo:
            urgency = message.record.priority
            if held and not turnstile.goes_on(urgency, arrival):
                held = False
                turnstile.leave()
            if not held:
                await turnstile.enter(urgency, arrival)
                held = True
            try:
                if not await desk.begin(message):
                    continue
                answer = await attempt(message)
            except Exception as error:
                failures.append(error)
                continue
            desk.end(message, answer)
    finally:
        if held:
            turnstile.leave()
