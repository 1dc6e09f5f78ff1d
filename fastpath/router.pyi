"""Types of fastpath/router.pyx and of its twin, fastpath/pure/router.py, where the words are."""

from collections.abc import Sequence
from typing import final

from fastpath.values import Route, Rule

@final
class Router:
    def __init__(self, rules: Sequence[Rule]) -> None: ...
    def route(self, type: str, priority: int, klass: int, requested: int, available: int) -> Route: ...
