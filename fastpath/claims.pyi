"""Types of fastpath/claims.pyx and of its twin, fastpath/pure/claims.py, where the words are."""

from typing import final

from fastpath.dedupe import LocalFilter
from fastpath.records import Record
from fastpath.values import Lot, Plan

@final
class Claims:
    def __init__(self, seen: LocalFilter, key_ttl_s: int, now_ms: int) -> None: ...
    def ask(self, entry_id: str, records: list[Record], plans: list[Plan | None]) -> None: ...
    def strange(self) -> list[Lot]: ...
    def settle(self, replies: list[list[int | bytes]]) -> list[tuple[int, int, bool, bytes]]: ...
