"""Twin of fastpath/rows.pyx: frames of outcomes in, folded by delivery, bodies of PostgreSQL's binary COPY out. No I/O.

A delivery's usual life (queued, sending, sent, often delivered) is over within a fraction of a second, so with a little
patience its outcomes meet in one batch and cost PostgreSQL one row instead of three. The columns and their order are those
of the COPY statements in ledger/queries/applier.sql; the packed outcomes are told in fastpath/outcomes.py.
"""

from collections.abc import Collection, Iterable, Sequence
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from fastpath import varints
from fastpath.errors import FrameError
from fastpath.layout import FIRST, OUTCOME
from fastpath.outcomes import (
    BEGUN,
    COMPACT,
    COPY_END,
    COPY_HEAD,
    DAY_MS,
    EPOCH_MS,
    LARGE,
    LAST_MS,
    REASON_MAX,
    SMALL,
    WORD_MAX,
    Folded,
    Key,
    Order,
    Tally,
    billed,
)
from fastpath.pure.records import Record, unpack_frame

_NULL = b"\xff\xff\xff\xff"
_LENGTH = Struct(">i")
_TIME = Struct(">iq")
_DELIVERY = Struct(">hi16siqiqiIiiihihihihihihih")
_EVENT_HEAD = Struct(">hi16siq")
_EVENT_CODES = Struct(">ihihihihihihih")


class _Life(NamedTuple):
    """A delivery whose row is to be written."""

    first: Record  # the outcome that opened it, with its static fields
    last: Record  # the outcome that is its status
    told: list[Record]  # every outcome of it in the batch, `first` and `last` included


class RowPacker:
    """Packs batches of outcomes as rows."""

    def __init__(self, order: Order, stations: Collection[int], channels: Collection[int]) -> None:
        """The codes that can be read back: statuses with their order, stations, channels (0: it ended before it was routed)."""
        self._order = order
        self._stations = frozenset(stations)
        self._channels = frozenset(channels)

    def pack(self, frames: Sequence[bytes], written: Collection[Key] = (), run: int = 0) -> Folded:
        """Folds the outcomes of a batch by delivery and packs them.

        Args:
            frames: of outcomes, in any order; several with flags & FIRST for one delivery make one row all the same.
            written: deliveries that have their row already: theirs are events, whatever their flags say.
            run: which run of rows these belong to, see ledger/runs.py.

        Raises:
            FrameError: a damaged frame, one of another kind, or text that is not UTF-8.
            ValueError: a status, station or channel that is not known. Written, it could not be read.
        """
        outcomes = [outcome for frame in frames for outcome in _unpack(frame)]
        lives, late = self._fold(outcomes, written)
        rows = _body(_delivery(life, run) for life in lives)
        return Folded(rows, _body(map(_event, late)), set(map(_day, outcomes)), _tally(outcomes))

    def _fold(self, outcomes: Iterable[Record], written: Collection[Key]) -> tuple[list[_Life], list[Record]]:
        groups: dict[Key, list[Record]] = {}
        for outcome in outcomes:
            self._check(outcome)
            groups.setdefault((outcome.id, outcome.channel, outcome.device), []).append(outcome)
        lives: list[_Life] = []
        late: list[Record] = []
        for key, group in groups.items():
            first = next((o for o in group if o.flags & FIRST), None)
            if first is None or key in written:
                late += group
            else:
                lives.append(_Life(first, self._last(group), group))
        return lives, late

    def _check(self, o: Record) -> None:
        if o.status not in self._order.ranks or o.station not in self._stations or o.channel not in self._channels:
            what = f"status {o.status} of station {o.station} on channel {o.channel}"
            raise ValueError(f"notification {UUID(bytes=o.id)}: there is no {what}")

    def _last(self, group: Sequence[Record]) -> Record:
        """The outcome of a delivery that is its status; of equals the later told."""
        latest = max(self._order.reach(o.status, o.attempt) for o in group)
        last, highest = group[0], (-1, 0, 0)
        for outcome in group:
            height = (*self._order.place(outcome.status, outcome.attempt, latest), outcome.at_ms)
            if height >= highest:
                last, highest = outcome, height
        return last


def _unpack(frame: bytes) -> list[Record]:
    records = unpack_frame(frame)
    if records[0].kind != OUTCOME:
        raise FrameError(f"frame of kind {records[0].kind} among outcomes")
    return records


def _body(rows: Iterable[bytes]) -> bytes:
    packed = b"".join(rows)
    return COPY_HEAD + packed + COPY_END if packed else b""


def _tally(outcomes: Iterable[Record]) -> Tally:
    found: Tally = {}
    for o in outcomes:
        ages = found.setdefault((o.channel, o.priority, o.status), {})
        ages[o.accepted_ms] = ages.get(o.accepted_ms, 0) + 1
    return found


def _made_ms(outcome: Record) -> int:
    """When the notification's id was made."""
    return int.from_bytes(outcome.id[:6], "big")


def _day(outcome: Record) -> int:
    """The day (UTC) of the notification's id, in days since the epoch."""
    return _made_ms(outcome) // DAY_MS


def _accepted_ms(outcome: Record) -> int:
    """When the notification was accepted; its id tells if the record does not."""
    accepted: int = outcome.accepted_ms or _made_ms(outcome)
    return accepted


def _happened_ms(outcome: Record) -> int:
    """When an outcome happened; a record that does not say falls back on what it does say."""
    happened: int = outcome.at_ms or outcome.queued_ms or _accepted_ms(outcome)
    return happened


def _microseconds(ms: int) -> int:
    return (ms - EPOCH_MS) * 1000 if 0 <= ms <= LAST_MS else (LAST_MS - EPOCH_MS) * 1000


def _delivery(life: _Life, run: int) -> bytes:
    first, last, told = life
    packed = bytes((COMPACT,)) + b"".join(map(_packed, told))
    attempts = max(o.attempt for o in told)
    units = billed((o.attempt or attempts, o.extra) for o in told)
    provider = next((o.provider for o in (last, *told) if o.provider), "")
    return b"".join(
        (
            _DELIVERY.pack(
                21, 16, first.id,
                8, _microseconds(_accepted_ms(first)),
                8, _microseconds(_happened_ms(last)),
                4, run,
                4, min(first.version, LARGE),
                2, first.channel,
                2, first.device,
                2, first.priority,
                2, first.klass,
                2, last.status,
                2, min(attempts, SMALL),
                2, min(units, SMALL),
            ),
            _trace(first.traceparent.encode()),
            _text(first.type.encode()),
            _text(first.recipient_id.encode()),
            _text(first.template.encode()),
            _text(first.language.encode()),
            _text(first.source.encode()),
            _text(provider.encode()),
            _LENGTH.pack(len(packed)),
            packed,
            _text(first.verdicts) if first.verdicts else _NULL,
        )
    )  # fmt: skip


def _event(outcome: Record) -> bytes:
    sending_ms, type_, recipient_id = outcome.sending_ms, outcome.type, outcome.recipient_id
    return b"".join(
        (
            _EVENT_HEAD.pack(16, 16, outcome.id, 8, _microseconds(_happened_ms(outcome))),
            _TIME.pack(8, _microseconds(sending_ms)) if sending_ms else _NULL,
            _EVENT_CODES.pack(
                2, outcome.channel,
                2, outcome.device,
                2, outcome.status,
                2, outcome.station,
                2, min(outcome.attempt, SMALL),
                2, outcome.error_class,
                2, min(outcome.extra, SMALL),
            ),
            _text(type_.encode()) if type_ else _NULL,
            _text(recipient_id.encode()) if recipient_id else _NULL,
            _text(outcome.provider.encode()),
            _text(_cut(outcome.provider_id.encode(), WORD_MAX)),
            _text(_cut(outcome.code.encode(), WORD_MAX)),
            _text(_cut(outcome.reason.encode(), REASON_MAX)),
        )
    )  # fmt: skip


def _packed(outcome: Record) -> bytes:
    """One outcome, packed for the column `outcomes`."""
    words = [
        _cut(outcome.provider.encode(), WORD_MAX),
        _cut(outcome.provider_id.encode(), WORD_MAX),
        _cut(outcome.code.encode(), WORD_MAX),
        _cut(outcome.reason.encode(), REASON_MAX),
    ]
    happened_ms, sending_ms = _happened_ms(outcome), outcome.sending_ms
    return b"".join(
        (
            bytes((outcome.status, outcome.station | (BEGUN if sending_ms else 0), outcome.error_class)),
            varints.put(outcome.attempt),
            varints.put(min(outcome.extra, SMALL)),
            varints.put(varints.zigzag(happened_ms - _made_ms(outcome))),
            varints.put(varints.zigzag(sending_ms - happened_ms)) if sending_ms else b"",
            *(varints.put(len(word)) + word for word in words),
        )
    )


def _cut(raw: bytes, length: int) -> bytes:
    """At most `length` bytes of UTF-8, no character halved."""
    return raw if len(raw) <= length else raw[:length].decode(errors="ignore").encode()


def _text(raw: bytes) -> bytes:
    """Text in the binary format: its length and its bytes, without the one character that PostgreSQL's text cannot hold."""
    raw = raw.replace(b"\0", b"\xef\xbf\xbd")
    return _LENGTH.pack(len(raw)) + raw


def _trace(traceparent: bytes) -> bytes:
    """The trace id out of a W3C traceparent (version-trace-span-flags), as a uuid's 16 bytes."""
    try:
        trace_id = bytes.fromhex(traceparent[3:35].decode("ascii"))
    except ValueError:
        return _NULL
    return _LENGTH.pack(16) + trace_id if len(trace_id) == 16 else _NULL  # fromhex skips blanks
