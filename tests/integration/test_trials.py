"""Processes that vanish again and again, with real Redis: who was being worked on is set aside, who only waited is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from core import keys
from core.clock import ManualClock
from core.keys import DISPATCHERS, SENDERS
from core.model import Channel, Priority, Status
from core.station import Batch, StationLoop
from core.store import Store
from core.streams import Append, Entry, Settlement, Streams
from fastpath import unpack_frame
from senders.gate import Gate, Pass
from senders.provider import Answer, Message
from senders.routes import Routes
from senders.station import SenderHandler, sources
from tests.helpers import eventually
from tests.integration.test_failover import POLICY, Post, depth_is, put, routes_of, well
from tests.integration.test_senders_station import statuses
from tests.integration.test_station import Notebook, frame
from tests.unit.senders.kit import NOW, delivery

LIMIT = 2


@asynccontextmanager
async def vanishing(loop: StationLoop) -> AsyncIterator[None]:
    """A process that is killed at the end of the block: nothing is settled, nothing handed back."""
    task = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def sender(store: Store, routes: Routes, clock: ManualClock) -> StationLoop:
    handler = SenderHandler(Channel.EMAIL, routes, POLICY, clock=clock)
    knobs = {"partitions": 1, "concurrency": 4, "poison_limit": LIMIT}
    return StationLoop(store, "sender", SENDERS, lambda p: sources(Channel.EMAIL, p), handler, clock=clock, **knobs)  # type: ignore[arg-type]


async def handed_out(store: Store, stream: str, times: list[int]) -> bool:
    (rows,) = await store.send([["XPENDING", stream, SENDERS, "-", "+", 100]])
    return [int(row[3]) for row in rows] == times


class Queue(Gate):
    """A gate at which nobody passes; it knows how many messages stand before it."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__("post", clock=clock)
        self.held = True
        self.standing = 0

    async def enter(self, urgency: int, wanted: int, draining: asyncio.Event, patience_s: float) -> Pass:
        self.standing += wanted
        try:
            return await super().enter(urgency, wanted, draining, patience_s)
        finally:
            self.standing -= wanted


class Deaf(Post):
    """A provider that takes a call and never answers."""

    def __init__(self) -> None:
        super().__init__("post", well)
        self.called = asyncio.Event()

    async def _attempt(self, message: Message) -> Answer:
        self.called.set()
        await asyncio.Event().wait()
        return await super()._attempt(message)


def stand(gate: Queue, count: int) -> bool:
    return gate.standing == count


@pytest.mark.timeout(120)
async def test_who_only_waited_in_the_hands_of_the_killed_is_sent_in_the_end(store: Store) -> None:
    clock = ManualClock(NOW)
    stream = keys.outbound(0, Channel.EMAIL, Priority.MEDIUM)
    await Streams(store, SENDERS).create_groups([stream])
    await put(store, [delivery(f"u{i}@example.org") for i in range(6)], frame=1)
    for times in range(1, 3 * LIMIT):
        gate = Queue(clock)
        async with vanishing(sender(store, routes_of([Post("post", well)], clock, {"post": gate}), clock)):
            await eventually(partial(stand, gate, 6), 20)  # not before: on its way there it is worked on
            assert await handed_out(store, stream, [times] * 6)
            assert await marks_are(store, stream, 0)
    post = Post("post", well)
    async with vanishing(sender(store, routes_of([post], clock), clock)):
        await eventually(lambda: depth_is(store, 0), 20)
        await eventually(lambda: marks_are(store, stream, 0), 20)
    assert sorted(post.seen.values()) == [1] * 6
    assert await statuses(store) == {Status.SENT: 6}


@pytest.mark.timeout(120)
async def test_who_was_at_the_provider_each_time_is_set_aside(store: Store) -> None:
    clock = ManualClock(NOW)
    stream = keys.outbound(0, Channel.EMAIL, Priority.MEDIUM)
    await Streams(store, SENDERS).create_groups([stream])
    await put(store, [delivery()])
    for times in range(1, LIMIT + 1):
        deaf = Deaf()
        async with vanishing(sender(store, routes_of([deaf], clock), clock)):
            await eventually(deaf.called.is_set, 20)
            assert await handed_out(store, stream, [times])
            assert await marks_are(store, stream, int(times == LIMIT))
    post = Post("post", well)
    async with vanishing(sender(store, routes_of([post], clock), clock)):
        await eventually(lambda: depth_is(store, 0), 20)
    assert not post.seen
    assert await statuses(store) == {Status.DEAD: 1}


async def marks_are(store: Store, stream: str, count: int) -> bool:
    (found,) = await store.send([["HLEN", keys.trials(stream)]])
    return bool(found == count)


@pytest.mark.timeout(120)
async def test_who_takes_every_process_with_it_is_set_aside(store: Store) -> None:
    class Stuck(Notebook):
        async def handle(self, batch: Batch) -> list[Settlement]:
            await super().handle(batch)
            await asyncio.Event().wait()
            return []

    stream = keys.inbound(0, Priority.HIGH)
    await Streams(store).append([Append(stream, frame("deadly"))])
    for times in range(1, LIMIT + 1):
        book = Stuck()
        knobs = {"partitions": 1, "poison_limit": LIMIT}
        loop = StationLoop(store, "dispatcher", DISPATCHERS, lambda p: [stream], book, **knobs)  # type: ignore[arg-type]
        async with vanishing(loop):
            await eventually(partial(book.seen.count, "deadly"), 20)
            assert await marks_are(store, stream, int(times == LIMIT))
    loop = StationLoop(store, "dispatcher", DISPATCHERS, lambda p: [stream], Notebook(), **knobs)  # type: ignore[arg-type]
    async with vanishing(loop):
        await eventually(lambda: letters_are(store, ["deadly"]), 20)


async def letters_are(store: Store, types: list[str]) -> bool:
    found = await Streams(store).peek(keys.dead(0, None), 0, 2**53, 10)
    return [unpack_frame(letter)[0].type for _, letter in found] == types


async def test_a_mark_says_in_which_delivery(store: Store) -> None:
    streams = await Streams(store, SENDERS, "alice").open()
    stream = keys.outbound(0, Channel.EMAIL, Priority.MEDIUM)
    first, again = (Entry(stream, "1-0", b"", deliveries=n) for n in (3, 4))
    waiting = Entry(stream, "1-0", b"", waiting=True, deliveries=4)
    assert await streams.mark(first) is None
    assert await streams.mark(first) == 3  # its reply was lost, and it is asked again
    assert await streams.mark(waiting) is None  # another entry, with the same id
    assert await streams.mark(again) == 3
    await streams.unmark(again)
    assert await streams.mark(again) is None
    (ttl,) = await store.send([["PTTL", keys.trials(stream)]])
    assert 0 < ttl <= 24 * 3600 * 1000
