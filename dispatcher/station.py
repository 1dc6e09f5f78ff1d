"""The dispatcher's handler: frames of notifications in, frames of deliveries and outcomes out, one settlement an entry.

Effects only (fetch, claim, trace, count); what is decided is in dispatcher/decide.py (and remembered by fastpath.Planner), what
is written in dispatcher/forward.py.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from core import metrics, telemetry
from core.clock import SYSTEM_CLOCK, Clock
from core.ids import format_id
from core.station import Batch
from core.streams import Entry, Settlement, Wait
from dispatcher.decide import Decider
from dispatcher.dedupe import Dedupe
from dispatcher.forward import Outbox
from dispatcher.people import People
from dispatcher.reach import can_do_without, must_look_up
from dispatcher.templates import Template, TemplateKey, Templates
from fastpath import Contact, Plan, Record, pack_frame, unpack_frame

STATION = "dispatcher"
AWAY_MS = 5_000  # a notification that needs the ledger while it is away is looked at again after this


@dataclass(slots=True)
class Hand:
    """One entry in hand.

    Attributes:
        entry: where its notifications came from.
        records: the notifications.
        plans: what becomes of each; None while the ledger must be asked and is away.
        rest: indices of those that are not planned the usual way.
        copies: indices of second copies of what is on its way already: nothing becomes of them.
    """

    entry: Entry
    records: list[Record]
    plans: list[Plan | None] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    copies: set[int] = field(default_factory=set)


class Tally:
    """What a batch's notifications became, gathered for one count each: metrics cost more by the call than by the record."""

    def __init__(self) -> None:
        self._records: defaultdict[tuple[int, int, str], list[Record]] = defaultdict(list)

    def add(self, channel: int, priority: int, outcome: str, records: Sequence[Record]) -> None:
        """`records` became `outcome`."""
        self._records[channel, priority, outcome] += records

    def report(self, now_ms: int) -> None:
        """Tells the metrics."""
        for (channel, priority, outcome), records in self._records.items():
            metrics.handled(STATION, channel, priority, outcome, records, now_ms=now_ms)


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
        self._planner = decider.planner(people.shelf, templates.shelf)
        self._dedupe = marks
        self._clock = clock

    async def handle(self, batch: Batch) -> list[Settlement]:
        """Decides over every notification of the batch; see core.station.Handler."""
        hands = [Hand(entry, unpack_frame(entry.frame)) for entry in batch.entries]
        traced = telemetry.enabled()  # else nobody reads their traceparents: they go forward as they came
        given = [record.traceparent for hand in hands for record in hand.records] if traced else []
        with telemetry.batch("dispatch", given) as traceparents:
            await self._plan(hands)
            await self._claim(batch.partition, hands)
            return self._settle(batch.partition, hands, traceparents if traced else None)

    async def _plan(self, hands: Sequence[Hand]) -> None:
        """Gives every notification its plan, with one question for all recipients and one for all templates not known."""
        now_ms = self._clock.now_ms()
        for hand in hands:
            hand.plans, hand.rest = self._planner.plan(hand.records, now_ms)
        rest = [hand.records[i] for hand in hands for i in hand.rest]
        if not rest:
            return
        people, templates = await asyncio.gather(
            self._people.resolve(record.recipient_id for record in rest if must_look_up(record)),
            self._templates.resolve((record.template, record.version) for record in rest),
        )
        now_ms = self._clock.now_ms()
        for hand in hands:
            again, _ = self._planner.plan([hand.records[i] for i in hand.rest], now_ms)  # most were only not known yet
            for i, plan in zip(hand.rest, again, strict=True):
                hand.plans[i] = plan or self._plan_one(hand.records[i], people, templates, now_ms)

    def _plan_one(
        self, record: Record, people: dict[str, Contact | None], templates: dict[TemplateKey, Template | None], now_ms: int
    ) -> Plan | None:
        if record.expires_ms and record.expires_ms <= now_ms:
            return self._decider.expired(record)
        key = (record.template, record.version)
        if key not in templates:
            return None
        stored: Contact | None = None
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

    async def _claim(self, partition: int, hands: Sequence[Hand]) -> None:
        """Drops second copies and suppresses repeated content: one question for all marks of the batch."""
        askers = [(hand.entry.id, hand.records, hand.plans) for hand in hands]
        for which, i, by_content, first in await self._dedupe.claim(partition, askers, self._clock.now_ms()):
            hand = hands[which]
            plan = hand.plans[i]
            if by_content and plan is not None:
                hand.plans[i] = self._decider.duplicate(hand.records[i], plan, format_id(first))
            elif not hand.entry.waiting:  # a waiting item stands under the mark that it claimed before it had to wait
                hand.copies.add(i)

    def _settle(self, partition: int, hands: Sequence[Hand], traceparents: Sequence[str] | None) -> list[Settlement]:
        now_ms = self._clock.now_ms()
        tally = Tally()
        settlements = []
        start = 0
        for hand in hands:
            end = start + len(hand.records)
            outbox = Outbox(partition, now_ms)
            waits = _waits(hand, now_ms)
            for i in hand.copies:
                hand.plans[i] = None
                tally.add(0, hand.records[i].priority, "repeated", [hand.records[i]])
            outbox.add(hand.records, hand.plans, traceparents[start:end] if traceparents is not None else None)
            for channel, priority, status, records in outbox.tally():
                tally.add(channel, priority, status.name.lower(), records)
            settlements.append(Settlement(hand.entry, appends=outbox.appends(), waits=waits))
            start = end
        tally.report(now_ms)
        return settlements


def _waits(hand: Hand, now_ms: int) -> tuple[Wait, ...]:
    waiting = [hand.records[i] for i in hand.rest if hand.plans[i] is None and i not in hand.copies]
    return tuple(Wait(pack_frame([record]), now_ms + AWAY_MS, record.attempt) for record in waiting)
