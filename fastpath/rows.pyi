"""Types of fastpath/rows.pyx and of its twin, fastpath/pure/rows.py, where the words are."""

from collections.abc import Collection, Sequence

from fastpath.outcomes import Folded, Key, Order

class RowPacker:
    def __init__(self, order: Order, stations: Collection[int], channels: Collection[int]) -> None: ...
    def pack(self, frames: Sequence[bytes], written: Collection[Key] = (), run: int = 0) -> Folded: ...
