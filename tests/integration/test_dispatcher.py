"""The dispatcher with real Redis and PostgreSQL: frames in, frames out, duplicates, outages, what waits and comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from core import keys, verdicts
from core.clock import ManualClock
from core.errors import LedgerUnavailable
from core.ids import format_id
from core.marks import Marks
from core.model import Channel, Part, Priority, Status
from core.station import Batch
from core.store import Store
from core.streams import Append, Entry, Settlement, Streams
from dispatcher.decide import Decider
from dispatcher.dedupe import Dedupe
from dispatcher.people import People
from dispatcher.station import AWAY_MS, DispatcherHandler
from dispatcher.templates import Templates
from fastpath import (
    Contact,
    Record,
    RenderCache,
    pack_frame,
    unpack_frame,
    unpack_parts,
)
from ledger import Ledger
from ledger.values import StoredRecipient, StoredTemplate
from tests.unit.dispatcher.values import ADA, NOW, ORDER, notification

EMAIL, SMS, PUSH, IN_APP = Channel
INBOUND = keys.inbound(0, Priority.HIGH)


class Switch:
    """The ledger's reads, with a switch that takes it away."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.away = False

    async def recipients(self, ids: Sequence[str]) -> list[Contact]:
        self._check()
        return await self.ledger.recipients.contacts(ids)

    async def template(self, name: str, version: int) -> StoredTemplate | None:
        self._check()
        return await self.ledger.templates.get(name, version)

    def _check(self) -> None:
        if self.away:
            raise LedgerUnavailable("PostgreSQL is away")


@dataclass
class Desk:
    """A dispatcher as one consumer, worked by hand, one batch at a time."""

    store: Store
    switch: Switch
    streams: Streams
    marks: Marks
    clock: ManualClock

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process takes over: nothing is remembered."""
        self.people = People(self.switch.recipients, clock=self.clock)
        templates = Templates(self.switch.template, clock=self.clock)
        decider, marks = Decider(RenderCache(1 << 20)), Dedupe(self.marks)
        self.handler = DispatcherHandler(self.people, templates, decider, marks, clock=self.clock)

    async def post(self, *records: Record) -> str:
        """Appends a frame as the gateway does; its entry id."""
        (id_,) = await self.streams.append([Append(INBOUND, pack_frame(records))])
        return id_

    async def take(self) -> list[Entry]:
        return await self.streams.take([INBOUND], self.clock.now_ms(), 1000)

    async def decide(self, entries: list[Entry]) -> list[Settlement]:
        async def settle(settlements: Sequence[Settlement]) -> list[bool]:
            return await self.streams.settle(settlements)

        return await self.handler.handle(Batch(0, entries, settle))

    def forget(self, recipient_id: str) -> None:
        self.people.forget(recipient_id)

    async def work(self) -> None:
        """One turn of the loop: everything that is new or due."""
        settlements = await self.decide(await self.take())
        assert all(await self.streams.settle(settlements))

    async def read(self, stream: str) -> list[Record]:
        """All records in a stream."""
        return [record for _, frame in await self.streams.peek(stream, 0, 2**45, 1000) for record in unpack_frame(frame)]

    async def sent(self, channel: Channel) -> list[Record]:
        return await self.read(keys.outbound(0, channel, Priority.HIGH))

    async def outcomes(self) -> list[Record]:
        return await self.read(keys.outcomes(0))


@pytest.fixture
async def desk(store: Store, ledger: Ledger) -> Desk:
    for _ in range(ORDER.version):
        await ledger.templates.put(ORDER)
    await ledger.recipients.upsert(ADA)
    clock = ManualClock(NOW)
    streams = await Streams(store, keys.DISPATCHERS, "desk").open()
    await streams.create_groups([INBOUND])
    return Desk(store, Switch(ledger), streams, await Marks(store).open(), clock)


async def test_a_notification_becomes_deliveries_and_outcomes_in_one_step(desk: Desk) -> None:
    record = notification(EMAIL, PUSH)
    await desk.post(record)
    await desk.work()
    (email,) = await desk.sent(EMAIL)
    assert (email.id, email.address, email.language) == (record.id, "ada@example.com", "de")
    assert unpack_parts(email.content)[Part.SUBJECT] == b"Bestellung A1"
    assert [(push.address, push.device) for push in await desk.sent(PUSH)] == [("fcm-token", 0), ("apns-token", 1)]
    outcomes = await desk.outcomes()
    assert [(o.channel, o.device, o.status) for o in outcomes] == [
        (EMAIL, 0, Status.QUEUED),
        (PUSH, 0, Status.QUEUED),
        (PUSH, 1, Status.QUEUED),
    ]
    assert await desk.read(INBOUND) == []
    assert await desk.take() == []


async def test_order_is_kept(desk: Desk) -> None:
    records = [notification(EMAIL, data={"id": str(i)}) for i in range(600)]
    for start in range(0, 600, 200):
        await desk.post(*records[start : start + 200])
    await desk.work()
    assert [delivery.id for delivery in await desk.sent(EMAIL)] == [record.id for record in records]


async def test_a_second_copy_of_the_same_call_is_dropped_silently(desk: Desk) -> None:
    record = notification(EMAIL, mark="caller-key")
    await desk.post(record)
    await desk.post(record)
    await desk.work()
    await desk.post(record)
    await desk.work()
    assert [delivery.id for delivery in await desk.sent(EMAIL)] == [record.id]
    assert len(await desk.outcomes()) == 1


async def test_a_key_used_again_after_its_day_is_another_notification(desk: Desk) -> None:
    """The gateway has forgotten it after a day and answers OK with a new id; what is claimed here holds for longer."""
    first, second = notification(EMAIL, mark="caller-key"), notification(EMAIL, mark="caller-key")
    await desk.post(first)
    await desk.work()
    await desk.post(second)
    await desk.work()
    assert [delivery.id for delivery in await desk.sent(EMAIL)] == [first.id, second.id]
    assert [outcome.id for outcome in await desk.outcomes()] == [first.id, second.id]


async def test_a_copy_is_known_by_a_process_that_has_just_started(desk: Desk) -> None:
    record = notification(EMAIL, mark="caller-key", extra=60)
    await desk.post(record)
    await desk.work()
    desk.restart()
    await desk.post(record)
    await desk.work()
    assert len(await desk.sent(EMAIL)) == 1


async def test_our_own_replay_of_an_entry_is_no_duplicate(desk: Desk) -> None:
    """A dispatcher that died between marking and settling: the next one has the same entry and goes on."""
    record = notification(EMAIL, mark="caller-key", extra=60)
    await desk.post(record)
    entries = await desk.take()
    await desk.decide(entries)
    await desk.decide(entries)
    desk.restart()
    settlements = await desk.decide(entries)
    assert all(await desk.streams.settle(settlements))
    assert [delivery.id for delivery in await desk.sent(EMAIL)] == [record.id]
    assert [outcome.status for outcome in await desk.outcomes()] == [Status.QUEUED]


async def test_the_same_content_within_its_window_is_suppressed_and_names_the_first(desk: Desk) -> None:
    first, second = notification(EMAIL, extra=60), notification(EMAIL, extra=60)
    await desk.post(first, second, notification(EMAIL, extra=60, data={"id": "other"}))
    await desk.work()
    assert len(await desk.sent(EMAIL)) == 2
    refused = [outcome for outcome in await desk.outcomes() if outcome.status == Status.SUPPRESSED]
    assert [(r.id, r.channel, r.code) for r in refused] == [(second.id, EMAIL, "duplicate")]
    assert format_id(first.id) in refused[0].reason


async def test_a_window_is_the_first_ones_and_is_not_prolonged_by_those_it_suppressed(desk: Desk) -> None:
    await desk.post(notification(EMAIL, extra=60))
    await desk.work()
    desk.restart()
    desk.clock.advance(59_999)
    await desk.post(notification(EMAIL, extra=60))
    await desk.work()
    desk.clock.advance(1)
    await desk.post(notification(EMAIL, extra=60))
    await desk.work()
    assert [o.status for o in await desk.outcomes()] == [Status.QUEUED, Status.SUPPRESSED, Status.QUEUED]


async def test_without_a_window_the_same_content_goes_out_again(desk: Desk) -> None:
    await desk.post(notification(EMAIL), notification(EMAIL))
    await desk.work()
    assert len(await desk.sent(EMAIL)) == 2


async def test_what_was_not_sent_makes_no_duplicate(desk: Desk) -> None:
    await desk.switch.ledger.recipients.upsert(StoredRecipient("eve"))
    await desk.post(notification(EMAIL, extra=60, recipient_id="eve"))
    await desk.work()
    await desk.switch.ledger.recipients.upsert(StoredRecipient("eve", email="eve@example.com"))
    desk.restart()
    await desk.post(notification(EMAIL, extra=60, recipient_id="eve"))
    await desk.work()
    assert [outcome.status for outcome in await desk.outcomes()] == [Status.SUPPRESSED, Status.QUEUED]


async def test_an_expired_one_goes_nowhere(desk: Desk) -> None:
    await desk.post(notification(SMS, expires_ms=NOW), notification(SMS, expires_ms=NOW + 1))
    await desk.work()
    assert len(await desk.sent(SMS)) == 1
    assert [outcome.status for outcome in await desk.outcomes()] == [Status.EXPIRED, Status.QUEUED]


async def test_while_the_ledger_is_away_given_addresses_go_on_and_the_rest_waits(desk: Desk) -> None:
    await desk.post(notification(SMS))  # the template is known, as to any process that has worked for a while
    await desk.work()
    desk.forget("ada")
    desk.switch.away = True
    given = notification(EMAIL, email="given@example.com", mark="a")
    stored = notification(EMAIL, mark="b", extra=60)
    await desk.post(given, stored)
    await desk.work()
    assert [delivery.address for delivery in await desk.sent(EMAIL)] == ["given@example.com"]
    assert ("recipient", "away", "") in verdicts.unpack((await desk.outcomes())[-1].verdicts.decode())
    assert await desk.read(INBOUND) == [], "the frame is done with"
    assert await desk.take() == [], "not due yet"

    desk.clock.advance(AWAY_MS)
    await desk.work()  # still away: it waits again
    desk.switch.away = False
    desk.clock.advance(AWAY_MS)
    (entry,) = await desk.take()
    assert entry.waiting
    assert all(await desk.streams.settle(await desk.decide([entry])))
    assert [delivery.id for delivery in await desk.sent(EMAIL)] == [given.id, stored.id]
    assert await desk.read(keys.waiting(INBOUND)) == []


async def test_a_template_that_cannot_be_fetched_is_waited_for(desk: Desk) -> None:
    desk.switch.away = True
    await desk.post(notification(EMAIL, email="given@example.com", language="de"))
    await desk.work()
    assert await desk.outcomes() == []
    desk.switch.away = False
    desk.clock.advance(AWAY_MS)
    await desk.work()
    assert len(await desk.sent(EMAIL)) == 1


async def test_a_copy_of_one_that_waits_is_still_a_copy(desk: Desk) -> None:
    record = notification(EMAIL, mark="caller-key")
    desk.switch.away = True
    await desk.post(record)
    await desk.post(record)
    await desk.work()
    desk.switch.away = False
    desk.clock.advance(AWAY_MS)
    await desk.work()
    assert len(await desk.sent(EMAIL)) == 1


async def test_what_cannot_be_rendered_fails_and_the_rest_of_the_frame_goes_on(desk: Desk) -> None:
    bad, good = notification(EMAIL, data={}), notification(EMAIL)
    await desk.post(bad, good, notification(EMAIL, template="unheard-of"))
    await desk.work()
    assert [delivery.id for delivery in await desk.sent(EMAIL)] == [good.id]
    assert [(outcome.status, outcome.code) for outcome in await desk.outcomes()] == [
        (Status.FAILED, "missing_variable"),
        (Status.QUEUED, ""),
        (Status.FAILED, "unknown_template"),
    ]


async def test_a_changed_recipient_is_reached_at_the_new_address(desk: Desk) -> None:
    await desk.post(notification(EMAIL))
    await desk.work()
    await desk.switch.ledger.recipients.upsert(replace(ADA, email="new@example.com"))
    desk.forget("ada")
    await desk.post(notification(EMAIL))
    await desk.work()
    assert [delivery.address for delivery in await desk.sent(EMAIL)] == ["ada@example.com", "new@example.com"]
