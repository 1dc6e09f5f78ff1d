"""Entries that kill or break their consumer again and again: isolated, split, and at last dead-lettered. Pure.

Who was handed out `limit` times is handed out alone from then on, so that it cannot take its neighbours with it, and on trial
(core/trial.py): only what fails or vanishes while it is worked on is spoilt. A spoilt frame is split into waiting items of one
record each, a spoilt item goes to the dead letters.
"""

from core import keys
from core.ids import partition_of
from core.model import Channel, ErrorClass, Station, Status
from core.streams import Append, Entry, Settlement, Wait
from fastpath import Record, pack_frame, record, unpack_frame
from fastpath.layout import DELIVERY, FIRST, NOTIFICATION, OUTCOME

SPLIT_DELAY_MS = 1_000
HARD = 8  # times the limit: so often nobody is handed out who is innocent
REASON = "its processing failed again and again; see the station's log"


def isolate(entries: list[Entry], limit: int) -> list[list[Entry]]:
    """Batches to hand out: entries together, but each one on its own that is suspect.

    The times before may have been a neighbour's fault, or a process that was killed with thousands in hand.
    """
    fresh = [e for e in entries if not is_suspect(e, limit)]
    alone = [[e] for e in entries if is_suspect(e, limit)]
    return ([fresh] if fresh else []) + alone


def is_suspect(entry: Entry, limit: int) -> bool:
    """Whether an entry has been handed out so often that it is tried alone."""
    return _handed_out(entry) >= limit


def is_spoilt(entry: Entry, limit: int) -> bool:
    """Whether an entry has been handed out more often than any healthy one would be, on trial or not."""
    return _handed_out(entry) > limit * HARD


def _handed_out(entry: Entry) -> int:
    """Deliveries since the entry was appended: of a waiting one, Redis' count includes the attempts made before."""
    if not entry.waiting:
        return entry.deliveries
    try:
        return entry.deliveries - unpack_frame(entry.frame)[0].attempt
    except ValueError:
        return entry.deliveries


def settlement(entry: Entry, partition: int, now_ms: int) -> Settlement:
    """What becomes of a spoilt entry: a frame is split, a single record goes to the dead letters and the ledger."""
    try:
        records = unpack_frame(entry.frame)
    except ValueError:
        return Settlement(entry, appends=(Append(keys.dead(partition, None), entry.frame),))
    if len(records) > 1:
        left = [r for i, r in enumerate(records) if not _is_done(entry.done, i)]
        return Settlement(entry, waits=tuple(Wait(pack_frame([r]), now_ms + SPLIT_DELAY_MS, r.attempt) for r in left))
    return Settlement(entry, appends=_dead_letter(records[0], now_ms))


def _is_done(bitmap: bytes, index: int) -> bool:
    return index >> 3 < len(bitmap) and bool(bitmap[index >> 3] >> (index & 7) & 1)


def _dead_letter(item: Record, now_ms: int) -> tuple[Append, ...]:
    partition = partition_of(item.id)
    if item.kind not in (NOTIFICATION, DELIVERY):
        return (Append(keys.dead(partition, None), pack_frame([item])),)
    channel = Channel(item.channel) if item.kind == DELIVERY else None
    outcome = record(
        OUTCOME,
        id=item.id,
        priority=item.priority,
        klass=item.klass,
        channel=channel or 0,
        status=Status.DEAD,
        station=Station.SENDER if item.kind == DELIVERY else Station.DISPATCHER,
        device=item.device,
        flags=FIRST if item.kind == NOTIFICATION else 0,  # the dispatcher's first outcome never came
        attempt=item.attempt,
        error_class=ErrorClass.POISON,
        version=item.version,
        accepted_ms=item.accepted_ms,
        at_ms=now_ms,
        type=item.type,
        recipient_id=item.recipient_id,
        template=item.template,
        source=item.source,
        traceparent=item.traceparent,
        code="poison",
        reason=REASON,
    )
    letter = item.replace(error_class=ErrorClass.POISON)
    return (
        Append(keys.dead(partition, channel), pack_frame([letter])),
        Append(keys.outcomes(partition), pack_frame([outcome])),
    )
