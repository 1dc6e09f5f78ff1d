"""Packs folded outcomes as rows of PostgreSQL's binary COPY, and reads the packed outcomes of a row back. Pure.

The column lists are DELIVERIES and EVENTS, in the order of the COPY statements in queries/applier.sql. Packed by struct
straight from the records, as a value object per row would cost more than the rest of the ledger's work together.

A row's `outcomes` are the outcomes folded into it, one after the other:

    u8 status | u8 station | u8 error class | u16 attempt | u16 units | i64 at (ms) | i64 sending (ms) |
    u16 length of each of provider, provider_id, code, reason | these strings (UTF-8)          (big endian)
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct

from core.ids import time_of
from core.model import Station, Status
from fastpath import Record
from ledger.fold import Life
from ledger.timeline import billed
from ledger.values import Report

COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"

EPOCH_MS = 946_684_800_000  # PostgreSQL counts from 2000-01-01
LAST_MS = 4_102_444_800_000  # 2100; what claims to be later, or before 1970, is given this time, so that it fits a column
SMALL = 0x7FFF  # smallint's highest
REASON_MAX = 2_000  # bytes of a provider's words; no provider has more to say
WORD_MAX = 256  # bytes of its codes and ids

_NULL = b"\xff\xff\xff\xff"
_EMPTY = bytes(4)  # a text of length 0
_LENGTH = Struct(">i")
_TIME = Struct(">iq")
_OUTCOME = Struct(">BBBHHqqHHHH")
_DELIVERY = Struct(">hi16siqiqiiihihihihihihih")
_EVENT_HEAD = Struct(">hi16siq")
_EVENT_CODES = Struct(">ihihihihihihih")


def copy_deliveries(lives: Iterable[Life]) -> bytes:
    """The whole body of a binary COPY into deliveries."""
    return b"".join([COPY_HEAD, *map(_delivery, lives), COPY_END])


def copy_events(late: Iterable[Record]) -> bytes:
    """The whole body of a binary COPY into events."""
    return b"".join([COPY_HEAD, *map(_event, late), COPY_END])


def happened_ms(outcome: Record) -> int:
    """When an outcome happened; a record that does not say falls back on what it does say."""
    return outcome.at_ms or outcome.queued_ms or accepted_ms(outcome)


def accepted_ms(outcome: Record) -> int:
    """When the notification was accepted; its id tells if the record does not."""
    return outcome.accepted_ms or time_of(outcome.id)


def _delivery(life: Life) -> bytes:
    first, last, told = life
    packed = b"".join([pack(outcome) for outcome in told])
    attempts = units = 0
    provider = last.provider
    for outcome in told:
        attempts = max(attempts, outcome.attempt)
        units += outcome.extra
        provider = provider or outcome.provider
    if units:
        units = billed((o.attempt or attempts, o.extra) for o in told)
    verdicts = first.verdicts
    return b"".join(
        (
            _DELIVERY.pack(
                20, 16, first.id,
                8, _microseconds(accepted_ms(first)),
                8, _microseconds(happened_ms(last)),
                4, first.version,
                2, first.channel,
                2, first.device,
                2, first.priority,
                2, first.klass,
                2, last.status,
                2, min(attempts, SMALL),
                2, min(units, SMALL),
            ),
            _trace(first.traceparent),
            _word(first.type),
            _text(first.recipient_id),
            _word(first.template),
            _word(first.language),
            _word(first.source),
            _word(provider),
            _LENGTH.pack(len(packed)),
            packed,
            blob(verdicts) if verdicts else _NULL,
        )
    )  # fmt: skip


def _event(outcome: Record) -> bytes:
    sending_ms, type_, recipient_id = outcome.sending_ms, outcome.type, outcome.recipient_id
    attempt, units = outcome.attempt, outcome.extra
    return b"".join(
        (
            _EVENT_HEAD.pack(16, 16, outcome.id, 8, _microseconds(happened_ms(outcome))),
            _TIME.pack(8, _microseconds(sending_ms)) if sending_ms else _NULL,
            _EVENT_CODES.pack(
                2, outcome.channel,
                2, outcome.device,
                2, outcome.status,
                2, outcome.station,
                2, attempt if attempt < SMALL else SMALL,  # a call of min() is dearer than the rest of the line
                2, outcome.error_class,
                2, units if units < SMALL else SMALL,
            ),
            _word(type_) if type_ else _NULL,
            _text(recipient_id) if recipient_id else _NULL,
            _word(outcome.provider),
            _short(outcome.provider_id, WORD_MAX),
            _short(outcome.code, WORD_MAX),
            _short(outcome.reason, REASON_MAX),
        )
    )  # fmt: skip


def pack(outcome: Record) -> bytes:
    """One outcome, packed for the column `outcomes`."""
    provider = outcome.provider.encode()
    provider_id = outcome.provider_id.encode()
    code = outcome.code.encode()
    reason = outcome.reason.encode()
    if len(provider_id) > WORD_MAX or len(code) > WORD_MAX or len(reason) > REASON_MAX:
        provider_id, code, reason = _cut(provider_id, WORD_MAX), _cut(code, WORD_MAX), _cut(reason, REASON_MAX)
    head = _OUTCOME.pack(
        outcome.status,
        outcome.station,
        outcome.error_class,
        outcome.attempt,
        min(outcome.extra, SMALL),
        outcome.at_ms or happened_ms(outcome),
        outcome.sending_ms,
        len(provider),
        len(provider_id),
        len(code),
        len(reason),
    )
    return head + provider + provider_id + code + reason


def unpack(outcomes: bytes) -> list[Report]:
    """The outcomes that were folded into a row."""
    reports = []
    offset = 0
    while offset < len(outcomes):
        status, station, error_class, attempt, units, at_ms, sending_ms, *lengths = _OUTCOME.unpack_from(outcomes, offset)
        offset += _OUTCOME.size
        words = []
        for length in lengths:
            words.append(outcomes[offset : offset + length].decode())
            offset += length
        reports.append(Report(Status(status), Station(station), attempt, at_ms, sending_ms, error_class, units, *words))
    return reports


@lru_cache(maxsize=1024)  # what was answered together happened in the same millisecond
def _microseconds(ms: int) -> int:
    return (ms - EPOCH_MS) * 1000 if 0 <= ms <= LAST_MS else (LAST_MS - EPOCH_MS) * 1000


def _cut(raw: bytes, length: int) -> bytes:
    """At most `length` bytes of UTF-8, no character halved."""
    return raw[:length].decode(errors="ignore").encode()


def blob(raw: bytes) -> bytes:
    """Text in the binary format: its length and its bytes."""
    if b"\0" in raw:  # the one character that PostgreSQL's text cannot hold
        raw = raw.replace(b"\0", b"\xef\xbf\xbd")
    return _LENGTH.pack(len(raw)) + raw


def _short(value: str, length: int) -> bytes:
    """A text that is usually empty and must not be long."""
    if not value:
        return _EMPTY
    raw = value.encode()
    return blob(raw if len(raw) <= length else _cut(raw, length))


def _text(value: str) -> bytes:
    return blob(value.encode())


_word = lru_cache(maxsize=8192)(_text)  # types, templates, languages, providers: few values, seen again and again


def _trace(traceparent: str) -> bytes:
    """The trace id out of a W3C traceparent (version-trace-span-flags), as a uuid's 16 bytes."""
    if not traceparent:
        return _NULL
    try:
        trace_id = bytes.fromhex(traceparent[3:35])
    except ValueError:
        return _NULL
    return _LENGTH.pack(16) + trace_id if len(trace_id) == 16 else _NULL  # fromhex skips blanks
