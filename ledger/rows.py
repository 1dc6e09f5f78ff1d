"""Reads the packed outcomes of a row back, as fastpath's RowPacker wrote them (fastpath/outcomes.py tells the bytes). Pure."""

from collections.abc import Iterator
from struct import Struct

from core.model import Station, Status
from fastpath import varints
from fastpath.outcomes import BEGUN, COMPACT
from ledger.values import Report

_WORDS = 4  # provider, provider_id, code, reason
# Before migration 0005 rows had no COMPACT, but of each outcome: status, station, error class, attempt, units, at, sending, the
# lengths of the words; the words.
_WIDE = Struct(">BBBHHqqHHHH")


def unpack(outcomes: bytes, made_ms: int) -> list[Report]:
    """The outcomes that were folded into a row.

    Args:
        outcomes: the column.
        made_ms: when the notification's id was made.
    """
    return list(_compact(_Reader(outcomes), made_ms) if outcomes[0] == COMPACT else _wide(outcomes))


class _Reader:
    """Steps through packed outcomes."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = 1

    def more(self) -> bool:
        """Whether there is anything left."""
        return self._at < len(self._packed)

    def codes(self, count: int) -> bytes:
        """So many bytes."""
        self._at += count
        return self._packed[self._at - count : self._at]

    def number(self) -> int:
        """A varint."""
        self._at, value = varints.take(self._packed, self._at, len(self._packed))
        return value

    def shift(self) -> int:
        """A zigzag."""
        return varints.unzigzag(self.number())

    def word(self) -> str:
        """Length and UTF-8."""
        return self.codes(self.number()).decode()


def _compact(row: _Reader, made_ms: int) -> Iterator[Report]:
    while row.more():
        status, station, error_class = row.codes(3)
        attempt, units = row.number(), row.number()
        at_ms = varints.signed(made_ms + row.shift())
        sending_ms = varints.signed(at_ms + row.shift()) if station & BEGUN else 0
        told = Status(status), Station(station & ~BEGUN), attempt, at_ms, sending_ms, error_class, units
        yield Report(*told, *(row.word() for _ in range(_WORDS)))


def _wide(outcomes: bytes) -> Iterator[Report]:
    offset = 0
    while offset < len(outcomes):
        status, station, error_class, attempt, units, at_ms, sending_ms, *lengths = _WIDE.unpack_from(outcomes, offset)
        offset += _WIDE.size
        words = []
        for length in lengths:
            words.append(outcomes[offset : offset + length].decode())
            offset += length
        yield Report(Status(status), Station(station), attempt, at_ms, sending_ms, error_class, units, *words)
