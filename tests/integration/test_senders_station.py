"""The senders' station with real Redis: outcomes before acknowledgement, retries, dead letters, progress, drain, the fence."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

import senders.desk
from core import keys
from core.changes import Changes
from core.clock import ManualClock
from core.errors import LedgerUnavailable
from core.keys import SENDERS
from core.members import Members
from core.metrics import FENCED
from core.model import Channel, Class, ErrorClass, Part, Priority, Status
from core.pokes import Pokes
from core.station import Batch, StationLoop
from core.store import Store
from core.streams import Append, Entry, Streams
from fastpath import Record, pack_frame, unpack_frame
from ledger import Ledger
from senders.aftermath import RetryPolicy
from senders.in_app import InAppChannel
from senders.provider import Answer, Carrier, Desk, Message, delivered, fault, sent
from senders.station import SenderHandler, Unfinished, sources
from senders.turnstile import Turnstile, one_by_one
from tests.helpers import eventually
from tests.unit.senders.kit import NOW, delivery

EMAIL = keys.outbound(0, Channel.EMAIL, Priority.MEDIUM)
POLICY = RetryPolicy((60_000, 300_000), (1_000, 1_000), random.Random(3))


@dataclass
class Post:
    """A provider of e-mails that does what its script says for each; remembers what it took."""

    script: Callable[[Message], Answer] = lambda message: sent(message.id)
    width: int = 10
    taken: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    hold_after: int = 1_000_000  # from this many on, answers wait for the gate
    pace_s: float = 0.0  # how long each takes

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        for message in messages:
            message.provider = "post"
        await one_by_one(Turnstile(self.width), messages, desk, self._attempt)

    async def _attempt(self, message: Message) -> Answer:
        self.taken.append(message.record.address)
        if len(self.taken) > self.hold_after:
            await self.gate.wait()
        await asyncio.sleep(self.pace_s)
        return self.script(message)

    async def close(self) -> None:
        """Nothing is open."""


def loop_with(
    store: Store, carrier: Carrier, clock: ManualClock, channel: Channel = Channel.EMAIL, **knobs: int
) -> StationLoop:
    handler = SenderHandler(channel, carrier, POLICY, clock=clock)
    more = {"partitions": 1, "concurrency": 2, **knobs}
    return StationLoop(store, "sender", SENDERS, lambda p: sources(channel, p), handler, clock=clock, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def running(loop: StationLoop) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        loop.stop()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 15)


async def put(store: Store, items: Sequence[Record], stream: str = EMAIL) -> None:
    await Streams(store).append([Append(stream, pack_frame(items))])


async def outcomes(store: Store, partition: int = 0) -> list[Record]:
    rows = await Streams(store).peek(keys.outcomes(partition), 0, 2**53, 10_000)
    return [outcome for _, frame in rows for outcome in unpack_frame(frame)]


async def statuses(store: Store) -> Counter[Status]:
    return Counter(Status(outcome.status) for outcome in await outcomes(store))


async def depth(store: Store, stream: str) -> int:
    (length,) = await store.send([["XLEN", stream]])
    return int(length)


async def settled(store: Store) -> bool:
    return await depth(store, EMAIL) == 0 and await depth(store, keys.waiting(EMAIL)) == 0


def people(count: int) -> list[Record]:
    return [delivery(f"u{i}@example.org") for i in range(count)]


async def test_a_frame_is_sent_and_told(store: Store) -> None:
    post = Post()
    items = people(120)
    await put(store, items)
    async with running(loop_with(store, post, ManualClock(NOW))):
        await eventually(lambda: settled(store))
    assert sorted(post.taken) == sorted(item.address for item in items)
    told = await outcomes(store)
    assert {outcome.id for outcome in told} == {item.id for item in items}
    assert await statuses(store) == {Status.SENT: 120}


async def test_a_temporary_failure_is_sent_again_when_it_is_due(store: Store) -> None:
    clock, attempts = ManualClock(NOW), Counter[str]()

    def script(message: Message) -> Answer:
        attempts[message.record.address] += 1
        bad = message.record.address == "u1@example.org" and attempts[message.record.address] < 3
        return fault(ErrorClass.TEMPORARY, "503", "try later") if bad else sent()

    await put(store, people(3))
    async with running(loop_with(store, Post(script), clock)):
        await eventually(lambda: statuses_are(store, {Status.SENT: 2, Status.RETRYING: 1}))
        assert await depth(store, EMAIL) == 0  # its frame did not wait for it
        assert await depth(store, keys.waiting(EMAIL)) == 1
        clock.advance(60_000)
        await eventually(lambda: statuses_are(store, {Status.SENT: 2, Status.RETRYING: 2}))
        clock.advance(300_000)
        await eventually(lambda: settled(store))
    last = (await outcomes(store))[-1]
    assert (Status(last.status), last.attempt) == (Status.SENT, 3)
    retried = [o for o in await outcomes(store) if o.status == Status.RETRYING]
    assert [(o.attempt, o.code, o.reason) for o in retried] == [(1, "503", "try later"), (2, "503", "try later")]
    assert attempts["u0@example.org"] == 1


async def statuses_are(store: Store, expected: dict[Status, int]) -> bool:
    found = await statuses(store)
    assert found == expected
    return True


async def test_spent_attempts_end_in_the_dead_letters(store: Store) -> None:
    clock = ManualClock(NOW)
    post = Post(lambda message: fault(ErrorClass.TEMPORARY, "503", "down"))
    await put(store, people(1))
    async with running(loop_with(store, post, clock)):
        for expected in (1, 2):
            await eventually(lambda n=expected: statuses_are(store, {Status.RETRYING: n}))  # type: ignore[misc]
            clock.advance(300_000)
        await eventually(lambda: settled(store))
    assert len(post.taken) == 3
    ((_, frame),) = await Streams(store).peek(keys.dead(0, Channel.EMAIL), 0, 2**53, 10)
    (letter,) = unpack_frame(frame)
    assert (letter.attempt, letter.code, letter.reason, letter.provider) == (3, "503", "down", "post")
    assert (await statuses(store))[Status.DEAD] == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (fault(ErrorClass.PERMANENT, "550", "no"), {Status.FAILED: 1}),
        (fault(ErrorClass.UNREGISTERED, "410", "gone"), {Status.FAILED: 1}),
        (delivered(), {Status.SENT: 1, Status.DELIVERED: 1}),
    ],
)
async def test_final_answers(store: Store, answer: Answer, expected: dict[Status, int]) -> None:
    await put(store, people(1))
    async with running(loop_with(store, Post(lambda message: answer), ManualClock(NOW))):
        await eventually(lambda: settled(store))
    assert await statuses(store) == expected


async def test_a_promotional_one_is_not_sent_twice_after_silence(store: Store) -> None:
    clock = ManualClock(NOW)
    post = Post(lambda message: fault(ErrorClass.AMBIGUOUS, "no_answer", "silence"))
    await put(store, [delivery("p@example.org", klass=Class.PROMOTIONAL), delivery("t@example.org")])
    async with running(loop_with(store, post, clock)):
        await eventually(lambda: statuses_are(store, {Status.UNKNOWN: 2}))
        clock.advance(60_000)
        await eventually(lambda: post.taken.count("t@example.org") == 2)
    assert post.taken.count("p@example.org") == 1


async def test_what_expired_is_not_sent(store: Store) -> None:
    clock, post = ManualClock(NOW), Post(width=1, hold_after=0)
    items = [
        delivery("late@example.org", expires_ms=NOW),
        delivery("a@example.org"),
        delivery("b@example.org", expires_ms=NOW + 5),
    ]
    await put(store, items)
    async with running(loop_with(store, post, clock)):
        await eventually(lambda: post.taken)
        clock.advance(10)  # while the first is at the provider, the time of the last one passes
        post.gate.set()
        await eventually(lambda: settled(store))
    assert post.taken == ["a@example.org"]
    assert await statuses(store) == {Status.EXPIRED: 2, Status.SENT: 1}


async def test_another_resumes_where_a_killed_one_stopped(store: Store) -> None:
    clock = ManualClock(NOW)
    first = Post(hold_after=60, width=7)
    await put(store, people(100))
    task = asyncio.create_task(loop_with(store, first, clock).run())
    await eventually(lambda: statuses_are(store, {Status.SENT: 60}))
    task.cancel()  # no drain: what was at the provider is forgotten
    await asyncio.gather(task, return_exceptions=True)
    assert await depth(store, EMAIL) == 1
    second = Post()
    async with running(loop_with(store, second, clock)):
        await eventually(lambda: settled(store))
    twice = set(first.taken) & set(second.taken)
    assert set(first.taken) | set(second.taken) == {f"u{i}@example.org" for i in range(100)}
    assert len(twice) == 7  # those in flight, and no other
    assert len({o.id for o in await outcomes(store)}) == 100


@pytest.mark.parametrize(("other", "value", "taken"), [("SAVE_S", 3600.0, 50), ("SAVE_ITEMS", 10**6, 7)])
async def test_progress_is_noted_after_fifty_items_or_fifty_milliseconds(
    store: Store, monkeypatch: pytest.MonkeyPatch, other: str, value: float, taken: int
) -> None:
    monkeypatch.setattr(senders.desk, other, value)  # the one without the other
    post = Post(hold_after=taken)
    await put(store, people(100))
    async with running(loop_with(store, post, ManualClock(NOW))):
        await eventually(lambda: statuses_are(store, {Status.SENT: taken}))
        post.gate.set()


async def test_a_drain_finishes_what_is_at_the_provider_and_hands_back_the_rest(store: Store) -> None:
    clock = ManualClock(NOW)
    first = Post(hold_after=20, width=5)
    await put(store, people(60))
    loop = loop_with(store, first, clock)
    task = asyncio.create_task(loop.run())
    await eventually(lambda: len(first.taken) == 25)
    loop.stop()
    first.gate.set()
    await asyncio.wait_for(task, 15)
    assert len(first.taken) == 25
    assert await statuses(store) == {Status.SENT: 25}
    second = Post()
    async with running(loop_with(store, second, clock)):
        await eventually(lambda: settled(store))
    assert not set(first.taken) & set(second.taken)
    assert await statuses(store) == {Status.SENT: 60}


async def test_an_entry_that_another_claimed_is_let_go(store: Store) -> None:
    clock = ManualClock(NOW)
    post = Post(hold_after=50, width=5)
    await put(store, people(100))
    async with running(loop_with(store, post, clock)):
        await eventually(lambda: statuses_are(store, {Status.SENT: 50}))
        await eventually(lambda: len(post.taken) == 55)
        ((entry_id, _),) = await Streams(store).peek(EMAIL, 0, 2**53, 1)
        await store.send([["XCLAIM", EMAIL, SENDERS, "another", 0, entry_id]])
        post.pace_s, fenced = 0.02, FENCED.labels("sender")._value.get()
        post.gate.set()
        await eventually(lambda: len(post.taken) > 55)
        await asyncio.sleep(senders.desk.SAVE_S * 4)  # time in which it could do wrong
    assert FENCED.labels("sender")._value.get() > fenced
    assert (await statuses(store))[Status.SENT] == 50  # nothing was written for an entry that is not ours
    assert len(post.taken) < 100  # and it stopped once it knew


async def test_a_bug_does_not_claim_back_what_is_anothers_by_now(store: Store) -> None:
    def script(message: Message) -> Answer:
        raise ZeroDivisionError

    clock, post = ManualClock(NOW), Post(script, hold_after=0)
    await put(store, people(2))
    async with running(loop_with(store, post, clock)):
        await eventually(lambda: len(post.taken) == 2)
        ((entry_id, _),) = await Streams(store).peek(EMAIL, 0, 2**53, 1)
        await (await Members(store, "sender", "another").open()).beat()
        await store.send([["XCLAIM", EMAIL, SENDERS, "another", 0, entry_id]])
        post.gate.set()
        for _ in range(10):  # longer than any setback
            clock.advance(10_000)
            await asyncio.sleep(0.05)
        assert list((await Streams(store, SENDERS).holders([EMAIL]))[EMAIL]) == ["another"]
    assert len(post.taken) == 2


async def test_a_bug_with_one_does_not_send_the_others_twice(store: Store) -> None:
    def script(message: Message) -> Answer:
        if message.record.address == "u3@example.org":
            raise ZeroDivisionError
        return sent()

    post = Post(script)
    await put(store, people(8))
    clock = ManualClock(NOW)
    async with running(loop_with(store, post, clock, poison_limit=2)):
        await eventually(lambda: statuses_are(store, {Status.SENT: 7}))
        for _ in range(40):  # setbacks, the split, and the end of the only one left
            clock.advance(10_000)
            await asyncio.sleep(0.05)
            if await settled(store):
                break
        await eventually(lambda: settled(store))
    assert Counter(post.taken)["u0@example.org"] == 1
    assert await depth(store, keys.dead(0, Channel.EMAIL)) == 1
    assert (await statuses(store))[Status.DEAD] == 1


async def test_a_channel_that_forgets_a_message_is_found_out(store: Store) -> None:
    class Forgetful(Post):
        async def send(self, messages: Sequence[Message], desk: Desk) -> None:
            await super().send(messages[1:], desk)

    async def settle(settlements: Sequence[object]) -> list[bool]:
        return [True] * len(settlements)

    handler = SenderHandler(Channel.EMAIL, Forgetful(), POLICY, clock=ManualClock(NOW))
    batch = Batch(0, [Entry(EMAIL, "1-1", pack_frame(people(3)))], settle)
    with pytest.raises(Unfinished):
        await handler.handle(batch)


async def test_progress_is_bounded_while_redis_is_away(store: Store) -> None:
    """No more than UNSAVED_MAX (and what is in flight) goes out while nothing can be written down."""
    back = asyncio.Event()

    async def settle(settlements: Sequence[object]) -> list[bool]:
        await back.wait()
        return [True] * len(settlements)

    post = Post(width=10)
    handler = SenderHandler(Channel.EMAIL, post, POLICY, clock=ManualClock(NOW))
    task = asyncio.create_task(handler.handle(Batch(0, [Entry(EMAIL, "1-1", pack_frame(people(1000)))], settle)))
    bound = senders.desk.SAVE_ITEMS + senders.desk.UNSAVED_MAX + 2 * post.width
    await eventually(lambda: len(post.taken) >= senders.desk.UNSAVED_MAX)
    await asyncio.sleep(0.2)
    assert len(post.taken) <= bound
    back.set()
    await asyncio.wait_for(task, 15)
    assert len(post.taken) == 1000


# In-app -----------------------------------------------------------------------------------------------------------------

IN_APP = keys.outbound(0, Channel.IN_APP, Priority.MEDIUM)


def note(recipient: str, title: str) -> Record:
    return delivery(recipient, {Part.TITLE: title, Part.BODY: "b", Part.ACTION: "/x"}, channel=Channel.IN_APP)


async def test_in_app_is_stored_told_and_poked(store: Store, ledger: Ledger) -> None:
    changes = Changes(store)
    pokes = Pokes(store)
    listener = asyncio.create_task(pokes.run())
    items = [note("ada", "one"), note("bob", "two"), note("ada", "three")]
    channel = InAppChannel(ledger, changes)
    async with running(loop_with(store, channel, ManualClock(NOW), Channel.IN_APP)), pokes.watching("ada") as poked:
        await asyncio.wait_for(poked.wait(), 5)  # it listens
        poked.clear()
        await put(store, items, IN_APP)
        await eventually(lambda: statuses_are(store, {Status.SENT: 3, Status.DELIVERED: 3}))
        await asyncio.wait_for(poked.wait(), 5)
    listener.cancel()
    found = await ledger.inbox.list("ada")
    assert [(item.title, item.body, item.action) for item in found] == [("three", "b", "/x"), ("one", "b", "/x")]


async def test_in_app_waits_for_the_ledger(store: Store, ledger: Ledger) -> None:
    class Away:
        """The ledger's inbox, away twice."""

        def __init__(self) -> None:
            self.times = 0
            self.inbox = self

        async def store(self, items: Sequence[object]) -> None:
            self.times += 1
            if self.times <= 2:
                raise LedgerUnavailable("down")
            await ledger.inbox.store(items)  # type: ignore[arg-type]

    away = Away()
    await put(store, [note("ada", "one")], IN_APP)
    async with running(loop_with(store, InAppChannel(away, Changes(store)), ManualClock(NOW), Channel.IN_APP)):  # type: ignore[arg-type]
        await eventually(lambda: statuses_are(store, {Status.SENT: 1, Status.DELIVERED: 1}))
    assert away.times == 3
