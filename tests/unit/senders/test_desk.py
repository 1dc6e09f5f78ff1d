"""The desk of a batch of several entries: what is begun and ended together is in the books of each entry it came from."""

import asyncio
import random
from collections.abc import Sequence

import pytest

import senders.desk
from core.clock import ManualClock
from core.model import Channel, ErrorClass, Status
from core.station import Batch
from core.streams import Entry, Settlement
from fastpath import FrameError, Record, pack_frame, unpack_frame
from senders.aftermath import RetryPolicy
from senders.desk import BatchDesk
from senders.provider import Message, delivered, fault, sent
from tests.helpers import eventually
from tests.unit.senders.kit import NOW, delivery

POLICY = RetryPolicy((60_000,), (1_000,), random.Random(1))


class Redis:
    """Where a desk settles; `lost` are ids of entries that another process has claimed."""

    def __init__(self) -> None:
        self.told: list[Settlement] = []
        self.lost: set[str] = set()
        self.away = asyncio.Event()
        self.away.set()

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        await self.away.wait()
        self.told += settlements
        return [settlement.entry.id not in self.lost for settlement in settlements]


def desk_of(*entries: Sequence[Record], done: bytes = b"", redis: Redis | None = None) -> BatchDesk:
    handed = [Entry("out", f"{i}-1", pack_frame(records), done=done) for i, records in enumerate(entries)]
    batch = Batch(0, handed, (redis or Redis()).settle)
    return BatchDesk(batch, Channel.EMAIL, ManualClock(NOW), POLICY)


def people(count: int, *, expires_ms: int = 0) -> list[Record]:
    return [delivery(f"u{i}@example.org", expires_ms=expires_ms) for i in range(count)]


def outcomes(settlement: Settlement) -> list[tuple[bytes, Status]]:
    return [(o.id, Status(o.status)) for append in settlement.appends for o in unpack_frame(append.frame)]


async def test_one_call_is_in_the_books_of_every_entry() -> None:
    first, second = people(3), people(2)
    desk = desk_of(first, second)
    begun = await desk.begin_all(desk.open())
    desk.end_all(begun, delivered("x"))
    settlements = await desk.close()
    steps = (Status.SENT, Status.DELIVERED)
    assert [outcomes(s) for s in settlements] == [[(r.id, step) for r in e for step in steps] for e in (first, second)]
    assert [s.done for s in settlements] == [None, None]
    assert desk.unseen() == 0


async def test_what_is_done_is_not_handed_out() -> None:
    items = people(5)
    desk = desk_of(items, done=bytes([0b01101]))
    messages = desk.open()
    assert [message.record for message in messages] == [items[1], items[4]]
    desk.end_all(await desk.begin_all(messages), sent())
    (settlement,) = await desk.close()
    assert outcomes(settlement) == [(items[1].id, Status.SENT), (items[4].id, Status.SENT)]


async def test_part_of_an_entry_is_progress() -> None:
    items = people(10)
    desk = desk_of(items)
    messages = desk.open()
    desk.end_all(await desk.begin_all([*messages[:2], messages[9]]), sent())
    assert desk.unseen() == 7
    (settlement,) = await desk.close()
    assert settlement.done == bytes([0b11, 0b10])
    assert [entry.done for entry in await desk.hand_back()] == [settlement.done]


async def test_what_is_late_is_told_and_not_begun() -> None:
    items = [*people(2), *people(1, expires_ms=NOW + 5)]
    clock = ManualClock(NOW)
    desk = BatchDesk(Batch(0, [Entry("out", "0-1", pack_frame(items))], Redis().settle), Channel.EMAIL, clock, POLICY)
    messages = desk.open()
    assert len(messages) == 3
    clock.advance(5)
    begun = await desk.begin_all(messages)
    assert [message.record for message in begun] == items[:2]
    assert {message.begun_ms for message in begun} == {NOW + 5}
    desk.end_all(begun, sent())
    (settlement,) = await desk.close()
    assert outcomes(settlement) == [(items[2].id, Status.EXPIRED), (items[0].id, Status.SENT), (items[1].id, Status.SENT)]


async def test_ended_twice_is_noted_once() -> None:
    desk = desk_of(people(3))
    begun = await desk.begin_all(desk.open())
    desk.end(begun[1], sent())
    desk.end_all(begun, sent())
    desk.end_all(begun, fault(ErrorClass.TEMPORARY, "503", ""))
    (settlement,) = await desk.close()
    assert [status for _, status in outcomes(settlement)] == [Status.SENT] * 3
    assert settlement.waits == ()


async def test_each_of_a_failed_call_waits_for_its_own_next_attempt() -> None:
    desk = desk_of(people(2), people(1))
    desk.end_all(await desk.begin_all(desk.open()), fault(ErrorClass.TEMPORARY, "503", "down"))
    settlements = await desk.close()
    assert [len(s.waits) for s in settlements] == [2, 1]
    assert [status for s in settlements for _, status in outcomes(s)] == [Status.RETRYING] * 3


async def test_nothing_begins_of_an_entry_that_is_another_s() -> None:
    redis = Redis()
    redis.lost = {"0-1"}
    desk = desk_of(people(60), people(2), redis=redis)
    messages = desk.open()
    desk.end_all(await desk.begin_all(messages[:55]), sent())
    await eventually(lambda: redis.told)
    begun = await desk.begin_all(messages[55:])
    assert [message.place for message in begun] == [60, 61]


async def test_no_call_begins_while_too_much_is_not_saved() -> None:
    redis = Redis()
    redis.away.clear()
    count = senders.desk.UNSAVED_MAX + senders.desk.SAVE_ITEMS
    desk = desk_of(people(count + 1), redis=redis)
    messages = desk.open()
    for start in range(0, count, senders.desk.SAVE_ITEMS):  # the first ones are on their way to Redis meanwhile
        desk.end_all(await desk.begin_all(messages[start : start + senders.desk.SAVE_ITEMS]), sent())
        await asyncio.sleep(0)
    last = asyncio.create_task(desk.begin_all(messages[count:]))
    await asyncio.sleep(0.05)
    assert not last.done()
    redis.away.set()
    assert len(await last) == 1


def test_a_message_is_unpacked_when_it_is_asked_for() -> None:
    message = Message(delivery().replace(content=b"\3\xff"))
    with pytest.raises(FrameError):
        _ = message.parts
