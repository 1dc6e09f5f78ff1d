"""The verbs of a stream against a real Redis: nothing is lost, nothing is done twice, strangers are fenced off."""

import pytest

from core import keys
from core.errors import StoreError
from core.model import Channel, Priority
from core.store import Store
from core.streams import LEASE_MS, Append, Entry, Settlement, Streams, Wait
from fastpath import pack_frame, record
from fastpath.layout import NOTIFICATION

NOW = 1_700_000_000_000
SOURCES = [keys.inbound(0, p) for p in Priority]
CRITICAL, HIGH, MEDIUM, LOW = SOURCES
NEXT = keys.outbound(0, Channel.EMAIL, Priority.HIGH)


def frame(n: int = 1) -> bytes:
    return pack_frame([record(NOTIFICATION, id=bytes(16), type=f"t{i}") for i in range(n)])


async def consumer(store: Store, name: str) -> Streams:
    streams = await Streams(store, keys.DISPATCHERS, name).open()
    await streams.create_groups(SOURCES)
    return streams


@pytest.fixture
async def alice(store: Store) -> Streams:
    return await consumer(store, "alice")


@pytest.fixture
async def bob(store: Store) -> Streams:
    return await consumer(store, "bob")


async def lengths(store: Store, *names: str) -> list[int]:
    return await store.send([["XLEN", name] for name in names])


async def test_what_was_appended_before_the_group_existed_is_read(store: Store) -> None:
    await Streams(store).append([Append(HIGH, frame())])
    alice = await consumer(store, "alice")
    assert [e.stream for e in await alice.take(SOURCES, NOW, 10)] == [HIGH]


async def test_taking_is_strict_by_priority_and_bounded_by_records(alice: Streams) -> None:
    await alice.append([Append(LOW, frame(5)), Append(HIGH, frame(5)), Append(CRITICAL, frame(5)), Append(CRITICAL, frame(5))])
    assert [e.stream for e in await alice.take(SOURCES, NOW, 10)] == [CRITICAL, CRITICAL]
    assert [e.stream for e in await alice.take(SOURCES, NOW, 1)] == [HIGH]
    assert [e.stream for e in await alice.take(SOURCES, NOW, 10)] == [LOW]
    assert await alice.take(SOURCES, NOW, 10) == []


async def test_many_small_entries_come_in_one_take_and_in_order(alice: Streams) -> None:
    ids = await alice.append([Append(LOW, frame()) for _ in range(100)])
    taken = await alice.take(SOURCES, NOW, 60)
    assert [e.id for e in taken] == ids[: len(taken)]
    assert 60 <= len(taken) <= 100


async def test_settling_hands_on_and_ends_the_entry(store: Store, alice: Streams) -> None:
    await alice.append([Append(HIGH, frame())])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    assert await alice.settle([Settlement(entry, appends=(Append(NEXT, b"one"), Append(NEXT, b"two")))]) == [True]
    assert await lengths(store, HIGH, NEXT) == [0, 2]
    assert await alice.holders([HIGH]) == {HIGH: {}}


async def test_settlements_go_along_with_a_read(store: Store, alice: Streams) -> None:
    await alice.append([Append(HIGH, frame()), Append(LOW, frame())])
    (first,) = await alice.take(SOURCES, NOW, 1)
    done = Settlement(first, appends=(Append(NEXT, b"one"),))
    ours, (second,) = await alice.settle_and_take([done, done], SOURCES, NOW, 1)
    assert (ours, second.stream, await lengths(store, HIGH, NEXT)) == ([True, False], LOW, [0, 1])
    ours, found = await alice.settle_and_wait([Settlement(second)], SOURCES, 10)
    assert (ours, found, await lengths(store, LOW)) == ([True], [], [0])


async def test_a_refused_settlement_does_not_lose_what_was_read_with_it(store: Store, alice: Streams) -> None:
    await alice.append([Append(HIGH, frame()), Append(LOW, frame()), Append(LOW, frame())])
    await store.send([["SET", NEXT, "no stream"]])
    (first,) = await alice.take(SOURCES, NOW, 1)
    refused = Settlement(first, appends=(Append(NEXT, b"one"),))
    (fault,), (second,) = await alice.settle_and_take([refused], SOURCES, NOW, 1)
    assert isinstance(fault, StoreError) and second.stream == LOW
    (fault,), (third,) = await alice.settle_and_wait([refused], SOURCES, 10)
    assert isinstance(fault, StoreError) and third.stream == LOW


async def test_a_repeated_settlement_is_fenced(store: Store, alice: Streams) -> None:
    await alice.append([Append(HIGH, frame())])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    done = Settlement(entry, appends=(Append(NEXT, b"one"),))
    assert await alice.settle([done, done]) == [True, False]
    assert await lengths(store, NEXT) == [1]


async def test_who_lost_an_entry_cannot_settle_it(store: Store, alice: Streams, bob: Streams) -> None:
    await alice.append([Append(HIGH, frame())])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    (adopted,) = await bob.adopt(HIGH, await bob.held_by(HIGH, "alice", 10), "alice")
    assert adopted.deliveries == 2
    assert await alice.settle([Settlement(entry, appends=(Append(NEXT, b"late"),))]) == [False]
    assert await lengths(store, HIGH, NEXT) == [1, 0]
    assert await bob.settle([Settlement(adopted, appends=(Append(NEXT, b"good"),))]) == [True]
    assert await lengths(store, HIGH, NEXT) == [0, 1]


async def test_what_somebody_else_claimed_meanwhile_is_not_adopted(store: Store, alice: Streams, bob: Streams) -> None:
    await alice.append([Append(HIGH, frame()), Append(HIGH, frame())])
    first, second = await alice.take(SOURCES, NOW, 10)
    await store.send([["XCLAIM", HIGH, keys.DISPATCHERS, "carol", 0, first.id]])
    assert [entry.id for entry in await alice.adopt(HIGH, [first.id, second.id])] == [second.id]
    assert [entry.id for entry in await bob.adopt(HIGH, [first.id, second.id], "alice")] == [second.id]
    assert await alice.holders([HIGH]) == {HIGH: {"bob": 1, "carol": 1}}


async def test_progress_is_noted_once_and_found_by_the_heir(store: Store, alice: Streams, bob: Streams) -> None:
    await alice.append([Append(HIGH, frame(3))])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    step = Settlement(entry, appends=(Append(NEXT, b"first"),), done=b"\x01")
    assert await alice.settle([step, step]) == [True, True]
    assert await lengths(store, HIGH, NEXT) == [1, 1]
    (adopted,) = await bob.adopt(HIGH, [entry.id], "alice")
    assert adopted.done == b"\x01"
    await bob.settle([Settlement(adopted)])
    assert await store.send([["HLEN", keys.progress(HIGH)]]) == [0]


async def test_a_waiting_item_is_pending_but_not_read_before_it_is_due(store: Store, alice: Streams) -> None:
    await alice.append([Append(HIGH, frame(2))])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    await alice.settle([Settlement(entry, waits=(Wait(frame(), NOW + 60_000, 3),))])
    assert await alice.holders([keys.waiting(HIGH)]) == {keys.waiting(HIGH): {"alice": 1}}
    assert await alice.take(SOURCES, NOW + 59_999, 10) == []
    (again,) = await alice.take(SOURCES, NOW + 60_000, 10)
    assert (again.stream, again.waiting, again.deliveries, again.frame) == (HIGH, True, 4, frame())
    assert await alice.settle([Settlement(again, appends=(Append(NEXT, b"x"),))]) == [True]
    assert await lengths(store, keys.waiting(HIGH), NEXT) == [0, 1]
    assert await store.send([["ZCARD", keys.due(HIGH)]]) == [0]


async def test_a_waiting_item_can_wait_again(alice: Streams) -> None:
    await alice.append([Append(HIGH, frame())])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    await alice.settle([Settlement(entry, waits=(Wait(frame(), NOW, 1),))])
    (first,) = await alice.take(SOURCES, NOW, 10)
    await alice.settle([Settlement(first, waits=(Wait(frame(), NOW + 5, 2),))])
    (second,) = await alice.take(SOURCES, NOW + 5, 10)
    assert (second.waiting, second.deliveries) == (True, 3)


async def test_a_waiting_item_falls_due_again_unless_its_lease_is_renewed(alice: Streams, bob: Streams) -> None:
    await alice.append([Append(HIGH, frame())])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    await alice.settle([Settlement(entry, waits=(Wait(frame(), NOW, 1),))])
    (held,) = await alice.take(SOURCES, NOW, 10)
    await alice.renew([held], NOW + LEASE_MS - 1)
    assert await bob.take(SOURCES, NOW + LEASE_MS, 10) == []
    (inherited,) = await bob.take(SOURCES, NOW + 2 * LEASE_MS, 10)
    assert inherited.id == held.id
    assert await alice.settle([Settlement(held)]) == [False]
    assert await bob.settle([Settlement(inherited)]) == [True]
    await alice.renew([held], NOW)  # what is settled does not come back by a late renewal
    assert await bob.take(SOURCES, NOW + 9 * LEASE_MS, 10) == []


async def test_due_items_come_before_new_ones_of_their_priority_and_after_more_urgent_ones(alice: Streams) -> None:
    await alice.append([Append(HIGH, frame())])
    (entry,) = await alice.take(SOURCES, NOW, 10)
    await alice.settle([Settlement(entry, waits=(Wait(frame(), NOW, 1),))])
    await alice.append([Append(HIGH, frame()), Append(CRITICAL, frame())])
    taken = [(e.stream, e.waiting) for e in await alice.take(SOURCES, NOW, 10)]
    assert taken == [(CRITICAL, False), (HIGH, True), (HIGH, False)]


async def test_waiting_for_new_wakes_up_and_keeps_the_order(alice: Streams) -> None:
    assert await alice.wait_for_new(SOURCES, 10) == []
    await alice.append([Append(LOW, frame()), Append(CRITICAL, frame())])
    assert [e.stream for e in await alice.wait_for_new(SOURCES, 1000)] == [CRITICAL, LOW]


async def test_consumers_that_hold_something_are_not_buried(store: Store, alice: Streams, bob: Streams) -> None:
    await alice.append([Append(HIGH, frame()), Append(LOW, frame())])
    held = await alice.take([HIGH], NOW, 1)
    (other,) = await bob.take([LOW], NOW, 1)
    await bob.settle([Settlement(other)])
    assert await alice.bury(SOURCES, ["carol"]) == 1
    assert await alice.settle([Settlement(held[0])]) == [True]


async def test_scripts_come_back_after_a_flush(store: Store, alice: Streams) -> None:
    await store.send([["SCRIPT", "FLUSH"]])
    await alice.append([Append(HIGH, frame())])
    assert [e.stream for e in await alice.take(SOURCES, NOW, 10)] == [HIGH]


async def test_peeking_takes_nothing(alice: Streams) -> None:
    (id_,) = await alice.append([Append(HIGH, frame())])
    at = int(id_.split("-")[0])
    assert await alice.peek(HIGH, at - 5, at + 5, 10) == [(id_, frame())]
    assert await alice.peek(HIGH, at + 1, at + 5, 10) == []
    assert [e.id for e in await alice.take(SOURCES, NOW, 10)] == [id_]


async def test_the_model_of_an_entry() -> None:
    assert Entry("s", "1-0", b"f") == Entry("s", "1-0", b"f", waiting=False, deliveries=1, done=b"")


async def test_progress_of_an_entry_is_not_that_of_a_waiting_item_with_its_id(store: Store, alice: Streams) -> None:
    """Two streams that are written in one millisecond give the same id; the proof at a million met it."""
    id_ = "1700000000000-0"
    await store.send(
        [
            ["XADD", HIGH, id_, "f", frame(2)],
            ["XADD", keys.waiting(HIGH), id_, "f", frame()],
            ["XCLAIM", keys.waiting(HIGH), keys.DISPATCHERS, "alice", 0, id_, "FORCE", "JUSTID"],
            ["ZADD", keys.due(HIGH), NOW, id_],
        ]
    )
    waiting, entry = await alice.take(SOURCES, NOW, 10)
    assert await alice.settle([Settlement(entry, done=b"\1")]) == [True]
    (again,) = await alice.take(SOURCES, NOW + LEASE_MS, 10)
    assert (again.id, again.waiting, again.done) == (id_, True, b"")
    assert await alice.settle([Settlement(waiting)]) == [True]
    (adopted,) = await alice.adopt(HIGH, [id_])
    assert adopted.done == b"\1"
