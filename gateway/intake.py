"""From notifications to records in Redis: check, look up templates, reserve keys, commit. Each item has its own answer.

The order of these steps is the promise: nothing is answered with an id before its XADD was answered.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from grpc import StatusCode

from core import ids, metrics
from core.clock import Clock
from core.errors import StoreFull, StoreUnavailable
from core.model import Priority
from core.pressure import Verdict
from fastpath import Record
from gateway import accept, admission, catalog, validate
from gateway.admission import Admission
from gateway.catalog import Catalog, Facts, Reference
from gateway.commit import Committer
from gateway.errors import Refusal, Violation, invalid, refusal_of
from gateway.idempotency import Ask, Reservations, Reserved
from gateway.room import Crowded
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.types_pb2 import ErrorReason

STATION = "gateway"
SLICE = 128  # items checked at a stretch
_PRIORITIES = frozenset(map(int, Priority))


class Accepted(NamedTuple):
    """The notification is in Redis under this id (16 bytes); `duplicate`: the id is an earlier call's with the same key."""

    id: bytes
    duplicate: bool = False


Answer: TypeAlias = Accepted | Refusal


class Origin(NamedTuple):
    """Where notifications come from: the caller's name, and the W3C traceparent that their records carry ("" for none)."""

    caller: str
    traceparent: str


_Checked: TypeAlias = tuple[validate.Draft, validate.Faults]


class _Item(NamedTuple):
    """A checked draft on its way, with its place in the request."""

    place: int
    draft: validate.Draft
    version: int
    id: bytes
    mark: str


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

    async def accept(self, notifications: Sequence[Notification], origin: Origin) -> list[Answer]:
        """One answer for each notification, in order. Violations' paths are relative to the notification.

        Raises:
            StoreError: Redis refused what it should not refuse. That it is away or full is an item's answer.
        """
        urgency = min((n.priority or Priority.MEDIUM for n in notifications), default=Priority.MEDIUM)
        try:
            async with self._admission.room.place(urgency, len(notifications)):
                return await self._accept(notifications, origin)
        except Crowded:
            return [self._crowded(n.priority or Priority.MEDIUM) for n in notifications]

    def _crowded(self, priority: int) -> Refusal:
        refusal = self._admission.crowded(priority if priority in _PRIORITIES else 0)
        _refused(refusal, priority)
        return refusal

    async def _accept(self, notifications: Sequence[Notification], origin: Origin) -> list[Answer]:
        now_ms = self._clock.now_ms()
        checked: list[_Checked] = []
        for start in range(0, len(notifications), SLICE):
            if start:
                await asyncio.sleep(0)  # other calls, critical ones perhaps, do not wait for a thousand
            checked += [validate.notification(n, now_ms) for n in notifications[start : start + SLICE]]
        known = await self._templates.find({(draft.template, draft.version) for draft, _ in checked if draft.template})
        answers: list[Answer | None] = [None] * len(checked)
        items, shed = self._admit(checked, known, origin.caller, answers)
        try:
            spared, shed = await self._spare(shed)
            items += spared
            await self._store(items, answers, origin.traceparent)
            await self._shed(shed, answers, origin.traceparent)
        except (StoreUnavailable, StoreFull) as error:
            for item in (*items, *shed):
                if answers[item.place] is None:
                    answers[item.place] = refusal = refusal_of(error)
                    _refused(refusal, item.draft.priority)
        return [answer for answer in answers if answer is not None]

    def _admit(
        self, checked: Sequence[_Checked], known: dict[Reference, Facts | None], caller: str, answers: list[Answer | None]
    ) -> tuple[list[_Item], list[_Item]]:
        """What is to be stored, and what is to be shed; fills in the answers of all others."""
        now_ms = self._clock.now_ms()
        items: list[_Item] = []
        shed: list[_Item] = []
        for place, (draft, faults) in enumerate(checked):
            facts = _facts(draft, faults, known)
            verdict = Verdict.REFUSE if isinstance(facts, Refusal) else self._admission.verdict(draft.priority)
            if isinstance(facts, Refusal) or verdict is Verdict.REFUSE:
                answers[place] = refusal = facts if isinstance(facts, Refusal) else admission.refused()
                _refused(refusal, draft.priority)
                continue
            id = ids.new_id(accept.partition(draft, self._partitions), draft.priority, now_ms)
            mark = accept.mark_of(caller, draft.key) if draft.key else ""
            to = items if verdict is Verdict.ACCEPT else shed
            to.append(_Item(place, draft, facts.version, id, mark))
        return items, shed

    async def _spare(self, shed: list[_Item]) -> tuple[list[_Item], list[_Item]]:
        """Divides what is to be shed: whose key was accepted before gets its old id, as promised; the rest is shed."""
        keyed = [item for item in shed if item.mark]
        if not keyed:
            return [], shed
        known = await self._reservations.known([item.mark for item in keyed])
        spared = {item.place for item, before in zip(keyed, known, strict=True) if before}
        return [item for item in shed if item.place in spared], [item for item in shed if item.place not in spared]

    async def _store(self, items: Sequence[_Item], answers: list[Answer | None], traceparent: str) -> None:
        """Reserves keys and commits; fills in the answers of what is in Redis or in conflict."""
        asks = [Ask(item.mark, item.id, accept.content_of(item.draft)) for item in items if item.mark]
        reserved = iter(await self._reservations.reserve(asks) if asks else ())
        records: list[Record] = []
        accepted: list[tuple[int, Accepted]] = []
        for item in items:
            given = next(reserved) if item.mark else Reserved(item.id)
            if given.conflict:
                answers[item.place] = refusal = _conflict()
                _refused(refusal, item.draft.priority)
                continue
            accepted.append((item.place, Accepted(given.id, given.duplicate)))
            records.append(_record(item, given.id, traceparent))
        await self._committer.commit(records)
        for place, answer in accepted:
            answers[place] = answer
        self._measure(records)

    async def _shed(self, items: Sequence[_Item], answers: list[Answer | None], traceparent: str) -> None:
        """Tells the ledger of what is shed. Its key is not reserved: the same call may be accepted when there is room again."""
        outcomes = [
            admission.shed(i.draft, id=i.id, version=i.version, now_ms=ids.time_of(i.id), traceparent=traceparent)
            for i in items
        ]
        await self._committer.commit(outcomes)
        for item in items:
            answers[item.place] = Accepted(item.id)

    def _measure(self, records: Sequence[Record]) -> None:
        by_priority: dict[int, list[Record]] = {}
        for record in records:
            by_priority.setdefault(record.priority, []).append(record)
        for priority, some in by_priority.items():
            metrics.handled(STATION, 0, priority, "accepted", some, now_ms=self._clock.now_ms())
        if records:
            metrics.BATCH_ITEMS.observe((STATION,), len(records))


def _facts(draft: validate.Draft, faults: list[Violation], known: dict[Reference, Facts | None]) -> Facts | Refusal:
    """What is known of the draft's template, or why it is refused: with its own faults and those against the template."""
    reference = (draft.template, draft.version)
    facts = known.get(reference)
    if reference in known:
        faults.extend(catalog.faults(draft, facts))
    if faults:
        return invalid(faults)
    return facts or _unknown_now()


def _record(item: _Item, id: bytes, traceparent: str) -> Record:
    version = item.version
    at = ids.time_of(id)  # of the first call, if this one repeats it
    return accept.to_record(item.draft, id=id, version=version, accepted_ms=at, traceparent=traceparent, mark=item.mark)


def _refused(refusal: Refusal, priority: int) -> None:
    name = metrics.priority_name(priority) if priority in _PRIORITIES else "none"
    metrics.HANDLED.labels(STATION, "none", name, refusal.code.name.lower()).inc()


def _unknown_now() -> Refusal:
    text = "the template cannot be looked up now; try again"
    reason = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
    return Refusal(StatusCode.UNAVAILABLE, reason, text, retry_after_s=1.0)


def _conflict() -> Refusal:
    text = "the idempotency key was used with other content; use a new key, or send the same content again"
    violation = Violation("idempotency_key", text, ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT)
    reason = ErrorReason.ERROR_REASON_IDEMPOTENCY_CONFLICT
    return Refusal(StatusCode.ALREADY_EXISTS, reason, text, violations=(violation,))
