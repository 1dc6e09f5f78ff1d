"""The gateway's room: critical calls pass, others wait their turn by urgency, and too many are turned away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from core.model import Priority
from gateway.room import Crowded, Room
from tests.helpers import eventually

CRITICAL, HIGH, MEDIUM, LOW = Priority


def small() -> Room:
    return Room(critical=2, places=1, waiting=10)


@asynccontextmanager
async def small_calls(room: Room, count: int) -> AsyncIterator[None]:
    """So many calls of one item in the room."""
    async with AsyncExitStack() as places:
        for _ in range(count):
            await places.enter_async_context(room.place(LOW, 1))
        yield


async def visit(room: Room, urgency: int, items: int, done: list[int]) -> None:
    async with room.place(urgency, items):
        done.append(urgency)


async def test_a_critical_call_does_not_wait_for_others() -> None:
    room, done = small(), list[int]()
    async with room.place(LOW, 1):
        waiting = asyncio.create_task(visit(room, HIGH, 5, []))
        await eventually(lambda: room.waiting == 5)
        await visit(room, CRITICAL, 1_000, done)
        assert done == [CRITICAL]
    await waiting


async def test_critical_calls_are_bounded_and_never_turned_away() -> None:
    room, done = small(), list[int]()
    async with AsyncExitStack() as places:
        for _ in range(2):
            await places.enter_async_context(room.place(CRITICAL, 1))
        waiting = [asyncio.create_task(visit(room, CRITICAL, 1_000, done)) for _ in range(20)]
        await asyncio.sleep(0)
        assert done == []
    await asyncio.gather(*waiting)
    assert done == [CRITICAL] * 20


async def test_the_most_urgent_goes_first_and_equals_in_their_order() -> None:
    room, done = small(), list[int]()
    async with room.place(MEDIUM, 1):
        waiting = [asyncio.create_task(visit(room, urgency, 1, done)) for urgency in (LOW, MEDIUM, HIGH, LOW)]
        await eventually(lambda: room.waiting == 4)
    await asyncio.gather(*waiting)
    assert done == [HIGH, MEDIUM, LOW, LOW]
    assert room.waiting == 0


async def test_who_finds_too_many_waiting_is_turned_away_low_first() -> None:
    room, done = small(), list[int]()
    async with room.place(MEDIUM, 1):
        waiting = [asyncio.create_task(visit(room, LOW, 5, done))]
        await eventually(lambda: room.waiting == 5)
        for urgency in (LOW, 99):
            with pytest.raises(Crowded):
                await visit(room, urgency, 1, done)
        waiting.append(asyncio.create_task(visit(room, MEDIUM, 2, done)))
        await eventually(lambda: room.waiting == 7)
        with pytest.raises(Crowded):
            await visit(room, MEDIUM, 1, done)
        waiting.append(asyncio.create_task(visit(room, HIGH, 3, done)))
        await eventually(lambda: room.waiting == 10)
        with pytest.raises(Crowded):
            await visit(room, HIGH, 1, done)
    await asyncio.gather(*waiting)
    assert sorted(done) == [HIGH, MEDIUM, LOW]


async def test_a_call_larger_than_the_room_waits_when_nobody_else_does() -> None:
    room, done = small(), list[int]()
    async with room.place(MEDIUM, 1):
        waiting = asyncio.create_task(visit(room, LOW, 1_000, done))
        await eventually(lambda: room.waiting == 1_000)
    await waiting
    assert done == [LOW]


async def test_who_hangs_up_is_not_remembered_while_more_urgent_ones_wait() -> None:
    room, done = small(), list[int]()
    async with room.place(MEDIUM, 1):
        stays = asyncio.create_task(visit(room, HIGH, 1, done))
        await eventually(lambda: room.waiting == 1)
        for _ in range(50):
            gone = asyncio.create_task(visit(room, LOW, 1, done))
            await eventually(lambda: room.waiting == 2)
            gone.cancel()
            await eventually(lambda: room.waiting == 1)
        assert len(room._queue) <= 2
    await stays
    assert done == [HIGH]


async def test_who_hangs_up_leaves_its_place_to_the_next() -> None:
    room, done = small(), list[int]()
    async with room.place(MEDIUM, 1):
        gone = [asyncio.create_task(visit(room, HIGH, 3, done)) for _ in range(2)]
        await eventually(lambda: room.waiting == 6)
        gone[0].cancel()
        await eventually(lambda: room.waiting == 3)
    gone[1].cancel()  # its turn has come, and it does not know yet
    await asyncio.gather(*gone, return_exceptions=True)
    await visit(room, LOW, 1, done)
    assert done == [LOW]


async def test_a_call_takes_a_place_for_each_item_and_a_quarter_of_all_at_most() -> None:
    room, done = Room(places=8), list[int]()
    async with AsyncExitStack() as places:
        for _ in range(4):
            await places.enter_async_context(room.place(LOW, 1_000))
        waiting = [asyncio.create_task(visit(room, LOW, 1, done)) for _ in range(2)]
        await asyncio.sleep(0)
        assert done == []
    await asyncio.gather(*waiting)
    async with small_calls(room, 8):
        assert room.waiting == 0


async def test_small_calls_do_not_overtake_a_large_one_before_them() -> None:
    room, done = Room(places=8), list[int]()
    async with small_calls(room, 7):
        large = asyncio.create_task(visit(room, LOW, 1_000, done))
        await eventually(lambda: room.waiting == 1_000)
        small = asyncio.create_task(visit(room, LOW, 1, done))
        await eventually(lambda: room.waiting == 1_001)
        assert done == []
        large.cancel()
        await small  # there was room for it all the time
        assert done == [LOW]
        assert room.waiting == 0


async def test_a_more_urgent_small_call_takes_the_place_that_is_too_small_for_a_large_one() -> None:
    room, done = Room(places=8), list[int]()
    async with small_calls(room, 7):
        large = asyncio.create_task(visit(room, LOW, 1_000, done))
        await eventually(lambda: room.waiting == 1_000)
        await visit(room, HIGH, 1, done)
        assert done == [HIGH]
    await large
    assert done == [HIGH, LOW]
