"""Reads the packed outcomes of a row back, as fastpath's RowPacker wrote them (fastpath/outcomes.py tells the bytes). Pure."""

from core.model import Station, Status
from fastpath.outcomes import PACKED
from ledger.values import Report


def unpack(outcomes: bytes) -> list[Report]:
    """The outcomes that were folded into a row."""
    reports = []
    offset = 0
    while offset < len(outcomes):
        status, station, error_class, attempt, units, at_ms, sending_ms, *lengths = PACKED.unpack_from(outcomes, offset)
        offset += PACKED.size
        words = []
        for length in lengths:
            words.append(outcomes[offset : offset + length].decode())
            offset += length
        reports.append(Report(Status(status), Station(station), attempt, at_ms, sending_ms, error_class, units, *words))
    return reports
