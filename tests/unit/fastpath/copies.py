"""Packs outcomes with either implementation, and reads the bodies of binary COPYs back."""

from typing import Any

from core.ids import time_of
from core.model import Channel, Station
from fastpath import pack_frame
from fastpath.outcomes import COPY_END, COPY_HEAD, Folded
from ledger.rows import unpack
from ledger.timeline import ORDER
from ledger.values import Report
from tests.unit.fastpath.twins import Implementation

WORDS = ("provider", "provider_id", "code", "reason")
ROW = [
    *(
        "id",
        "accepted_at",
        "status_at",
        "run",
        "version",
        "channel",
        "device",
        "priority",
        "klass",
        "status",
        "attempt",
        "units",
    ),
    *("trace_id", "type", "recipient_id", "template", "language", "source", "provider", "outcomes", "verdicts"),
]
EVENT = [
    *("id", "at", "sending_at", "channel", "device", "status", "station", "attempt", "error_class", "units"),
    *("type", "recipient_id", *WORDS),
]
KNOWN = (frozenset(map(int, Station)), frozenset({0, *map(int, Channel)}))


def packer(fast: Implementation) -> Any:
    return fast.rows.RowPacker(ORDER, *KNOWN)


def pack(fast: Implementation, *outcomes: Any, written: Any = ()) -> Folded:
    folded: Folded = packer(fast).pack([pack_frame([each]) for each in outcomes], written)
    return folded


def lines(body: bytes, names: list[str]) -> list[dict[str, bytes | None]]:
    """The rows of a COPY's body, column by column."""
    if not body:
        return []
    assert body.startswith(COPY_HEAD) and body.endswith(COPY_END)
    found, at = [], len(COPY_HEAD)
    while body[at : at + 2] != COPY_END:
        assert int.from_bytes(body[at : at + 2], "big") == len(names)
        at += 2
        row: dict[str, bytes | None] = {}
        for name in names:
            size = int.from_bytes(body[at : at + 4], "big", signed=True)
            at += 4
            row[name] = None if size < 0 else body[at : at + size]
            at += max(size, 0)
        found.append(row)
    assert at == len(body) - 2
    return found


def number(raw: bytes | None) -> int:
    assert raw is not None
    return int.from_bytes(raw, "big", signed=True)


def seen(row: dict[str, bytes | None]) -> list[Report]:
    """The outcomes that are packed in a row."""
    id_, outcomes = row["id"], row["outcomes"]
    assert id_ is not None and outcomes is not None
    return unpack(outcomes, time_of(id_))
