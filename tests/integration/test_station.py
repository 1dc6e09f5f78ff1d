"""The station loop with real Redis: order, claims from the dead, poison, outages, drain."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from core import keys, members, station
from core.census import census
from core.errors import LedgerUnavailable, StoreError, StoreFull, StoreUnavailable
from core.ids import new_id
from core.model import Priority
from core.station import Batch, StationLoop
from core.store import Store
from core.streams import Append, Settlement, Streams, Wait
from fastpath import pack_frame, record, unpack_frame
from fastpath.layout import NOTIFICATION
from tests.helpers import eventually

NOW = 1_700_000_000_000


def sources(partition: int) -> list[str]:
    return [keys.inbound(partition, p) for p in Priority]


def frame(*names: str) -> bytes:
    return pack_frame([record(NOTIFICATION, id=new_id(0, 2, NOW), priority=2, klass=1, type=n) for n in names])


class Notebook:
    """A handler that writes down what it saw and does what it is told for it."""

    def __init__(self, act: Callable[[str], None] = lambda name: None) -> None:
        self.seen: list[str] = []
        self.act = act

    async def handle(self, batch: Batch) -> list[Settlement]:
        settlements = []
        for entry in batch.entries:
            for item in unpack_frame(entry.frame):
                self.act(item.type)
                self.seen.append(item.type)
            settlements.append(Settlement(entry, appends=(Append(keys.outcomes(batch.partition), entry.frame),)))
        return settlements


@asynccontextmanager
async def running(store: Store, handler: object, **knobs: int) -> AsyncIterator[StationLoop]:
    loop = StationLoop(store, "dispatcher", keys.DISPATCHERS, sources, handler, **{"partitions": 2, **knobs})  # type: ignore[arg-type]
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        loop.stop()
        await asyncio.wait_for(task, 15)


async def empty(store: Store) -> bool:
    states = await census(store, 2)
    return all(s.depth == s.waiting == 0 for s in states if s.stream.startswith("in:"))


async def test_everything_is_handled_once_and_in_order(store: Store) -> None:
    names = [f"n{i}" for i in range(40)]
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame(n)) for n in names])
    book = Notebook()
    async with running(store, book):
        await eventually(lambda: empty(store), 10)
    assert book.seen == names
    assert (await store.send([["XLEN", keys.outcomes(0)]])) == [len(names)]


async def test_what_arrives_while_idle_is_handled(store: Store) -> None:
    book = Notebook()
    async with running(store, book) as loop:
        await eventually(lambda: bool(loop.living), 10)
        await Streams(store).append([Append(keys.inbound(1, Priority.LOW), frame("late"))])
        await eventually(lambda: book.seen == ["late"], 10)


async def test_the_entries_of_a_dead_process_are_claimed(store: Store) -> None:
    dead = await Streams(store, keys.DISPATCHERS, "dead").open()
    await dead.create_groups(sources(0))
    await dead.append([Append(keys.inbound(0, Priority.HIGH), frame("orphan"))])
    assert len(await dead.take(sources(0), NOW, 10)) == 1
    book = Notebook()
    async with running(store, book):
        await eventually(lambda: book.seen == ["orphan"], 10)
        await eventually(lambda: empty(store), 10)


async def test_an_outage_downstream_costs_no_delivery_and_loses_nothing(store: Store) -> None:
    outages = [LedgerUnavailable("down"), StoreFull("full"), StoreUnavailable("away"), LedgerUnavailable("still down")]

    def act(name: str) -> None:
        if outages:
            raise outages.pop()

    book = Notebook(act)
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("patient"))])
    async with running(store, book, poison_limit=1):  # one of them taken for a bug would be the end of it
        await eventually(lambda: empty(store), 10)
    assert book.seen == ["patient"]


class Outages:
    """Redis fails a few reads, then a few that settlements go along with, then a few settlements that are alone."""

    def __init__(self, fault: StoreError, *, in_place: bool) -> None:
        """`in_place`: what goes along is refused, and what is read is read; otherwise the round trip is lost."""
        self.left = {"read": 2, "along": 2, "alone": 2 * in_place}
        self.fault, self.in_place = fault, in_place

    def meet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read, settle = Streams.settle_and_take, Streams.settle

        async def reads(streams: Streams, settlements: Sequence[Settlement], *args: Any) -> Any:
            if not self._fails("along" if settlements else "read"):
                return await read(streams, settlements, *args)
            if not settlements or not self.in_place:
                raise self.fault
            return [self.fault for _ in settlements], (await read(streams, (), *args))[1]

        async def settles(streams: Streams, settlements: Sequence[Settlement]) -> list[bool]:
            if self._fails("alone"):
                raise self.fault
            return await settle(streams, settlements)

        monkeypatch.setattr(Streams, "settle_and_take", reads)
        monkeypatch.setattr(Streams, "settle", settles)

    def _fails(self, which: str) -> bool:
        self.left[which] -= 1
        return self.left[which] >= 0

    @property
    def over(self) -> bool:
        return all(left <= 0 for left in self.left.values())


@pytest.mark.parametrize(
    ("fault", "in_place"),
    [(StoreUnavailable("restarting"), False), (StoreFull("OOM"), False), (StoreFull("OOM"), True)],
    ids=["away", "full", "full for what settles"],
)
async def test_a_station_waits_for_redis_and_handles_once_what_it_could_not_settle(
    store: Store, monkeypatch: pytest.MonkeyPatch, fault: StoreError, in_place: bool
) -> None:
    outages = Outages(fault, in_place=in_place)
    outages.meet(monkeypatch)
    book = Notebook()
    names = [f"n{i}" for i in range(5)]
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame(name)) for name in names])
    async with running(store, book, budget=1):
        await eventually(lambda: empty(store), 10)
    assert (book.seen, outages.over) == (names, True)


async def test_what_redis_refuses_to_settle_for_good_is_handed_out_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.station.SETBACK_S", 0.01)
    monkeypatch.setattr("core.station.LOST_REPLY_MS", 10**9)  # it is not to be found by chance
    outages = Outages(StoreError("Redis refused: WRONGTYPE"), in_place=True)
    outages.left = {"read": 0, "along": 1, "alone": 1}
    outages.meet(monkeypatch)
    book = Notebook()
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("again"))])
    async with running(store, book):
        await eventually(lambda: empty(store), 10)
    assert (book.seen, outages.over) == (["again", "again"], True)


async def test_a_poisonous_record_is_isolated_and_its_neighbours_are_handled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.station.SETBACK_S", 0.001)
    monkeypatch.setattr("core.poison.SPLIT_DELAY_MS", 1)
    monkeypatch.setattr("core.streams.LEASE_MS", 50)

    def act(name: str) -> None:
        if name == "poison":
            raise ZeroDivisionError("cannot digest this")

    book = Notebook(act)
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("good", "poison", "fine"))])
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("neighbour"))])
    async with running(store, book, poison_limit=2):
        await eventually(lambda: empty(store), 30)
    assert {"good", "fine", "neighbour"} <= set(book.seen)
    ((_, letter),) = await Streams(store).peek(keys.dead(0, None), 0, 2**47, 10)
    assert unpack_frame(letter)[0].type == "poison"


async def test_an_item_that_waits_comes_back(store: Store) -> None:
    class Patience(Notebook):
        async def handle(self, batch: Batch) -> list[Settlement]:
            first = [e for e in batch.entries if not e.waiting]
            self.seen += ["waits"] * len(first)
            rest = await super().handle(Batch(batch.partition, [e for e in batch.entries if e.waiting], batch.settle))
            return rest + [Settlement(e, waits=(Wait(e.frame, 1, 0),)) for e in first]

    book = Patience()
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("later"))])
    async with running(store, book):
        await eventually(lambda: book.seen == ["waits", "later"], 10)
        await eventually(lambda: empty(store), 10)


async def test_stopping_finishes_what_is_in_hand_and_leaves_the_rest(store: Store) -> None:
    begun, may_go = asyncio.Event(), asyncio.Event()

    class Slow(Notebook):
        async def handle(self, batch: Batch) -> list[Settlement]:
            begun.set()
            await may_go.wait()
            return await super().handle(batch)

    book = Slow()
    async with running(store, book, budget=1) as loop:
        await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame(n)) for n in ("first", "second")])
        await asyncio.wait_for(begun.wait(), 10)
        loop.stop()
        may_go.set()
    assert book.seen == ["first"]
    assert [s.depth for s in await census(store, 1) if s.stream == "in:high"] == [1]
    assert await store.send([["ZCARD", keys.members("dispatcher")]]) == [0]


async def test_a_drain_does_not_wait_for_ever_and_others_have_the_entry_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "DRAIN_S", 0.05)
    begun = asyncio.Event()

    class Stuck(Notebook):
        async def handle(self, batch: Batch) -> list[Settlement]:
            begun.set()
            await asyncio.Event().wait()
            return []

    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("stuck"))])
    async with running(store, Stuck()):
        await asyncio.wait_for(begun.wait(), 10)
    book = Notebook()
    async with running(store, book):
        await eventually(lambda: book.seen == ["stuck"], 10)


async def test_two_processes_share_the_partitions(store: Store) -> None:
    one, two = Notebook(), Notebook()
    async with running(store, one) as a, running(store, two) as b:
        await eventually(lambda: len(a.living) == len(b.living) == 2, 10)

        async def shared() -> bool:  # a read that was under way when the other came may still bring something
            one.seen, two.seen = [], []
            await Streams(store).append([Append(keys.inbound(p, Priority.HIGH), frame(f"p{p}")) for p in (0, 1)] * 5)
            await eventually(lambda: len(one.seen) + len(two.seen) == 10, 10)
            return sorted(map(set, (one.seen, two.seen)), key=sorted) == [{"p0"}, {"p1"}]

        await eventually(shared, 10)


async def test_groups_are_made_again_after_a_flush(store: Store) -> None:
    book = Notebook()
    async with running(store, book) as loop:
        await eventually(lambda: bool(loop.living), 10)
        await store.send([["FLUSHALL"]])
        await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("after"))])
        await eventually(lambda: book.seen == ["after"], 10)


async def test_while_it_may_not_read_the_queue_is_the_buffer(store: Store) -> None:
    book, gate = Notebook(), [False]
    loop = StationLoop(store, "dispatcher", keys.DISPATCHERS, sources, book, partitions=1, may_read=lambda: gate[0])
    task = asyncio.create_task(loop.run())
    await eventually(lambda: bool(loop.living), 10)
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("patient"))])
    await asyncio.sleep(0.3)
    assert book.seen == []
    assert [(s.depth, s.lag) for s in await census(store, 1) if s.stream == "in:high"] == [(1, 1)]
    gate[0] = True
    await eventually(lambda: book.seen == ["patient"], 10)
    loop.stop()
    await task


async def test_what_is_done_is_settled_though_the_lane_is_not_read_any_more(store: Store) -> None:
    gate = [True]
    book = Notebook(lambda name: gate.clear())
    await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("last"))])
    loop = StationLoop(store, "dispatcher", keys.DISPATCHERS, sources, book, partitions=1, may_read=lambda: bool(gate))
    task = asyncio.create_task(loop.run())
    await eventually(lambda: empty(store), 10)
    assert (book.seen, gate) == (["last"], [])
    loop.stop()
    await task


async def test_a_lost_reply_is_no_lost_entry(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.station.LOST_REPLY_MS", 100)
    book = Notebook()
    async with running(store, book) as loop:
        await eventually(lambda: bool(loop.living), 10)
        twin = await Streams(store, keys.DISPATCHERS, loop.name).open()  # a connection of ours whose answer nobody gets
        reading = asyncio.create_task(twin.wait_for_new([keys.inbound(0, Priority.LOW)], 5000))

        async def stolen() -> bool:
            await twin.append([Append(keys.inbound(0, Priority.LOW), frame("lost"))])
            return reading.done()

        await eventually(stolen, 10)
        await eventually(lambda: empty(store), 20)
    assert set(book.seen) == {"lost"}


async def test_what_was_set_back_is_ours_though_the_lane_is_not_any_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [ZeroDivisionError("once")]
    failed = asyncio.Event()

    def act(name: str) -> None:
        if failures:
            failed.set()
            raise failures.pop()

    one, two = Notebook(act), Notebook()
    monkeypatch.setattr("core.station.SETBACK_S", 2.5)
    monkeypatch.setattr("core.members.new_name", lambda: "b")
    async with running(store, one) as first:
        await eventually(lambda: bool(first.living), 10)
        await Streams(store).append([Append(keys.inbound(0, Priority.HIGH), frame("mine"))])
        await asyncio.wait_for(failed.wait(), 10)
        monkeypatch.setattr("core.members.new_name", lambda: "a")  # sorts first: it gets lane 0
        async with running(store, two):
            await eventually(lambda: empty(store), 20)
    assert (one.seen, two.seen) == (["mine"], [])


async def test_a_driver_that_swallows_the_cancellation_of_a_heartbeat_does_not_hold_the_drain_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[str] = []
    honest = members.Members.beat

    async def beat(self: members.Members) -> list[str]:
        beats.append("begun")
        if len(beats) == 2:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return await honest(self)

    monkeypatch.setattr(members.Members, "beat", beat)
    loop = StationLoop(store, "dispatcher", keys.DISPATCHERS, sources, Notebook(), partitions=1)
    task = asyncio.create_task(loop.run())
    await eventually(lambda: len(beats) == 2, 10)
    loop.stop()
    await asyncio.wait_for(task, 10)
    assert await members.list_members(store, "dispatcher") == []


async def test_a_bug_in_a_lane_ends_the_process_instead_of_leaving_the_lane_unread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Streams, "settle_and_wait", lambda *_: 1 / 0)
    loop = StationLoop(store, "dispatcher", keys.DISPATCHERS, sources, Notebook(), partitions=1)
    with pytest.raises(ExceptionGroup, match="unhandled"):
        await asyncio.wait_for(loop.run(), 10)
    assert await members.list_members(store, "dispatcher") == []


async def test_a_waiting_item_in_hand_does_not_fall_due_for_others(store: Store) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    class Stuck(Notebook):
        async def handle(self, batch: Batch) -> list[Settlement]:
            if not batch.entries[0].waiting:
                return [Settlement(entry, waits=(Wait(entry.frame, 1, 0),)) for entry in batch.entries]
            begun.set()
            await go.wait()
            return await super().handle(batch)

    stream = keys.inbound(0, Priority.HIGH)
    await Streams(store).append([Append(stream, frame("later"))])

    async def leased() -> float:
        ((_, until),) = await store.send([["ZRANGE", keys.due(stream), 0, -1, "WITHSCORES"]])
        return float(until)

    async with running(store, Stuck(), partitions=1):
        await asyncio.wait_for(begun.wait(), 10)
        first = await leased()

        async def renewed() -> bool:
            return await leased() > first

        await eventually(renewed, 10)
        go.set()
        await eventually(lambda: empty(store), 10)
