"""Twin of fastpath/router.pyx: which channels a notification takes. A pure function of its arguments, remembered."""

from collections.abc import Sequence

from fastpath.values import MEMO_MAX, REQUESTED, UNMATCHED, Route, Rule


class Router:
    """Compiled rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._memo: dict[tuple[str, int], Route] = {}

    def route(self, type: str, priority: int, klass: int, requested: int, available: int) -> Route:
        """Decide. `requested` and `available` are channel masks (1 << (channel - 1)).

        If channels were requested, exactly those, in the order of their numbers; else by the first matching rule.

        Raises:
            ValueError: priority or class outside 1 to 8, or a mask outside 0 to 255.
        """
        if not (1 <= priority <= 8 and 1 <= klass <= 8 and 0 <= requested <= 255 and 0 <= available <= 255):
            raise ValueError(f"cannot route priority {priority}, class {klass}, masks {requested} and {available}")
        key = (type, priority | klass << 8 | requested << 16 | available << 24)
        route = self._memo.get(key)
        if route is None:
            route = _requested(requested, available) if requested else self._ruled(type, priority, klass, available)
            if len(self._memo) >= MEMO_MAX:
                self._memo.clear()
            self._memo[key] = route
        return route

    def _ruled(self, type: str, priority: int, klass: int, available: int) -> Route:
        for rule in self._rules:
            if _matches(rule, type, priority, klass):
                channels = tuple(channel for channel in rule.channels if available >> (channel - 1) & 1)
                return Route(channels[:1] if rule.mode == "first" else channels, (), rule.name)
        return Route((), (), UNMATCHED)


def _requested(requested: int, available: int) -> Route:
    asked = [channel for channel in range(1, 9) if requested >> (channel - 1) & 1]
    reachable = tuple(channel for channel in asked if available >> (channel - 1) & 1)
    return Route(reachable, tuple(channel for channel in asked if channel not in reachable), REQUESTED)


def _matches(rule: Rule, type: str, priority: int, klass: int) -> bool:
    if rule.priorities and not rule.priorities >> (priority - 1) & 1:
        return False
    if rule.klasses and not rule.klasses >> (klass - 1) & 1:
        return False
    return not rule.types or any(_covers(pattern, type) for pattern in rule.types)


def _covers(pattern: str, type: str) -> bool:
    return type.startswith(pattern[:-1]) if pattern.endswith("*") else type == pattern
