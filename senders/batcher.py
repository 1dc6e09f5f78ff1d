"""Gathers messages of many batches into few calls: flushed when full, when one has waited long enough, or is urgent.

While all places of the turnstile are taken, groups go on filling: calls grow with the queue. No I/O of its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from itertools import groupby, islice
from operator import itemgetter

from core.model import Priority
from senders.provider import Answer, Desk, Message
from senders.turnstile import Turnstile

Answers = Sequence[Answer]
Flush = Callable[[Sequence[Message]], Awaitable[Answers]]


class _Share:
    """What one `send` still waits for."""

    def __init__(self, desk: Desk, size: int) -> None:
        self.desk = desk
        self._left = size
        self.failure: Exception | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, count: int, failure: Exception | None = None) -> None:
        """So many messages less."""
        self._left -= count
        self.failure = self.failure or failure
        if self._left == 0 and not self.over.done():
            self.over.set_result(None)


_Place = tuple[_Share, Message]  # a message that waits for company


class Batcher:
    """Groups messages by a key and hands each group to `flush`, which answers all of it, in its order."""

    def __init__(
        self, key: Callable[[Message], Hashable], flush: Flush, turnstile: Turnstile, *, max_items: int, max_wait_s: float
    ) -> None:
        self._key = key
        self._flush = flush
        self._turnstile = turnstile
        self._max_items = max_items
        self._max_wait_s = max_wait_s
        self._groups: dict[Hashable, deque[_Place]] = {}
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}
        self._starting: Counter[Hashable] = Counter()  # calls that have not taken their messages yet
        self._calls: set[asyncio.Task[None]] = set()

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        if not messages:
            return
        share = _Share(desk, len(messages))
        found: dict[Hashable, list[_Place]] = {}
        for message in messages:
            key = self._key(message)
            places = found.get(key)
            if places is None:
                places = found[key] = []
            places.append((share, message))
        for key, places in found.items():
            self._groups.setdefault(key, deque()).extend(places)
            self._look(key, _urgency(places) == Priority.CRITICAL)
        await share.over
        if share.failure is not None:
            raise share.failure

    def _look(self, key: Hashable, urgent: bool = False) -> None:
        """Starts as many calls as the group fills, and for the rest of it a call now or a timer."""
        size = len(self._groups.get(key, ()))
        full, rest = divmod(size, self._max_items)
        for _ in range(full + (1 if urgent and rest else 0) - self._starting[key]):
            self._start(key)
        if rest and not urgent and key not in self._timers:
            self._timers[key] = asyncio.get_running_loop().call_later(self._max_wait_s, self._ripe, key)

    def _ripe(self, key: Hashable) -> None:
        del self._timers[key]
        if self._groups.get(key):
            self._start(key)

    def _start(self, key: Hashable) -> None:
        self._starting[key] += 1
        call = asyncio.create_task(self._call(key))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, key: Hashable) -> None:
        first = islice(self._groups.get(key, ()), self._max_items)  # those that it will take
        async with self._turnstile.pass_(_urgency(first)):
            self._starting[key] -= 1
            await self._deliver(self._take(key))

    def _take(self, key: Hashable) -> list[_Place]:
        group = self._groups.get(key, deque())
        places = [group.popleft() for _ in range(min(len(group), self._max_items))]
        if not group:
            self._groups.pop(key, None)
            self._starting += Counter()  # drops keys that stand at 0
        return places

    async def _deliver(self, places: Sequence[_Place]) -> None:
        begun: list[tuple[_Share, Sequence[Message]]] = []
        for share, group in groupby(places, itemgetter(0)):
            wanted = [message for _, message in group]
            found = await share.desk.begin_all(wanted)
            if found:
                begun.append((share, found))
            if refused := len(wanted) - len(found):
                share.settle(refused)
        if not begun:
            return
        failure: Exception | None = None
        try:
            answers = await self._flush([message for _, found in begun for message in found])
            _end(begun, answers)
        except Exception as error:  # a bug; each `send` raises it, so that nobody waits for ever
            failure = error
        for share, found in begun:
            share.settle(len(found), failure)

    async def close(self) -> None:
        """Waits for the calls that are under way."""
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)


def _urgency(places: Iterable[_Place]) -> int:
    """That of the most urgent one."""
    return min([message.record.priority for _, message in places], default=Priority.LOW)


def _end(begun: Sequence[tuple[_Share, Sequence[Message]]], answers: Answers) -> None:
    """Ends what was begun; those of one `send` that share an answer in one step."""
    total = sum([len(found) for _, found in begun])
    if len(answers) == total and all([answer is answers[0] for answer in answers]):  # one call took them all, nearly always
        for share, found in begun:
            share.desk.end_all(found, answers[0])
        return
    places = [(share, message) for share, found in begun for message in found]
    told = list(zip(places, answers, strict=True))
    for (share, _), group in groupby(told, lambda each: (each[0][0], id(each[1]))):
        same = list(group)
        share.desk.end_all([message for (_, message), _ in same], same[0][1])
