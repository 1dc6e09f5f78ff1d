"""Types of fastpath/render.pyx and of its twin, fastpath/pure/render.py, where the words are."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, final

class Stats(NamedTuple):
    hits: int
    misses: int
    entries: int
    bytes: int

@final
class Compiled:
    @property
    def variables(self) -> frozenset[str]: ...
    @property
    def plain(self) -> bool: ...
    def render(self, data: dict[str, Any]) -> bytes: ...

def compile_parts(parts: Sequence[tuple[int, str, bool]]) -> Compiled: ...

@final
class RenderCache:
    def __init__(self, max_bytes: int) -> None: ...
    def render(self, key: tuple[Hashable, ...], compiled: Compiled, data: bytes) -> bytes: ...
    def stats(self) -> Stats: ...

def fallback(language: str, available: Sequence[str], default: str) -> str: ...
