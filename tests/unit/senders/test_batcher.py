"""Gathering into few calls: by count, by age, at once for the urgent; every sender is answered, whatever happens."""

import asyncio
from collections.abc import Sequence

import pytest

from core.model import Class, Priority
from senders.batcher import Batcher
from senders.provider import Answer, Message, sent
from senders.turnstile import Turnstile
from tests.helpers import eventually
from tests.unit.senders.kit import Notes, delivery, messages


class Calls:
    """Where a batcher flushes to."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def flush(self, batch: Sequence[Message]) -> Sequence[Answer]:
        self.sizes.append(len(batch))
        await self.go.wait()
        if self.failure:
            raise self.failure
        return [sent(message.id) for message in batch]


def batcher(calls: Calls, *, most: int = 100, wait_s: float = 0.01, limit: int = 2) -> Batcher:
    return Batcher(lambda m: m.record.klass, calls.flush, Turnstile(limit), max_items=most, max_wait_s=wait_s)


async def test_many_batches_share_a_call() -> None:
    calls = Calls()
    gather = batcher(calls)
    desks = [Notes() for _ in range(5)]
    groups = [messages(delivery() for _ in range(7)) for _ in desks]
    await asyncio.gather(*(gather.send(group, desk) for group, desk in zip(groups, desks, strict=True)))
    assert calls.sizes == [35]
    for group, desk in zip(groups, desks, strict=True):
        assert [desk.answers[i].provider_id for i in range(7)] == [m.id for m in group]


async def test_a_full_call_does_not_wait() -> None:
    calls = Calls()
    await asyncio.wait_for(batcher(calls, most=10, wait_s=3600).send(messages(delivery() for _ in range(20)), Notes()), 5)
    assert calls.sizes == [10, 10]


async def test_a_critical_one_does_not_wait_and_takes_others_along() -> None:
    calls = Calls()
    gather = batcher(calls, wait_s=3600)
    waiting = gather.send(messages(delivery() for _ in range(3)), Notes())
    critical = gather.send(messages([delivery(priority=Priority.CRITICAL)]), Notes())
    await asyncio.wait_for(asyncio.gather(waiting, critical), 5)
    assert calls.sizes == [4]


async def test_classes_do_not_mix() -> None:
    calls, desk = Calls(), Notes()
    await batcher(calls).send(messages(delivery(klass=k) for k in (Class.ALERT, Class.PROMOTIONAL, Class.ALERT)), desk)
    assert sorted(calls.sizes) == [1, 2]
    assert len(desk.answers) == 3


async def test_calls_grow_while_all_places_are_taken() -> None:
    calls = Calls()
    calls.go.clear()
    gather = batcher(calls, wait_s=0.001, limit=1)
    sends = [asyncio.create_task(gather.send(messages([delivery()]), Notes()))]
    await eventually(lambda: calls.sizes == [1])
    sends += [asyncio.create_task(gather.send(messages(delivery() for _ in range(9)), Notes())) for _ in range(3)]
    await eventually(lambda: gather._starting)  # a second call waits for the only place
    calls.go.set()
    await asyncio.gather(*sends)
    assert calls.sizes == [1, 27]


async def test_a_call_that_waits_for_its_turn_is_not_asked_for_twice() -> None:
    calls = Calls()
    calls.go.clear()
    gather = batcher(calls, most=10, wait_s=3600, limit=1)
    waiting = [asyncio.create_task(gather.send(messages(delivery() for _ in range(10)), Notes()))]
    await eventually(lambda: calls.sizes == [10])
    sends = [gather.send(messages(delivery() for _ in range(size)), Notes()) for size in (10, 5, 3)]
    waiting += [asyncio.create_task(send) for send in sends]
    await asyncio.sleep(0)
    calls.go.set()
    await asyncio.gather(*waiting[:2])
    await gather.send(messages(delivery() for _ in range(2)), Notes())  # fills the last call
    await asyncio.gather(*waiting)
    assert calls.sizes == [10, 10, 10]


async def test_what_may_not_begin_is_left_out() -> None:
    calls, desk = Calls(), Notes(refuse=[0, 2])
    await batcher(calls).send(messages(delivery() for _ in range(4)), desk)
    assert calls.sizes == [2]
    assert sorted(desk.answers) == [1, 3]
    nobody = Notes(refuse=[0])
    await batcher(calls).send(messages([delivery()]), nobody)
    assert calls.sizes == [2]


async def test_a_bug_reaches_everybody_who_waits() -> None:
    calls = Calls()
    calls.failure = ZeroDivisionError()
    gather = batcher(calls)
    sends = [gather.send(messages([delivery()]), Notes()) for _ in range(2)]
    assert all(isinstance(e, ZeroDivisionError) for e in await asyncio.gather(*sends, return_exceptions=True))
    calls.failure = None
    await gather.send(messages([delivery()]), Notes())  # and the next one is well
    await gather.send([], Notes())


async def test_too_few_answers_are_a_bug() -> None:
    async def flush(batch: Sequence[Message]) -> Sequence[Answer]:
        return [sent()]

    gather = Batcher(lambda _: 0, flush, Turnstile(1), max_items=9, max_wait_s=0.001)
    with pytest.raises(ValueError, match="zip"):
        await gather.send(messages([delivery(), delivery()]), Notes())
