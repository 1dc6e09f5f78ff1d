"""From notifications to records in Redis: check, look up templates, reserve keys, commit. Each item has its own answer.

The order of these steps is the promise: nothing is answered with an id before its XADD was answered. What is plainly good is
read natively (fastpath.Reader); only what needs a closer look goes through validate.py, which alone says what is wrong.
"""

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeAlias, TypeGuard

from grpc import StatusCode

from core import ids, metrics
from core.clock import Clock
from core.errors import StoreFull, StoreUnavailable
from core.model import Priority
from core.pressure import Verdict
from fastpath import Reader, Record, by_priority
from gateway import accept, admission, catalog, validate
from gateway.admission import Admission
from gateway.catalog import Catalog, Facts, Reference
from gateway.commit import Committer
from gateway.errors import Refusal, Violation, invalid, refusal_of
from gateway.idempotency import Ask, Reservations
from gateway.room import Crowded
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.types_pb2 import ErrorReason

STATION = "gateway"
SLICE = 128  # items that are looked at closer at a stretch
READ_SLICE = 512  # items read natively at a stretch
_PRIORITIES = frozenset(map(int, Priority))


class Repeated(NamedTuple):
    """The key was an earlier call's with the same content; the record is appended again, under that call's id."""

    record: Record


Answer: TypeAlias = Record | Repeated | Refusal  # the record, with its id, is in Redis


class Origin(NamedTuple):
    """Where notifications come from: the caller's name, and the W3C traceparent that their records carry ("" for none)."""

    caller: str
    traceparent: str


Taken: TypeAlias = Record | tuple[Record, bytes] | None  # with a key: and the digest of its content; None: look closer


class _Shed(NamedTuple):
    """An item that is to be shed: its outcome, and the item itself, should its key turn out to be known."""

    outcome: Record
    taken: Record | tuple[Record, bytes]


_Entry: TypeAlias = Record | tuple[Record, bytes] | Repeated | Refusal | _Shed | None


_PLAIN = {Record}


class Intake:
    """Accepts notifications.

    Args:
        partitions: how many there are.
        templates: what is known of templates.
        reservations: idempotency keys.
        committer: writes records.
        admission: who is let in.
        clock: for ids and expiry.
    """

    def __init__(
        self,
        partitions: int,
        templates: Catalog,
        reservations: Reservations,
        *,
        committer: Committer,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self._admission = admission
        self._partitions = partitions
        self._templates = templates
        self._reservations = reservations
        self._committer = committer
        self._clock = clock
        self._reader = Reader(partitions, accept.CHECKS)

    async def read(self, wire: bytes, most: int, origin: Origin) -> list[Taken]:
        """A request's notifications as far as they are plainly good and would be accepted now; None for each other one.

        Nothing at all if there are none, more than `most`, or anything else in the request: it is for protobuf to read.
        """
        scanned = self._reader.scan(wire)
        if scanned is None or not 0 < scanned[0] <= most:
            return []
        count, references = scanned
        known = await self._templates.find(references)
        taken: list[Taken] = []
        for first in range(0, count, READ_SLICE):
            if first:
                await asyncio.sleep(0)  # other calls, critical ones perhaps, do not wait for a thousand large ones
            taken += self._reader.read(
                wire,
                first,
                known,
                admitted=self._admission.admitted(),
                now_ms=self._clock.now_ms(),
                random=os.urandom(8 * min(READ_SLICE, count - first)),
                traceparent=origin.traceparent,
                mark=partial(accept.mark_of, origin.caller),
            )
        return taken

    async def accept(self, taken: Sequence[Taken], notifications: Sequence[Notification], origin: Origin) -> list[Answer]:
        """One answer for each notification, in order. Violations' paths are relative to the notification.

        Args:
            taken: what `read` made of them.
            notifications: the same, parsed; may be empty if none needs a closer look.

        Raises:
            StoreError: Redis refused what it should not refuse. That it is away or full is an item's answer.
        """
        try:
            async with self._admission.room.place(_urgency(taken, notifications), len(taken)):
                return await self._accept(taken, notifications, origin)
        except Crowded:
            return [self._crowded(_priority_of(place, taken, notifications)) for place in range(len(taken))]

    def _crowded(self, priority: int) -> Refusal:
        return _refused(self._admission.crowded(priority if priority in _PRIORITIES else 0), priority)

    async def _accept(self, taken: Sequence[Taken], notifications: Sequence[Notification], origin: Origin) -> list[Answer]:
        entries: list[_Entry] = list(taken)
        if not all(entries):
            await self._look_closer(entries, notifications, origin)
        kinds = set(map(type, entries))
        try:
            if _Shed in kinds:
                await self._spare(entries)
            if kinds != _PLAIN:
                await self._reserve(entries)
            await self._store(entries)
        except (StoreUnavailable, StoreFull) as error:
            _fail(entries, (Record, Repeated, tuple, _Shed), error)
        try:
            if _Shed in kinds:
                await self._shed(entries)
        except (StoreUnavailable, StoreFull) as error:
            _fail(entries, (_Shed,), error)
        return [entry for entry in entries if isinstance(entry, (Record, Repeated, Refusal))]

    async def _look_closer(self, entries: list[_Entry], notifications: Sequence[Notification], origin: Origin) -> None:
        """Replaces every None by what the checks in Python say of it."""
        places = [place for place, entry in enumerate(entries) if entry is None]
        now_ms = self._clock.now_ms()
        checked: list[tuple[validate.Draft, validate.Faults]] = []
        for start in range(0, len(places), SLICE):
            if start:
                await asyncio.sleep(0)
            checked += [validate.notification(notifications[place], now_ms) for place in places[start : start + SLICE]]
        known = await self._templates.find({(draft.template, draft.version) for draft, _ in checked if draft.template})
        now_ms = self._clock.now_ms()
        for place, (draft, faults) in zip(places, checked, strict=True):
            facts = _facts(draft, faults, known)
            if isinstance(facts, Refusal):
                entries[place] = _refused(facts, draft.priority)
            else:
                entries[place] = self._admit(draft, facts, now_ms, origin)

    def _admit(self, draft: validate.Draft, facts: Facts, now_ms: int, origin: Origin) -> _Entry:
        """What becomes of a draft that is good."""
        verdict = self._admission.verdict(draft.priority)
        if verdict is Verdict.REFUSE:
            return _refused(admission.refused(), draft.priority)
        id = ids.new_id(accept.partition(draft, self._partitions), draft.priority, now_ms)
        version, traceparent = facts.version, origin.traceparent
        mark = accept.mark_of(origin.caller, draft.key) if draft.key else ""
        record = accept.to_record(draft, id=id, version=version, accepted_ms=now_ms, traceparent=traceparent, mark=mark)
        taken = (record, accept.content_of(draft)) if mark else record
        if verdict is Verdict.ACCEPT:
            return taken
        return _Shed(admission.shed(draft, id=id, version=version, now_ms=now_ms, traceparent=traceparent), taken)

    async def _spare(self, entries: list[_Entry]) -> None:
        """Whose key was accepted before is not shed: it gets its old id, as promised."""
        keyed = [(i, e.taken) for i, e in enumerate(entries) if isinstance(e, _Shed) and isinstance(e.taken, tuple)]
        known = await self._reservations.known([taken[0].mark for _, taken in keyed])
        for (place, taken), before in zip(keyed, known, strict=True):
            if before:
                entries[place] = taken

    async def _reserve(self, entries: list[_Entry]) -> None:
        """Replaces what came with a key by what that gives: the record, an earlier one's, or a conflict."""
        keyed = [(place, *entry) for place, entry in enumerate(entries) if _has_key(entry)]
        asks = [Ask(record.mark, record.id, content) for _, record, content in keyed]
        reserved = await self._reservations.reserve(asks) if asks else ()
        for (place, record, _), given in zip(keyed, reserved, strict=True):
            if given.conflict:
                entries[place] = _refused(_conflict(), record.priority)
            elif given.duplicate:
                entries[place] = Repeated(record.replace(id=given.id, accepted_ms=ids.time_of(given.id)))
            else:
                entries[place] = record

    async def _store(self, entries: Sequence[_Entry]) -> None:
        records = [e.record if isinstance(e, Repeated) else e for e in entries if isinstance(e, (Record, Repeated))]
        await self._committer.commit(records)
        now_ms = self._clock.now_ms()
        for priority, some in by_priority(records).items():
            metrics.handled(STATION, 0, priority, "accepted", some, now_ms=now_ms)
        if records:
            metrics.BATCH_ITEMS.observe((STATION,), len(records))

    async def _shed(self, entries: list[_Entry]) -> None:
        """Tells the ledger of what is shed. Its key is not reserved: the same call may be accepted when there is room again."""
        shed = [(place, entry.outcome) for place, entry in enumerate(entries) if isinstance(entry, _Shed)]
        await self._committer.commit([outcome for _, outcome in shed])
        for place, outcome in shed:
            entries[place] = outcome


def _urgency(taken: Sequence[Taken], notifications: Sequence[Notification]) -> int:
    """The most urgent priority of a call's items; what is no priority makes nothing urgent, and hides no critical one."""
    usual = by_priority([entry for entry in taken if isinstance(entry, Record)])
    others = [_priority_of(i, taken, notifications) for i, entry in enumerate(taken) if not isinstance(entry, Record)]
    return min({*usual, *others} & _PRIORITIES, default=Priority.LOW if others else Priority.MEDIUM)


def _priority_of(place: int, taken: Sequence[Taken], notifications: Sequence[Notification]) -> int:
    """The priority of one item, as its caller gave it."""
    entry = taken[place]
    if entry is None:
        return notifications[place].priority or Priority.MEDIUM
    return int(entry.priority if isinstance(entry, Record) else entry[0].priority)


def _has_key(entry: _Entry) -> TypeGuard[tuple[Record, bytes]]:
    return type(entry) is tuple


def _facts(draft: validate.Draft, faults: list[Violation], known: dict[Reference, Facts | None]) -> Facts | Refusal:
    """What is known of the draft's template, or why it is refused: with its own faults and those against the template."""
    reference = (draft.template, draft.version)
    facts = known.get(reference)
    if reference in known:
        faults.extend(catalog.faults(draft, facts))
    if faults:
        return invalid(faults)
    return facts or _unknown_now()


def _fail(entries: list[_Entry], kinds: tuple[type, ...], error: StoreUnavailable | StoreFull) -> None:
    """Redis was asked and did not take them: refuses all entries of these kinds."""
    for place, entry in enumerate(entries):
        if isinstance(entry, kinds):
            entries[place] = _refused(refusal_of(error), _priority(entry))


def _priority(entry: _Entry) -> int:
    if isinstance(entry, _Shed):
        return int(entry.outcome.priority)
    record = entry[0] if isinstance(entry, tuple) else entry  # of Repeated too
    assert isinstance(record, Record)
    return int(record.priority)


def _refused(refusal: Refusal, priority: int) -> Refusal:
    """The refusal, counted."""
    name = metrics.priority_name(priority) if priority in _PRIORITIES else "none"
    metrics.HANDLED.labels(STATION, "none", name, refusal.code.name.lower()).inc()
    return refusal


def _unknown_now() -> Refusal:
    text = "the template cannot be looked up now; try again"
    reason = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
    return Refusal(StatusCode.UNAVAILABLE, reason, text, retry_after_s=1.0)


def _conflict() -> Refusal:
    text = "the idempotency key was used with other content; use a new key, or send the same content again"
    violation = Violation("idempotency_key", text, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT)
    reason = ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT
    return Refusal(StatusCode.ALREADY_EXISTS, reason, text, violations=(violation,))
