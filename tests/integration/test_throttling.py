"""Providers that ask for patience, with real Redis and real loops: who slows down, and who is not held up by it."""

import asyncio
from collections import Counter

import pytest

import senders.gate
import senders.routes
from core.clock import ManualClock
from core.model import ErrorClass
from core.store import Store
from senders.gate import Gate
from senders.provider import Answer, Message, fault, sent
from tests.helpers import eventually
from tests.integration.test_failover import Post, depth_is, put, routes_of, sending, well
from tests.integration.test_gate_bucket import TurnedBucket
from tests.unit.senders.kit import NOW, delivery


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders.gate, "POLL_S", 0.02)
    monkeypatch.setattr(senders.routes, "PATIENCE_S", 0.05)


async def throttled_gate(store: Store, name: str, clock: ManualClock) -> Gate:
    """The gate of an account without a limit."""
    return Gate(name, await TurnedBucket(store, None, clock).open(), clock=clock)


async def test_a_429_without_a_limit_slows_down_what_was_let_through(store: Store) -> None:
    """Of 500 that were in hand, a provider that takes 20 a second refuses a few, not all of the others."""
    clock, taken, refused = ManualClock(NOW), Counter[int](), Counter[int]()

    def picky(message: Message) -> Answer:
        second = clock.now_ms() // 1000
        if taken[second] < 20:
            taken[second] += 1
            return sent(message.id)
        refused[second] += 1
        return fault(ErrorClass.THROTTLED, "429", "slow down")

    post = Post("post", picky)
    routes = routes_of([post], clock, {"post": await throttled_gate(store, "post", clock)})
    await put(store, [delivery(f"u{i}@example.org") for i in range(500)])
    async with sending(store, routes, routes, clock):
        for _ in range(6000):
            if await depth_is(store, 0):
                break
            clock.advance(50)
            await asyncio.sleep(0.002)
        await eventually(lambda: depth_is(store, 0))
    assert len(post.taken) == 500
    assert refused.total() < 100  # without it: 480 at once


async def test_a_domain_that_asks_for_patience_holds_up_nobody_else(store: Store) -> None:
    clock = ManualClock(NOW)

    def picky(message: Message) -> Answer:
        if not message.record.address.endswith("@Slow.example"):
            return sent(message.id)
        return fault(ErrorClass.THROTTLED, "4.7.0", "too many mails")

    post = Post("smtp", picky)
    gate = await throttled_gate(store, "smtp", clock)
    routes = routes_of([post], clock, {"smtp": gate})
    slow = [delivery(f"u{i}@Slow.example") for i in range(100)]
    await put(store, [*slow, *(delivery(f"u{i}@quick.example") for i in range(300))])
    async with sending(store, routes, routes, clock):
        await eventually(lambda: len(post.taken) == 300)
        assert not gate.limited
        lanes = routes.lanes["smtp"]
        assert lanes.of(delivery("x@slow.example")) is not None
        assert lanes.of(delivery("x@quick.example")) is None
        assert sum(post.seen[item.address] for item in slow) < 20  # those that were at it, not all
        post.script = well

        async def rest() -> bool:
            clock.advance(1_000)
            return len(post.taken) == 400

        await eventually(rest, 30)
