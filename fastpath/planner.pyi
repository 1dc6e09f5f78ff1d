"""Types of fastpath/planner.pyx and of its twin, fastpath/pure/planner.py, where the words are."""

from collections.abc import Callable
from typing import Any, final

from fastpath.records import Record
from fastpath.render import RenderCache
from fastpath.values import Contact, Course, Plan

@final
class Planner:
    def __init__(
        self,
        people: dict[str, tuple[Contact | None, int]],
        templates: dict[tuple[str, int], tuple[Any, int]],
        course: Callable[[Record, Any, int, str, str], Course | None],
        renders: RenderCache,
    ) -> None: ...
    def plan(self, records: list[Record], now_ms: int) -> tuple[list[Plan | None], list[int]]: ...
