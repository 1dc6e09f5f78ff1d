"""Marks belong to who came first; changes and pokes are heard."""

import asyncio

import pytest

from core.census import census
from core.changes import RECIPIENT, Changes
from core.marks import Marks
from core.members import Members, list_members
from core.pokes import Pokes
from core.store import Store
from tests.helpers import eventually


async def test_the_first_mark_stands_and_recognises_its_owner(store: Store) -> None:
    marks = Marks(store)
    assert await marks.claim(0, ["a", "b"], ["1-0:0", "1-0:1"], [60, 60]) == [None, None]
    found = await marks.claim(0, ["a", "b", "c"], ["1-0:0", "2-0:0", "2-0:1"], [60, 60, 60])
    assert found == [b"1-0:0", b"1-0:1", None]
    assert await marks.claim(1, ["a"], ["9-0:0"], [60]) == [None]
    assert await marks.claim(0, [], [], []) == []


async def test_marks_end(store: Store) -> None:
    await Marks(store).reserve([(0, "digest", b"v", 100)])
    names = await store.redis.keys("*")
    assert [0 < await store.redis.ttl(name) <= 100 for name in names] == [True]


async def test_changes_are_heard(store: Store) -> None:
    heard: list[tuple[str, str]] = []
    listener = asyncio.create_task(Changes(store).listen(lambda kind, key: heard.append((kind, key))))

    async def told() -> bool:
        await Changes(store).publish(RECIPIENT, "usr 1")
        return bool(heard)

    await eventually(told, 5)
    listener.cancel()
    assert heard[0] == (RECIPIENT, "usr 1")


async def test_a_poke_is_heard_by_its_recipient_only(store: Store) -> None:
    pokes, changes = Pokes(store), Changes(store)
    listener = asyncio.create_task(pokes.run())
    async with pokes.watching("ada") as ada, pokes.watching("grace") as grace, pokes.watching("ada") as ada_too:
        for begun in (ada, grace, ada_too):
            await asyncio.wait_for(begun.wait(), 5)
            begun.clear()
        await changes.poke_inbox("ada")
        await asyncio.wait_for(ada.wait(), 5)
        await asyncio.wait_for(ada_too.wait(), 5)
        await changes.poke_inbox("grace")
        await asyncio.wait_for(grace.wait(), 5)
        ada.clear()
        await changes.poke_inbox("grace")
        assert not ada.is_set()
    listener.cancel()


async def test_pokes_are_heard_again_after_the_connection_broke(store: Store) -> None:
    pokes = Pokes(store)
    listener = asyncio.create_task(pokes.run())
    async with pokes.watching("ada") as ada:
        await asyncio.wait_for(ada.wait(), 5)
        ada.clear()
        await store.send([["CLIENT", "KILL", "TYPE", "pubsub"]])
        await asyncio.wait_for(ada.wait(), 5)  # woken, as something may have been missed

        async def heard() -> bool:
            ada.clear()
            await Changes(store).poke_inbox("ada")
            await asyncio.sleep(0.01)
            return ada.is_set()

        await eventually(heard, 5)
    listener.cancel()


async def test_members_come_and_go(store: Store) -> None:
    alice, bob = [await Members(store, "dispatcher", name).open() for name in ("alice", "bob")]
    assert await alice.beat() == ["alice"]
    assert await bob.beat() == ["alice", "bob"]
    assert [name for name, _ in await list_members(store, "dispatcher")] == ["alice", "bob"]
    await alice.leave()
    assert await bob.beat() == ["bob"]


async def test_who_falls_silent_is_dead_and_not_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.members.TTL_MS", 500)
    alice, bob = [await Members(store, "dispatcher", name).open() for name in ("alice", "bob")]
    assert await bob.beat() == ["bob"]  # and never again: killed, or stopped for longer

    async def alone() -> bool:
        return await alice.beat() == ["alice"]

    await eventually(alone)
    assert [name for name, _ in await list_members(store, "dispatcher")] == ["alice"]


async def test_the_census_of_an_empty_system_is_all_zero(store: Store) -> None:
    states = await census(store, 3)
    assert {s.stream for s in states} >= {"in:critical", "out:email:low", "outcomes", "dead:sms", "dead:unrouted"}
    assert all((s.depth, s.lag, s.pending, s.waiting) == (0, 0, 0, 0) for s in states)
