"""Admission: how hard the system is pressed decides who is let in. Looks twice a second; the rules are core/pressure.py's.

While Redis cannot be asked, the last level stands: Redis itself then refuses, and callers get UNAVAILABLE.
"""

import asyncio
import logging
import random

from grpc import StatusCode

from core import census, verdicts
from core.errors import StoreError
from core.metrics import OVERLOAD, PRESSURE, SHED, priority_name
from core.model import Priority, Station, Status
from core.pressure import Level, Pressure, Thresholds, Verdict, level_for, measure, verdict
from core.settings import Settings
from core.store import Store
from fastpath import Record, record
from fastpath.layout import FIRST, OUTCOME
from gateway.errors import Refusal
from gateway.room import Room
from gateway.validate import Draft
from tidings.v1.types_pb2 import ErrorReason

log = logging.getLogger("tidings.gateway")

LOOK_S = 0.5
RETRY_S = (1.0, 4.0)  # refused callers come back within this time, each at another moment
RULE = "overload"

ADMITTED = {  # by level: the priorities that are accepted, bit 0 for priority 1
    level: sum(1 << priority - 1 for priority in Priority if verdict(level, priority) is Verdict.ACCEPT) for level in Level
}


class Admission:
    """The gateway's doorkeeper. `level` and `pressure` are as of the last look; `room` is where calls wait their turn."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._partitions = settings.partitions
        self._depth = settings.overload_depth
        self._thresholds = Thresholds(settings.shed_low_at, settings.shed_medium_at, settings.refuse_at)
        self.room = Room()
        self.level = Level.NORMAL
        self.pressure = Pressure(0.0, 0.0)

    def verdict(self, priority: int) -> Verdict:
        """What becomes of a notification of this priority now; what is shed or refused is counted."""
        found = verdict(self.level, Priority(priority))
        if found is not Verdict.ACCEPT:
            SHED.labels(priority_name(priority)).inc()
        return found

    def crowded(self, priority: int) -> Refusal:
        """What a caller for whom there is no room is told; counted as refused."""
        SHED.labels(priority_name(priority)).inc()
        return refused()

    def admitted(self) -> int:
        """Priorities that are accepted now, bit 0 for priority 1."""
        return ADMITTED[self.level]

    async def run(self) -> None:
        """Looks again and again, until cancelled; shows the census on the metrics page as well."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("the pressure cannot be measured: %s", error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Measures the pressure and chooses the level."""
        states = await census.census(self._store, self._partitions)
        census.publish(states)
        self.pressure = await measure(self._store, states, self._depth)
        before, self.level = self.level, level_for(self.pressure.worst, self._thresholds, self.level)
        OVERLOAD.set(self.level)
        PRESSURE.labels("memory").set(self.pressure.memory)
        PRESSURE.labels("depth").set(self.pressure.depth)
        if self.level is not before:
            log.warning("overload: %s, pressure %.2f", self.level.name.lower(), self.pressure.worst)


def refused() -> Refusal:
    """What a refused caller is told."""
    text = "the system is overloaded; try again after the delay that RetryInfo gives"
    wait_s = random.uniform(*RETRY_S)
    return Refusal(StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED, text, retry_after_s=wait_s)


def shed(draft: Draft, *, id: bytes, version: int, now_ms: int, traceparent: str) -> Record:
    """The only outcome of a notification that is shed: suppressed, by the rule overload, before it was routed."""
    return record(
        OUTCOME,
        id=id,
        priority=draft.priority,
        klass=draft.klass,
        status=Status.SUPPRESSED,
        station=Station.GATEWAY,
        flags=FIRST,
        version=version,
        accepted_ms=now_ms,
        at_ms=now_ms,
        type=draft.type,
        recipient_id=draft.to.recipient_id,
        template=draft.template,
        source=draft.source,
        traceparent=traceparent,
        code=RULE,
        reason=f"{RULE}: the system had more than it could carry and sheds what is least urgent",
        verdicts=verdicts.pack((RULE, "suppressed", "")),
    )
