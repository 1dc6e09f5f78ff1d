"""Types of fastpath/intake.pyx and of its twin, fastpath/pure/intake.py, where the words are."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from fastpath.records import Record
from fastpath.values import Checks, Terms

Reference: TypeAlias = tuple[str, int]
Taken: TypeAlias = Record | tuple[Record, bytes] | None

class Reader:
    def __init__(self, partitions: int, checks: Checks) -> None: ...
    def scan(self, wire: bytes) -> tuple[int, set[Reference]] | None: ...
    def read(
        self,
        wire: bytes,
        first: int,
        known: Mapping[Reference, Terms | None],
        *,
        admitted: int,
        now_ms: int,
        random: bytes,
        traceparent: str,
        mark: Callable[[str], str],
    ) -> list[Taken]: ...
