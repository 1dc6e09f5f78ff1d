"""Providers that fail, with real Redis and real loops: another takes over, nobody gets two, an outage costs no attempts."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import senders.gate
import senders.routes
from core import keys
from core.bucket import Rate
from core.clock import SYSTEM_CLOCK, Clock, ManualClock
from core.halts import Halts
from core.keys import SENDERS
from core.model import Channel, Class, ErrorClass, Platform, Priority, Status
from core.station import StationLoop
from core.store import Store
from core.streams import Append, Streams
from core.wellbeing import Wellbeings
from fastpath import Record, pack_frame
from senders.aftermath import RetryPolicy
from senders.breaker import State
from senders.gate import Gate
from senders.provider import Answer, Carrier, Desk, Message, Provider, fault, sent
from senders.readiness import Readiness
from senders.routes import Routes
from senders.selection import PUSH_POOLS, Candidate, Selection, email_selection
from senders.sendgrid import SendGrid
from senders.station import SenderHandler, sources
from senders.turnstile import Turnstile, one_by_one
from tests.helpers import eventually
from tests.integration.test_gate_bucket import TurnedBucket
from tests.integration.test_senders_station import depth, outcomes
from tests.unit.senders.kit import NOW, PUSH, delivery
from tests.unit.senders.sandboxed import arrived, sandboxed, settings_of

POLICY = RetryPolicy((60_000, 300_000), (1_000, 1_000), random.Random(3))


class Post:
    """A provider that answers by its script; remembers whom it took, in order, and whom it saw."""

    def __init__(self, name: str, script: Callable[[Message], Answer]) -> None:
        self.name = name
        self.script = script
        self.taken: list[Record] = []
        self.seen: Counter[str] = Counter()
        self.refused = 0  # its answers that were no success
        self.go = asyncio.Event()  # answers wait for it
        self.go.set()

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        await one_by_one(Turnstile(8), messages, desk, self._attempt)

    async def _attempt(self, message: Message) -> Answer:
        await self.go.wait()
        answer = self.script(message)
        if answer.error_class is not ErrorClass.UNREACHABLE:
            self.seen[message.record.address] += 1
        if answer.error_class is ErrorClass.NONE:
            self.taken.append(message.record)
        else:
            self.refused += 1
        return answer

    async def close(self) -> None:
        """Nothing is open."""


def well(message: Message) -> Answer:
    return sent(message.id)


def down(message: Message) -> Answer:
    return fault(ErrorClass.UNREACHABLE, "connect", "refused")


def routes_of(posts: Sequence[Post], clock: Clock, gates: Mapping[str, Gate] | None = None) -> Routes:
    providers: dict[str, Provider] = {post.name: post for post in posts}
    return Routes(Channel.EMAIL, providers, {0: Selection([Candidate(p.name) for p in posts])}, gates, clock)


@asynccontextmanager
async def sending(
    store: Store, carrier: Carrier, routes: Routes, clock: Clock = SYSTEM_CLOCK, dead_letter_limit: int = 0
) -> AsyncIterator[Readiness]:
    """A sender of one partition with all that belongs to it."""
    channel = routes.channel
    readiness = Readiness(channel, store, routes, dead_letter_limit=dead_letter_limit, clock=clock)
    loop = StationLoop(
        store,
        "sender",
        SENDERS,
        lambda p: sources(channel, p),
        SenderHandler(channel, carrier, POLICY, on_dead=readiness.note_dead, clock=clock),
        partitions=1,
        concurrency=4,
        may_read=readiness.may_read,
        on_poison=readiness.note_dead,
        clock=clock,
    )
    tasks = [asyncio.create_task(each.run()) for each in (readiness, loop)]
    try:
        yield readiness
    finally:
        readiness.stop()
        loop.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        await carrier.close()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders.gate, "POLL_S", 0.02)
    monkeypatch.setattr(senders.routes, "PATIENCE_S", 0.05)


async def put(store: Store, items: Sequence[Record], priority: Priority = Priority.MEDIUM, frame: int = 200) -> None:
    stream = keys.outbound(0, Channel(items[0].channel), priority)
    frames = [pack_frame(items[i : i + frame]) for i in range(0, len(items), frame)]
    await Streams(store).append([Append(stream, each) for each in frames])


async def story(store: Store) -> dict[bytes, list[tuple[Status, str, int]]]:
    """Each delivery's events: (status, provider, attempt), in their order."""
    told: dict[bytes, list[tuple[Status, str, int]]] = defaultdict(list)
    for o in await outcomes(store):
        told[o.id].append((Status(o.status), o.provider, o.attempt))
    return told


async def test_one_of_two_email_providers_answers_503(store: Store, tmp_path: Path) -> None:
    """Of 1,000 e-mails all are sent, nobody gets two, and operators see the breaker."""
    async with sandboxed(tmp_path) as sandbox:
        sandbox.sandbox.faults.tell({"provider": "sendgrid", "kind": "error", "status": 503})
        settings = settings_of(sandbox, email_providers=["sendgrid", "smtp"], sendgrid={"batch_max": 20, "batch_wait_ms": 5})
        other = Post("smtp", well)
        providers: dict[str, Provider] = {"sendgrid": SendGrid(settings), "smtp": other}
        routes = Routes(Channel.EMAIL, providers, {0: email_selection(settings)})
        items = [delivery(f"u{i}@example.org") for i in range(1000)]
        await put(store, items)
        async with sending(store, routes, routes):
            await eventually(lambda: depth_is(store, 0), 40)

            async def told_operators() -> bool:
                seen = {w.provider: w for _, _, w in await Wellbeings(store).ask()}
                assert seen["sendgrid"].breaker in (State.OPEN, State.HALF_OPEN)
                return (seen["smtp"].breaker, seen["smtp"].share) == (State.CLOSED, 1.0)

            await eventually(told_operators)
        assert not arrived(sandbox, "sendgrid")
        assert Counter(record.address for record in other.taken) == Counter(item.address for item in items)
        told = await story(store)
        assert all((Status.SENT, "smtp") in {event[:2] for event in events} for events in told.values())
        moved = [events for events in told.values() if events[0][0] is Status.RETRYING]
        assert moved
        assert all([e[:2] for e in events][:2] == [(Status.RETRYING, "sendgrid"), (Status.SENT, "smtp")] for events in moved)


async def after_ten_minutes_without_a_provider(store: Store) -> list[Priority]:
    """What it did not see is not counted, and the backlog goes out at the configured rate; the order in which it does."""
    clock, rate = ManualClock(NOW), Rate(per_s=50, burst=20, reserve=5)
    bucket = TurnedBucket(store, rate, clock)
    gate = Gate("post", await bucket.open(), clock=clock)
    post = Post("post", down)
    routes = routes_of([post], clock, {"post": gate})
    async with sending(store, routes, routes, clock):
        await put(store, [delivery(f"early{i}@example.org") for i in range(20)])
        await eventually(lambda: gate.state is State.OPEN)
        await put(store, [delivery(f"low{i}@example.org", priority=Priority.LOW) for i in range(200)], Priority.LOW, 50)
        await put(store, [delivery(f"code{i}@example.org", priority=Priority.CRITICAL) for i in range(30)], Priority.CRITICAL)
        for _ in range(60):
            clock.advance(10_000)
            await asyncio.sleep(0.01)
        tries = len(await outcomes(store))
        assert tries < 100  # ten minutes of a dead provider: a few probes, not 250 messages again and again
        assert not post.seen
        post.script = well
        post.go.clear()
        # A probe that was refused in the last moment is in the books, due again, and back in hand: a lane looks for what is due
        # every BLOCK_MS of real time, in which this clock would let a hundred others go.
        await eventually(lambda: told_of_all(store, post.refused))
        clock.advance(60_000)
        codes = keys.outbound(0, Channel.EMAIL, Priority.CRITICAL)
        await eventually(lambda: in_hand(store, codes, clock.now_ms()))
        post.go.set()
        start_ms, granted = clock.now_ms(), 0
        for _ in range(4000):
            clock.advance(50)
            await asyncio.sleep(0.005)
            granted = len(post.taken)
            assert granted <= rate.burst + rate.per_s * (clock.now_ms() - start_ms) / 1000 + 3  # and the probes
            if granted == 250:
                break
        assert granted == 250
        await eventually(lambda: depth_is(store, 0))
    for events in (await story(store)).values():
        assert [e[0] for e in events].count(Status.SENT) == 1
        assert events[-1] == (Status.SENT, "post", 1)  # whatever was tried meanwhile, it is the first attempt
    return [Priority(record.priority) for record in post.taken]


async def test_ten_minutes_without_a_provider_cost_no_attempt(store: Store) -> None:
    assert Counter(await after_ten_minutes_without_a_provider(store))[Priority.CRITICAL] == 30


async def test_critical_ones_go_first_when_a_provider_is_back(store: Store) -> None:
    order = await after_ten_minutes_without_a_provider(store)
    last_code = max(i for i, priority in enumerate(order) if priority is Priority.CRITICAL)
    assert Counter(order[: last_code + 1])[Priority.LOW] <= 5


async def told_of_all(store: Store, refused: int) -> bool:
    """Whether every refusal is in the books, and with it the time of the next attempt."""
    return [Status(o.status) for o in await outcomes(store)].count(Status.RETRYING) == refused


async def in_hand(store: Store, stream: str, now_ms: int) -> bool:
    """Whether all that is left of a stream is in a sender's hand: read, and nothing due is left lying."""
    *held, due = await store.send(
        [
            ["XPENDING", stream, SENDERS],
            ["XPENDING", keys.waiting(stream), SENDERS],
            ["ZCOUNT", keys.due(stream), "-inf", now_ms],
        ]
    )
    return sum(int(reply[0]) for reply in held) > 0 and due == 0


async def depth_above(store: Store, stream: str, least: int) -> bool:
    return await depth(store, stream) > least


async def depth_is(store: Store, expected: int) -> bool:
    streams = sources(Channel.EMAIL, 0)
    return sum([await depth(store, n) for s in streams for n in (s, keys.waiting(s))]) == expected


async def test_a_first_failure_goes_to_another_at_once(store: Store) -> None:
    clock = ManualClock(NOW)
    bad = Post("bad", lambda message: fault(ErrorClass.TEMPORARY, "503", "down"))
    good = Post("good", well)
    routes = routes_of([bad, good], clock)
    async with sending(store, routes, routes, clock):
        await put(store, [delivery(f"u{i}@example.org") for i in range(20)])

        async def told() -> bool:
            clock.advance(1)  # due at once is a millisecond later
            return await depth_is(store, 0)

        await eventually(told)
        assert clock.now_ms() < NOW + 60_000
    assert sorted(r.address for r in good.taken) == sorted(f"u{i}@example.org" for i in range(20))
    events = (await story(store)).values()
    assert {tuple(e) for e in events} == {
        ((Status.SENT, "good", 1),),
        ((Status.RETRYING, "bad", 1), (Status.SENT, "good", 2)),
    }


async def test_silence_is_never_followed_by_another_provider(store: Store) -> None:
    clock = ManualClock(NOW)
    mute = Post("mute", lambda message: fault(ErrorClass.AMBIGUOUS, "no_answer", ""))
    good = Post("good", well)
    routes = routes_of([mute, good], clock)
    async with sending(store, routes, routes, clock):
        await put(store, [delivery(f"u{i}@example.org", klass=Class.ALERT) for i in range(40)])
        for _ in range(400):
            clock.advance(30_000)
            await asyncio.sleep(0.02)
            if await depth_is(store, 0):
                break
        await eventually(lambda: depth_is(store, 0))
    assert mute.seen
    assert not mute.seen.keys() & {record.address for record in good.taken}


async def test_a_platform_that_is_down_does_not_hold_up_the_other(store: Store) -> None:
    clock = ManualClock(NOW)
    apns, fcm = Post("apns", down), Post("fcm", well)
    routes = Routes(Channel.PUSH, {"apns": apns, "fcm": fcm}, PUSH_POOLS, clock=clock)
    phones = [(Platform.APNS, f"a{i}") for i in range(600)] + [(Platform.FCM, f"f{i}") for i in range(600)]
    random.Random(1).shuffle(phones)
    async with sending(store, routes, routes, clock):
        await put(store, [delivery(t, PUSH, channel=Channel.PUSH, platform=p) for p, t in phones], frame=100)
        await eventually(lambda: len(fcm.taken) == 600, 20)
        told = await story(store)
        assert sum(len(events) for events in told.values()) < 700  # what was set aside left no event
        apns.script = well

        async def rest() -> bool:
            clock.advance(500)
            return len(apns.taken) == 600

        await eventually(rest, 30)
    assert {e[-1][2] for e in (await story(store)).values()} == {1}


async def test_dead_letters_halt_the_channel_until_it_is_resumed(store: Store) -> None:
    clock = ManualClock(NOW)
    post = Post("post", lambda message: fault(ErrorClass.TEMPORARY, "503", "a bad deploy"))
    routes = routes_of([post], clock)
    items = [delivery(f"u{i}@example.org", attempt=2) for i in range(300)]  # at their last attempt
    dead = keys.dead(0, Channel.EMAIL)
    async with sending(store, routes, routes, clock, dead_letter_limit=6):
        await put(store, items, frame=20)

        async def halted() -> bool:
            clock.advance(100)
            return bool(await Halts(store).list())

        await eventually(halted, 20)
        await eventually(lambda: depth_above(store, dead, 6))
        assert await depth(store, dead) < 40  # those in flight, not the queue
        post.script = well
        clock.advance(120_000)
        await asyncio.sleep(0.3)
        assert not post.taken
        await Halts(store).resume(Channel.EMAIL)

        async def drained() -> bool:
            clock.advance(100)
            return await depth_is(store, 0)

        await eventually(drained, 20)
        assert len(post.taken) == 300 - await depth(store, dead)


async def test_calls_grow_with_the_queue(store: Store, tmp_path: Path) -> None:
    async with sandboxed(tmp_path) as sandbox:
        settings = settings_of(sandbox, sendgrid={"batch_max": 1000, "batch_wait_ms": 50})
        routes = Routes(Channel.EMAIL, {"sendgrid": SendGrid(settings)}, {0: email_selection(settings)})
        await put(store, [delivery(f"u{i}@example.org") for i in range(2000)], frame=100)
        async with sending(store, routes, routes):
            await eventually(lambda: depth_is(store, 0), 40)
        calls = Counter(m.provider_id.partition(".")[0] for m in arrived(sandbox, "sendgrid"))
        assert sum(calls.values()) == 2000
        assert max(calls.values()) == 1000  # more than one slice of the stream holds
