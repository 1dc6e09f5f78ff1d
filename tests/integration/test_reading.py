"""What a station's lane reads next, with real Redis: urgent ones whatever is in hand, what is due, low in its turn."""

import asyncio

import pytest

from core import keys, lane, station
from core.model import Priority
from core.station import Batch
from core.store import Store
from core.streams import Append, Settlement, Streams, Wait
from fastpath import unpack_frame
from tests.helpers import eventually
from tests.integration.test_station import Notebook, empty, frame, running


async def test_what_is_due_is_found_while_others_come_one_by_one(store: Store) -> None:
    """A lane waits for those without looking for what is due; but not for ever."""

    class Later(Notebook):
        async def handle(self, batch: Batch) -> list[Settlement]:
            first = [e for e in batch.entries if unpack_frame(e.frame)[0].type == "later" and not e.waiting]
            rest = [e for e in batch.entries if e not in first]
            done = await super().handle(Batch(batch.partition, rest, batch.settle))
            return done + [Settlement(e, waits=(Wait(e.frame, 1, 0),)) for e in first]

    book = Later()
    streams = Streams(store)
    async with running(store, book, partitions=1) as loop:
        await eventually(lambda: bool(loop.living), 10)
        await streams.append([Append(keys.inbound(0, Priority.HIGH), frame("later"))])
        for _ in range(200):
            await streams.append([Append(keys.inbound(0, Priority.HIGH), frame("other"))])
            await asyncio.sleep(0.02)
            if "later" in book.seen and book.seen.count("other") > 1:
                break
    assert "later" in book.seen
    assert book.seen.count("other") > 1


async def test_a_hand_that_is_free_again_is_used_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "BLOCK_MS", 60_000)  # whoever blocks on the urgent stream while hands are full stays there

    class Slow(Notebook):
        async def handle(self, batch: Batch) -> list[Settlement]:
            await asyncio.sleep(0.005)  # a provider's answer
            return await super().handle(batch)

    names = [f"n{i}" for i in range(40)]
    await Streams(store).append([Append(keys.inbound(0, Priority.LOW), frame(n)) for n in names])
    book = Slow()
    async with running(store, book, partitions=1, concurrency=2, budget=1):
        await eventually(lambda: len(book.seen) == len(names), 10)
        monkeypatch.undo()
        last = [f"last{i}" for i in range(lane.FEW + 1)]  # so many end the idle lane's wait, and its quiet time
        await Streams(store).append([Append(keys.inbound(0, Priority.LOW), frame(*last))])
        await eventually(lambda: len(book.seen) == len(names) + len(last), 10)  # or the stop leaves them to the next process
    assert sorted(book.seen) == sorted([*names, *last])


class Stuck(Notebook):
    """Keeps low ones in hand until `release`; remembers the streams of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.streams: list[str] = []

    async def handle(self, batch: Batch) -> list[Settlement]:
        self.streams.extend(entry.stream for entry in batch.entries)
        if batch.entries[0].stream == keys.inbound(0, Priority.LOW):
            await self.release.wait()
        return await super().handle(batch)


async def test_an_urgent_one_is_read_while_all_hands_are_full(store: Store) -> None:
    book = Stuck()
    streams = Streams(store)
    await streams.append([Append(keys.inbound(0, Priority.LOW), frame(f"n{i}")) for i in range(3)])
    async with running(store, book, partitions=1, concurrency=2, budget=1):
        await eventually(lambda: len(book.streams) == 2, 10)
        await streams.append([Append(keys.inbound(0, Priority.CRITICAL), frame("code"))])
        await eventually(lambda: book.streams[-1] == keys.inbound(0, Priority.CRITICAL), 10)
        book.release.set()
        await eventually(lambda: len(book.streams) == 4, 10)


async def test_a_stream_read_apart_does_not_wait_for_a_slice_of_the_others(store: Store) -> None:
    book = Stuck()
    streams = Streams(store)
    await streams.append([Append(keys.inbound(0, Priority.LOW), frame("newsletter"))])
    async with running(store, book, partitions=1, apart=True):
        await eventually(lambda: len(book.streams) == 1, 10)
        await streams.append([Append(keys.inbound(0, Priority.CRITICAL), frame("code"))])
        await eventually(lambda: book.streams[-1] == keys.inbound(0, Priority.CRITICAL), 10)
        book.release.set()
        await eventually(lambda: empty(store), 10)


async def test_while_many_urgent_ones_are_unread_the_others_have_their_fair_turn_only(store: Store) -> None:
    streams = Streams(store)
    names = [f"n{i}" for i in range(4 * lane.FAIR_TURN)]
    for priority in (Priority.CRITICAL, Priority.LOW):
        await streams.append([Append(keys.inbound(0, priority), frame(f"{priority.name} {n}")) for n in names])
    book = Notebook()
    async with running(store, book, partitions=1, budget=1, apart=True):
        await eventually(lambda: empty(store), 20)
    last = max(i for i, name in enumerate(book.seen) if name.startswith("CRITICAL"))
    early = [name for name in book.seen[:last] if name.startswith("LOW")]
    assert 1 <= len(early) <= 16
    assert [name for name in book.seen if name.startswith("LOW")] == [f"LOW {n}" for n in names]
