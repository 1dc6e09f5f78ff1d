"""Bounds how many calls to a provider are in flight, the most urgent first. Shared by all batches of a process; no I/O."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from senders.provider import Answer, Desk, Message

AHEAD = 16  # messages that are prepared together: for as long as they take nothing else is done


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
    turnstile: Turnstile,
    messages: Sequence[Message],
    desk: Desk,
    attempt: Callable[[Message], Awaitable[Answer]],
    prepare: Callable[[Sequence[Message]], None] | None = None,
) -> None:
    """Sends messages each in a call of its own, several at once as far as the turnstile lets them.

    `prepare` is told a few messages ahead which ones come next. An exception of `attempt` (a bug) leaves its message begun and
    not ended; the others are seen to, then it is raised.
    """
    todo, arrival = _prepared(messages, prepare) if prepare else iter(messages), turnstile.arrive()
    books = _Books(desk)
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(turnstile.limit, len(messages))):
            workers.create_task(_work(turnstile, arrival, todo, books, attempt))
    if books.failures:  # all is written: that was scheduled before the workers' end
        raise books.failures[0]


class _Books:
    """Answers on their way to the desk: those of one turn of the event loop are written together, right after it.

    One after another they cost two thirds of what they do between two calls. `failures` are bugs, to be raised at the end.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.failures: list[Exception] = []
        self._answered: list[tuple[Message, Answer]] = []

    def note(self, message: Message, answer: Answer) -> None:
        """Writes it soon."""
        if not self._answered:
            asyncio.get_running_loop().call_soon(self.write)
        self._answered.append((message, answer))

    def write(self) -> None:
        """Writes what was noted."""
        answered, self._answered = self._answered, []
        for message, answer in answered:
            try:
                self.desk.end(message, answer)
            except Exception as error:
                self.failures.append(error)


def _prepared(messages: Sequence[Message], prepare: Callable[[Sequence[Message]], None]) -> Iterator[Message]:
    for start in range(0, len(messages), AHEAD):
        some = messages[start : start + AHEAD]
        prepare(some)
        yield from some


async def _work(
    turnstile: Turnstile,
    arrival: int,
    todo: Iterator[Message],
    books: _Books,
    attempt: Callable[[Message], Awaitable[Answer]],
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
                if await books.desk.begin(message):
                    books.note(message, await attempt(message))
                    await asyncio.sleep(0)  # it is written before the next one begins
            except Exception as error:
                books.failures.append(error)
    finally:
        if held:
            turnstile.leave()
