"""The dispatcher's handler: frames of notifications in, frames of deliveries and outcomes out, one settlement an entry.

Effects only (fetch, claim, trace, count); what is decided is in dispatcher/decide.py, what is written in dispatcher/forward.py.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from core import metrics, telemetry
from core.clock import SYSTEM_CLOCK, Clock
from core.ids import format_id
from core.station import Batch
from core.streams import Entry, Settlement, Wait
from dispatcher.decide import Decider, Plan
from dispatcher.dedupe import Ask, Dedupe, content_ask, key_ask
from dispatcher.forward import Outbox
from dispatcher.people import People
from dispatcher.reach import can_do_without, must_look_up
from dispatcher.templates import Template, TemplateKey, Templates
from fastpath import Record, pack_frame, unpack_frame
from ledger.values import StoredRecipient

STATION = "dispatcher"
AWAY_MS = 5_000  # a notification that needs the ledger while it is away is looked at again after this


@dataclass(slots=True)
class Item:
    """One notification in hand.

    Attributes:
        entry, index: where it came from.
        record: the notification.
        plan: what becomes of it; None while the ledger must be asked and is away.
        dropped: True for a second copy of one that is on its way already.
    """

    entry: Entry
    index: int
    record: Record
    plan: Plan | None = None
    dropped: bool = False


class DispatcherHandler:
    """core.station.Handler of the dispatcher.

    Args:
        people, templates: what the ledger knows, cached.
        decider: the rules.
        marks: who came first.
        clock: injected.
    """

    def __init__(
        self, people: People, templates: Templates, decider: Decider, marks: Dedupe, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._people = people
        self._templates = templates
        self._decider = decider
        self._dedupe = marks
        self._clock = clock

    async def handle(self, batch: Batch) -> list[Settlement]:
        """Decides over every notification of the batch; see core.station.Handler."""
        frames = [(entry, unpack_frame(entry.frame)) for entry in batch.entries]
        items = [Item(entry, i, record) for entry, records in frames for i, record in enumerate(records)]
        with telemetry.batch("dispatch", [item.record.traceparent for item in items]) as traceparents:
            await self._plan(items)
            await self._claim(batch.partition, items)
            settlements = []
            start = 0
            for entry, records in frames:
                end = start + len(records)
                settlements.append(self._settle(batch.partition, entry, items[start:end], traceparents[start:end]))
                start = end
            return settlements

    async def _plan(self, items: Sequence[Item]) -> None:
        """Gives every item its plan, with one question for all recipients and one for all templates."""
        people, templates = await asyncio.gather(
            self._people.resolve(item.record.recipient_id for item in items if must_look_up(item.record)),
            self._templates.resolve((item.record.template, item.record.version) for item in items),
        )
        now_ms = self._clock.now_ms()
        for item in items:
            item.plan = self._plan_one(item.record, people, templates, now_ms)

    def _plan_one(
        self,
        record: Record,
        people: dict[str, StoredRecipient | None],
        templates: dict[TemplateKey, Template | None],
        now_ms: int,
    ) -> Plan | None:
        if record.expires_ms and record.expires_ms <= now_ms:
            return self._decider.expired(record)
        key = (record.template, record.version)
        if key not in templates:
            return None
        stored: StoredRecipient | None = None
        standing = "given"
        if must_look_up(record):
            if record.recipient_id in people:
                stored = people[record.recipient_id]
                standing = "stored" if stored is not None else "unknown"
            elif can_do_without(record):
                standing = "away"
            else:
                return None
        return self._decider.plan(record, stored, templates[key], standing)

    async def _claim(self, partition: int, items: Sequence[Item]) -> None:
        """Drops second copies and suppresses repeated content: one question for all marks of the batch."""
        asks: list[Ask] = []
        askers: list[tuple[Item, bool]] = []  # and whether the ask is for its content
        for item in items:
            key = key_ask(item.record, item.entry.id, item.index)
            if key is not None:
                asks.append(key)
                askers.append((item, False))
            content = content_ask(item.record, item.plan.version) if item.plan is not None and item.plan.letters else None
            if content is not None:
                asks.append(content)
                askers.append((item, True))
        earlier = await self._dedupe.claim(partition, asks, self._clock.now_ms())
        for (item, by_content), first in zip(askers, earlier, strict=True):
            if first is None:
                continue
            if by_content and item.plan is not None:
                item.plan = self._decider.duplicate(item.record, item.plan, format_id(bytes.fromhex(first)))
            elif not item.entry.waiting:  # a waiting item stands under the mark that it claimed before it had to wait
                item.dropped = True

    def _settle(self, partition: int, entry: Entry, items: Sequence[Item], traceparents: Sequence[str]) -> Settlement:
        now_ms = self._clock.now_ms()
        outbox = Outbox(partition, now_ms)
        waits: list[Wait] = []
        for item, traceparent in zip(items, traceparents, strict=True):
            if item.dropped:
                metrics.handled(STATION, 0, item.record.priority, "repeated", [item.record], now_ms=now_ms)
            elif item.plan is None:
                waits.append(Wait(pack_frame([item.record]), now_ms + AWAY_MS, item.record.attempt))
            else:
                outbox.add(item.record, item.plan, traceparent)
        for channel, priority, status, records in outbox.tally():
            metrics.handled(STATION, channel, priority, status.name.lower(), records, now_ms=now_ms)
        return Settlement(entry, appends=outbox.appends(), waits=tuple(waits))
