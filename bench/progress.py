"""How far a system is, by the counters of its stations' metrics pages; a look costs a station milliseconds."""

import asyncio
import time

from bench.meter import counters
from core.model import Priority
from tidings.up.supervisor import System

ARRIVED = {"in_app": "delivered", "email": "sent"}  # what a channel's sender counts when the provider has it
POLL_S = 0.1
RARER = 20  # a look costs the station milliseconds: the longer it takes, the rarer they are
STALL_S = 60.0  # no progress for so long ends a run


class Progress:
    """Notifications through the last two stations, since these processes started."""

    def __init__(self, system: System, channel: str) -> None:
        self._sender, self._ledger = system.ports.metrics_url(f"sender-{channel}"), system.ports.metrics_url("ledger")
        self._arrived = ARRIVED[channel]

    async def delivered(self, priority: Priority | None = None) -> float:
        """Those that the provider has; of one priority or of all. Raises OSError while the sender is away."""
        wanted = {"priority": priority.name.lower()} if priority else {}
        return (await counters(self._sender, **wanted)).get(self._arrived, 0.0)

    async def recorded(self) -> float:
        """Those that the ledger has with their end. Raises OSError while it is away."""
        return (await counters(self._ledger)).get(self._arrived, 0.0)

    async def until(self, delivered: float, recorded: float) -> None:
        """Waits until the counters are so far.

        Raises:
            RuntimeError: nothing moves any more.
        """
        last, moved = (0.0, 0.0), time.perf_counter()
        while True:
            now_at, now = (await self.delivered(), await self.recorded()), time.perf_counter()
            if now_at[0] >= delivered and now_at[1] >= recorded:
                return
            if now_at != last:
                last, moved = now_at, now
            if now - moved > STALL_S:
                raise RuntimeError(f"stalled: {now_at} of {(delivered, recorded)} are delivered and recorded")
            await asyncio.sleep(POLL_S)

    async def speed(self, priority: Priority, count: int, before: float, span: tuple[float, float]) -> float:
        """Deliveries of a priority a second, between two shares of `count`; returns when all of them are delivered.

        Args:
            before: what the counter said when the first of them was laid in.

        Raises:
            RuntimeError: nothing moves any more, or it went too fast to be watched.
        """
        marks: list[tuple[float, float]] = []
        last, began = 0.0, time.perf_counter()
        moved = began
        while last < count:
            done, now = await self.delivered(priority) - before, time.perf_counter()
            if done != last:
                last, moved = done, now
            if len(marks) < 2 and done >= span[len(marks)] * count:
                marks.append((done, now))
            if now - moved > STALL_S:
                raise RuntimeError(f"stalled: {last:.0f} of {count} delivered")
            await asyncio.sleep(max(POLL_S, (now - began) / RARER))
        if len(marks) < 2 or marks[0][0] == marks[1][0]:
            raise RuntimeError(f"{count} are gone before they could be watched: give a larger --count")
        (first, began), (second, ended) = marks
        return (second - first) / (ended - began)
