"""How providers fare, as each sender process sees it, told through Redis to operators and to nobody's decisions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from core import keys
from core.clock import SYSTEM_CLOCK, Clock
from core.model import Channel
from core.store import Command, Store

STALE_MS = 5_000  # a report that is older comes from a process that is gone


@dataclass(frozen=True, slots=True)
class Wellbeing:
    """One provider as one sender process sees it.

    Attributes:
        provider: its name.
        breaker: 0 closed, 1 half open, 2 open (senders.breaker.State).
        share: its share of the channel's notifications now, 0 to 1.
        failures: share of its recent requests that failed by its own fault, 0 to 1.
        per_s: messages a second that its limit allows now; 0 for no limit.
    """

    provider: str
    breaker: int
    share: float
    failures: float
    per_s: float


class Wellbeings:
    """The reports of all sender processes."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock

    async def tell(self, channel: Channel, member: str, found: Sequence[Wellbeing]) -> None:
        """Replaces this process' report."""
        value = orjson.dumps({"at_ms": self._clock.now_ms(), "providers": [asdict(w) for w in found]})
        await self._store.send([["HSET", keys.health(channel), member, value]])

    async def ask(self) -> list[tuple[Channel, str, Wellbeing]]:
        """Every living process' view: (channel, member, wellbeing); what the dead left behind is removed."""
        replies = await self._store.send([["HGETALL", keys.health(channel)] for channel in Channel])
        now_ms = self._clock.now_ms()
        found: list[tuple[Channel, str, Wellbeing]] = []
        stale: list[Command] = []
        for channel, flat in zip(Channel, replies, strict=True):
            for i in range(0, len(flat), 2):
                report = orjson.loads(flat[i + 1])
                if now_ms - report["at_ms"] > STALE_MS:
                    stale.append(["HDEL", keys.health(channel), flat[i]])
                    continue
                found += [(channel, flat[i].decode(), Wellbeing(**w)) for w in report["providers"]]
        if stale:
            await self._store.send(stale)
        return found
