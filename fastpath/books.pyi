"""Types of fastpath/books.pyx and of its twin, fastpath/pure/books.py, where the words are."""

from collections.abc import Sequence

from fastpath.records import Record

def outcome_frame(
    items: Sequence[Record],
    statuses: Sequence[int],
    *,
    station: int,
    attempts: int,
    at_ms: int,
    begun_ms: int = 0,
    error_class: int = 0,
    units: int = 0,
    provider: str = "",
    provider_id: str = "",
    code: str = "",
    reason: str = "",
) -> bytes: ...
def join_frames(frames: Sequence[bytes]) -> bytes: ...
def overdue(items: Sequence[Record], now_ms: int) -> list[int]: ...
def lacking(items: Sequence[Record], parts: bytes) -> list[int]: ...
