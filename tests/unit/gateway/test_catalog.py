"""Templates at acceptance: what is wrong in view of them, and what is remembered of them."""

import asyncio

import pytest

from core.clock import ManualClock
from core.errors import LedgerUnavailable
from core.model import Channel, Part
from gateway import catalog, validate
from gateway.catalog import LATEST_MS, UNKNOWN_MS, Catalog, Facts
from ledger.values import StoredTemplate, TemplateContent, TemplateVariable
from tests.helpers import eventually
from tests.unit.gateway.samples import NOW_MS, notification
from tidings.v1.types_pb2 import ErrorReason


def stored(version: int = 1) -> StoredTemplate:
    contents = tuple(TemplateContent(channel, "en", {Part.TEXT: "x"}) for channel in (Channel.EMAIL, Channel.SMS))
    variables = (TemplateVariable("name", True), TemplateVariable("total", False))
    return StoredTemplate("welcome", "en", variables, contents, version)


class Store:
    """The ledger's templates, which can be away."""

    def __init__(self) -> None:
        self.versions = [stored(1)]
        self.asked: list[tuple[str, int]] = []
        self.away = False

    async def get(self, name: str, version: int) -> StoredTemplate | None:
        self.asked.append((name, version))
        if self.away:
            raise LedgerUnavailable("away")
        if name != "welcome" or version > len(self.versions):
            return None
        return self.versions[version - 1]

    def put(self) -> None:
        self.versions.append(stored(len(self.versions) + 1))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def shelf(store: Store, clock: ManualClock) -> Catalog:
    return Catalog(store.get, clock=clock)


async def version(shelf: Catalog, wanted: int = 0) -> int | None:
    facts = (await shelf.find([("welcome", wanted)]))["welcome", wanted]
    return facts.version if facts else None


def faults(facts: Facts | None, **data: object) -> dict[str, str]:
    draft = validate.notification(notification(**data), NOW_MS)[0]
    return {v.field: ErrorReason.Name(v.reason).removeprefix("ERROR_REASON_") for v in catalog.faults(draft, facts)}


def test_faults_in_view_of_the_template() -> None:
    facts = catalog.facts_of(stored())
    assert facts == Facts("welcome", 1, frozenset({"name"}), Channel.EMAIL.mask | Channel.SMS.mask)
    assert faults(facts, name="Ada") == {}
    assert faults(facts, nome="Ada") == {"data.name": "MISSING_VARIABLE"}
    assert faults(None, name="Ada") == {"template": "UNKNOWN_TEMPLATE"}
    assert faults(facts._replace(channels=Channel.EMAIL.mask), name="Ada") == {"channels": "MISSING_CONTENT"}
    assert faults(facts, name="x" * 70_000) == {}  # data has a fault of its own: nothing is said of what it lacks


async def test_a_version_is_asked_for_once(shelf: Catalog, store: Store, clock: ManualClock) -> None:
    for _ in range(3):
        assert await version(shelf, 1) == 1
        clock.advance(10 * LATEST_MS)
    assert store.asked == [("welcome", 1)]


async def test_a_change_is_seen_at_once(shelf: Catalog, store: Store) -> None:
    assert await version(shelf) == 1
    store.put()
    assert await version(shelf) == 1
    shelf.changed("template", "another")
    shelf.changed("recipient", "welcome")
    assert await version(shelf) == 1
    shelf.changed("template", "welcome")
    assert await version(shelf) == 2


async def test_a_lost_message_costs_only_time_and_nobody_waits(shelf: Catalog, store: Store, clock: ManualClock) -> None:
    assert await version(shelf) == 1
    store.put()
    clock.advance(LATEST_MS)
    assert await version(shelf) == 1  # what is known is served, and renewed meanwhile

    async def renewed() -> bool:
        return await version(shelf) == 2

    await eventually(renewed)


async def test_what_is_known_is_served_while_postgresql_is_away(shelf: Catalog, store: Store, clock: ManualClock) -> None:
    assert await version(shelf) == 1
    store.away = True
    clock.advance(LATEST_MS)
    for _ in range(3):
        assert await version(shelf) == 1
        await asyncio.sleep(0)
    assert ("welcome", 9) not in await shelf.find([("welcome", 9)])  # and what is not known could not be learned


async def test_an_unknown_template_may_be_put_a_moment_later(shelf: Catalog, store: Store, clock: ManualClock) -> None:
    assert await version(shelf, 2) is None
    assert await version(shelf, 2) is None
    assert store.asked == [("welcome", 2)]
    store.put()
    clock.advance(UNKNOWN_MS)
    assert await version(shelf, 2) == 2


async def test_a_version_that_was_missing_is_seen_when_it_is_put(shelf: Catalog, store: Store) -> None:
    assert await version(shelf, 2) is None
    store.put()
    shelf.changed("template", "welcome")
    assert await version(shelf, 2) == 2
