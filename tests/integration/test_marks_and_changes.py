"""Marks belong to who came first; changes and pokes are heard."""

import asyncio

import pytest

from core.census import census
from core.changes import RECIPIENT, Changes
from core.clock import SYSTEM_CLOCK
from core.marks import RESERVED_S, SLACK_S, Marks
from core.members import Members, list_members
from core.pokes import Pokes
from core.store import Store
from fastpath import Lot
from fastpath.values import CONTENT_SPANS_S, KEY_SPAN_S
from tests.helpers import eventually

NOW = 1_700_000_000_000


def lot(
    value: bytes, *marks: bytes, ends_ms: int = NOW + 60_000, span_s: int = CONTENT_SPANS_S[0], content: bool = True
) -> Lot:
    """Claims to content (or keys) that end together, all with the same value."""
    ends = ends_ms.to_bytes(6)
    return Lot(content, span_s, ends_ms // (1000 * span_s), b"".join(mark * 16 + value * 16 + ends for mark in marks))


async def test_the_first_mark_stands_and_recognises_its_owner(store: Store) -> None:
    marks = await Marks(store).open()
    assert await marks.claim(0, [lot(b"1", b"a", b"b")], NOW) == [[]]
    assert await marks.claim(0, [lot(b"1", b"b"), lot(b"2", b"c", b"a")], NOW) == [[0, b"1" * 16], [1, b"1" * 16]]
    assert await marks.claim(0, [lot(b"3", b"c")], NOW) == [[0, b"2" * 16]]
    assert await marks.claim(1, [lot(b"3", b"a")], NOW) == [[]], "another partition"
    assert await marks.claim(0, [lot(b"3", b"a", content=False, span_s=KEY_SPAN_S)], NOW) == [[]], "a key, not content"
    assert await marks.claim(0, [], NOW) == []


@pytest.mark.parametrize("span_s", CONTENT_SPANS_S)
async def test_a_mark_holds_until_its_end_and_no_longer(store: Store, span_s: int) -> None:
    """Also for whoever claims it for another time, that is, in another hash."""
    marks = await Marks(store).open()
    ends_ms = NOW + 1000 * span_s
    assert await marks.claim(0, [lot(b"1", b"a", ends_ms=ends_ms, span_s=span_s)], NOW) == [[]]
    for other_s in CONTENT_SPANS_S:
        last = lot(b"2", b"a", ends_ms=ends_ms + 1, span_s=other_s)
        assert await marks.claim(0, [last], ends_ms - 1) == [[0, b"1" * 16]]
    again = lot(b"2", b"a", ends_ms=ends_ms + 1000, span_s=span_s)
    assert await marks.claim(0, [again], ends_ms) == [[]]
    assert await marks.claim(0, [lot(b"3", b"a", ends_ms=ends_ms + 2000, span_s=span_s)], ends_ms + 1) == [[0, b"2" * 16]]


@pytest.mark.parametrize("skew_ms", [-30_000, -1, 1, 30_000])
async def test_clocks_that_differ_hide_no_mark(store: Store, skew_ms: int) -> None:
    """At the end of a span of time, which one of the two has behind it."""
    marks = await Marks(store).open()

    def clocks(span_s: int) -> tuple[int, int]:
        border_ms = NOW - NOW % (1000 * span_s)
        return border_ms + skew_ms // 2, border_ms + skew_ms // 2 - skew_ms

    for i, span_s in enumerate(CONTENT_SPANS_S):
        theirs, ours = clocks(span_s)
        first, second = (
            lot(value, bytes((i,)), ends_ms=now_ms + 1000 * span_s, span_s=span_s)
            for value, now_ms in ((b"1", theirs), (b"2", ours))
        )
        assert await marks.claim(0, [first], theirs) == [[]]
        assert await marks.claim(0, [second], ours) == [[0, b"1" * 16]]
    theirs, ours = clocks(KEY_SPAN_S)
    assert await marks.reserve([(0, "01" * 16, b"a")], theirs) == [None]
    assert await marks.reserve([(0, "01" * 16, b"b")], ours) == [b"a"]


async def test_many_marks_are_claimed_in_one_step(store: Store) -> None:
    marks = await Marks(store).open()
    each = [i.to_bytes(16) + bytes(16) + (NOW + 1).to_bytes(6) for i in range(9000)]
    whole = Lot(True, 3600, (NOW + 1) // 3_600_000, b"".join(each))
    assert await marks.claim(0, [whole], NOW) == [[]]
    ((*found,),) = await marks.claim(0, [whole], NOW)
    assert found[::2] == list(range(9000))


async def test_what_marks_stand_in_goes_when_the_last_of_them_has_ended(store: Store) -> None:
    marks, now_ms = await Marks(store).open(), SYSTEM_CLOCK.now_ms()
    await marks.claim(0, [lot(b"1", b"a", ends_ms=now_ms + 60_000)], now_ms)
    await marks.reserve([(0, "ab" * 16, b"v")], now_ms)
    lives = [await store.redis.ttl(name) for name in await store.redis.keys("*")]
    assert len(lives) == 2
    assert all(60 <= ttl_s <= RESERVED_S + KEY_SPAN_S + SLACK_S for ttl_s in lives)


async def test_a_host_whose_clock_is_ahead_shortens_nobodys_marks(store: Store) -> None:
    marks, now_ms = await Marks(store).open(), SYSTEM_CLOCK.now_ms()
    border_ms = now_ms - now_ms % 3_600_000 + 7_200_000  # an end of a span that is an hour away, or more
    await marks.claim(0, [lot(b"1", b"a", ends_ms=border_ms - 1)], now_ms)
    (name,) = await store.redis.keys("*")
    before = await store.redis.pttl(name)
    await marks.claim(0, [lot(b"2", b"b", ends_ms=border_ms - 1)], now_ms + 1_800_000)
    assert before - 60_000 < await store.redis.pttl(name) <= before
    await marks.claim(0, [lot(b"3", b"c", ends_ms=border_ms - 1)], now_ms - 600_000)
    assert await store.redis.pttl(name) > before, "one whose clock is behind needs it for longer"


async def test_a_key_is_reserved_once(store: Store) -> None:
    marks = await Marks(store).open()
    one, two = "01" * 16, "02" * 16
    assert await marks.reserve([(0, one, b"a"), (1, two, b"b"), (0, one, b"c"), (0, one, b"a")], NOW) == [
        None,
        None,
        b"a",
        b"a",
    ]
    assert await marks.reserve([(1, two, b"d"), (0, "03" * 16, b"e"), (1, two, b"b")], NOW) == [b"b", None, b"b"]
    assert await marks.reserved([(0, one), (1, one), (1, two), (0, "04" * 16)], NOW) == [True, False, True, False]
    later = NOW + 1000 * RESERVED_S
    assert await marks.reserved([(0, one)], later - 1) == [True]
    assert await marks.reserve([(0, one, b"f")], later - 1) == [b"a"]
    assert await marks.reserved([(0, one)], later) == [False]
    assert await marks.reserve([(0, one, b"f")], later) == [None]
    assert await marks.reserve([(0, one, b"g")], later) == [b"f"]
    assert (await marks.reserve([], NOW), await marks.reserved([], NOW)) == ([], [])


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
