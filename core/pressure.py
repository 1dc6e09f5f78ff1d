"""How hard the system is pressed, and what that means for new notifications. The decision is pure; `measure` asks Redis.

Pressure is the larger of two shares: Redis' memory in use of its maxmemory, and unread inbound entries of the limit set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from core.census import StreamState
from core.model import Priority
from core.store import Store

RELIEF = 0.05  # a level is left when pressure is so far below the share that began it, so that it does not flicker


class Level(IntEnum):
    """What the gateway does; the number is the metric's value."""

    NORMAL = 0  # accepts all
    SHED_LOW = 1  # low is answered OK and suppressed (rule overload)
    SHED_MEDIUM = 2  # low and medium are
    REFUSE = 3  # all but critical get RESOURCE_EXHAUSTED with RetryInfo


class Verdict(IntEnum):
    """What becomes of one notification."""

    ACCEPT = 0
    SHED = 1
    REFUSE = 2


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares of pressure, 0 to 1, at which each level begins."""

    shed_low: float = 0.70
    shed_medium: float = 0.80
    refuse: float = 0.90


@dataclass(frozen=True, slots=True)
class Pressure:
    """Shares, 0 to 1 and above: `memory` of Redis' maxmemory (0 if it has none), `depth` of the limit of unread entries."""

    memory: float
    depth: float

    @property
    def worst(self) -> float:
        """The larger of the two."""
        return max(self.memory, self.depth)


def level_for(pressure: float, thresholds: Thresholds, before: Level = Level.NORMAL) -> Level:
    """The level at this pressure; `before` is held until there is some relief."""
    shares = {Level.SHED_LOW: thresholds.shed_low, Level.SHED_MEDIUM: thresholds.shed_medium, Level.REFUSE: thresholds.refuse}
    reached = max((level for level, share in shares.items() if pressure >= share), default=Level.NORMAL)
    held = max(
        (level for level, share in shares.items() if level <= before and pressure >= share - RELIEF), default=Level.NORMAL
    )
    return max(reached, held)


def verdict(level: Level, priority: Priority) -> Verdict:
    """What a notification of this priority meets at this level. Critical is accepted until Redis itself refuses."""
    if priority is Priority.CRITICAL or level is Level.NORMAL:
        return Verdict.ACCEPT
    if level is Level.REFUSE:
        return Verdict.REFUSE
    shed = (Priority.LOW,) if level is Level.SHED_LOW else (Priority.LOW, Priority.MEDIUM)
    return Verdict.SHED if priority in shed else Verdict.ACCEPT


async def measure(store: Store, states: Sequence[StreamState], depth_limit: int) -> Pressure:
    """The pressure now, from a census and Redis' own figures.

    Args:
        store: Redis.
        states: a census, not older than a second or two.
        depth_limit: unread entries in the inbound and outbound streams that count as full.
    """
    (info,) = await store.send([["INFO", "memory"]])
    figures = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    limit = int(figures.get("maxmemory", 0))
    used = int(figures.get("used_memory", 0))
    unread = sum(s.lag for s in states if s.stream.startswith(("in:", "out:")))
    return Pressure(used / limit if limit else 0.0, unread / depth_limit)
