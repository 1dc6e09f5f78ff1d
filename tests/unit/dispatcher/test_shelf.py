"""Caches in front of the ledger: one fetch for what is missing, freshness, changes, outages, bounds."""

import asyncio
from collections.abc import Sequence

import pytest

from core import shelf
from core.clock import ManualClock
from core.errors import LedgerUnavailable
from dispatcher.people import FRESH_MS, UNKNOWN_MS, People
from dispatcher.templates import Templates
from fastpath import Contact
from ledger.values import StoredRecipient, StoredTemplate
from tests.unit.dispatcher.values import ADA, ORDER, contact

BOB = StoredRecipient("bob", email="bob@example.com")


class Store:
    """Recipients that can be asked for, counted, and that can be away."""

    def __init__(self, *recipients: StoredRecipient) -> None:
        self.known = {r.recipient_id: r for r in recipients}
        self.asked: list[list[str]] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, ids: Sequence[str]) -> list[Contact]:
        self.asked.append(sorted(ids))
        found = [contact(self.known[i]) for i in ids if i in self.known]
        await self.gate.wait()
        if self.away:
            raise LedgerUnavailable("PostgreSQL is away")
        return found


async def test_one_fetch_for_what_is_missing() -> None:
    store, clock = Store(ADA, BOB), ManualClock()
    people = People(store.fetch, clock=clock)
    assert await people.resolve(["ada", "ada", "eve"]) == {"ada": contact(ADA), "eve": None}
    assert await people.resolve(["ada", "bob", "eve"]) == {"ada": contact(ADA), "bob": contact(BOB), "eve": None}
    assert store.asked == [["ada", "eve"], ["bob"]]


async def test_nothing_missing_asks_nobody() -> None:
    store = Store()
    assert await People(store.fetch, clock=ManualClock()).resolve([]) == {}
    assert store.asked == []


async def test_nobody_is_believed_for_less_time_than_somebody() -> None:
    store, clock = Store(ADA), ManualClock()
    people = People(store.fetch, clock=clock)
    await people.resolve(["ada", "bob"])
    clock.advance(UNKNOWN_MS)
    store.known["bob"] = BOB
    assert (await people.resolve(["ada", "bob"]))["bob"] == contact(BOB)
    clock.advance(FRESH_MS)
    await people.resolve(["ada"])
    assert store.asked == [["ada", "bob"], ["bob"], ["ada"]]


async def test_what_changed_is_fetched_again() -> None:
    store = Store(BOB)
    people = People(store.fetch, clock=ManualClock())
    await people.resolve(["bob"])
    store.known["bob"] = StoredRecipient("bob", email="new@example.com")
    people.forget("bob")
    found = await people.resolve(["bob"])
    assert found["bob"] == contact(store.known["bob"])


async def test_a_change_during_a_fetch_is_not_overwritten_by_it() -> None:
    store = Store(BOB)
    people = People(store.fetch, clock=ManualClock())
    store.gate.clear()
    fetching = asyncio.create_task(people.resolve(["bob"]))
    while not store.asked:  # noqa: ASYNC110 - the fetch begins within a turn or two of the loop
        await asyncio.sleep(0)
    store.known["bob"] = StoredRecipient("bob", email="new@example.com")
    people.forget("bob")
    store.gate.set()
    assert await fetching == {"bob": contact(BOB)}
    assert (await people.resolve(["bob"]))["bob"] == contact(store.known["bob"])


async def test_stale_answers_and_a_pause_while_the_ledger_is_away() -> None:
    store, clock = Store(ADA), ManualClock()
    people = People(store.fetch, clock=clock)
    await people.resolve(["ada"])
    store.away = True
    clock.advance(FRESH_MS)
    assert await people.resolve(["ada", "bob"]) == {"ada": contact(ADA)}
    assert await people.resolve(["ada", "bob"]) == {"ada": contact(ADA)}
    assert len(store.asked) == 2, "it is not asked again at once"
    store.away = False
    clock.advance(shelf.PAUSE_MS)
    assert await people.resolve(["ada", "bob"]) == {"ada": contact(ADA), "bob": None}


async def test_a_ledger_that_hangs_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "PATIENCE_S", 0.01)
    store = Store(ADA)
    store.gate.clear()
    assert await People(store.fetch, clock=ManualClock()).resolve(["ada"]) == {}


async def test_the_longest_unfetched_goes_first() -> None:
    store = Store()
    people = People(store.fetch, capacity=2, clock=ManualClock())
    for name in ("a", "b", "c", "b", "a"):
        await people.resolve([name])
    assert store.asked == [["a"], ["b"], ["c"], ["a"]]


async def test_a_full_shelf_is_cleared_in_strides_and_stays_bounded() -> None:
    store = Store()
    people = People(store.fetch, capacity=4 * shelf.STRIDE, clock=ManualClock())
    for i in range(10 * shelf.STRIDE):
        await people.resolve([str(i)])
        assert len(people.shelf) <= 4 * shelf.STRIDE + 4
    assert list(people.shelf)[-1] == str(i)
    assert len(people.shelf) >= 4 * shelf.STRIDE


async def test_a_version_is_fetched_once_and_the_latest_again_when_told() -> None:
    asked: list[tuple[str, int]] = []

    async def get(name: str, version: int) -> StoredTemplate | None:
        asked.append((name, version))
        return ORDER if name == "order" and version in (0, 3) else None

    clock = ManualClock()
    templates = Templates(get, clock=clock)
    found = await templates.resolve([("order", 3), ("order", 0), ("order", 9)])
    assert found["order", 3] is not None
    assert found["order", 9] is None
    clock.advance(24 * 3_600_000)
    templates.changed("order")
    await templates.resolve([("order", 3), ("order", 0), ("order", 9)])
    assert sorted(asked) == [("order", 0), ("order", 0), ("order", 3), ("order", 9), ("order", 9)]
