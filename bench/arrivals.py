"""When each notification reached each station, as its timeline in PostgreSQL says. Reads only; outside every clock."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from core.ids import parse_id
from core.model import Status
from ledger import Ledger
from ledger.values import StoredNotification

# From the appointed time of the call to acceptance, to the dispatcher's hand-over, to the sender's attempt, to the answer.
STAGES = ("call", "dispatch", "queue", "provider")
ENDS = frozenset({Status.SENT, Status.DELIVERED})
AT_ONCE = 50  # questions to PostgreSQL


class Made(Protocol):
    """A call: when it was to be made, and the id that answered it."""

    @property
    def due_ms(self) -> float: ...
    @property
    def id(self) -> str: ...


async def arrivals(ledger: Ledger, calls: Sequence[Made]) -> dict[str, dict[str, float]]:
    """Milliseconds that each call's notification spent in each of STAGES, by id.

    Raises:
        RuntimeError: one of them did not reach the provider, or the ledger does not know it yet.
    """
    found: dict[str, dict[str, float]] = {}
    for start in range(0, len(calls), AT_ONCE):
        some = calls[start : start + AT_ONCE]
        stored = await asyncio.gather(*(ledger.deliveries.get(parse_id(call.id)) for call in some))
        found.update({call.id: stages(call.due_ms, one, call.id) for call, one in zip(some, stored, strict=True)})
    return found


def stages(due_ms: float, stored: StoredNotification | None, id_: str) -> dict[str, float]:
    """Milliseconds in each of STAGES of one notification whose call was due at `due_ms`.

    Raises:
        RuntimeError: it did not reach the provider.
    """
    timeline = stored.deliveries[0].timeline if stored else ()
    at = {event.status: event.at_ms for event in reversed(timeline)}  # of several the first
    end = next((at[status] for status in ENDS if status in at), None)
    if stored is None or end is None or not {Status.QUEUED, Status.SENDING} <= at.keys():
        raise RuntimeError(f"{id_} was accepted and did not reach the provider: {[event.status.name for event in timeline]}")
    moments = (due_ms, float(stored.accepted_ms), float(at[Status.QUEUED]), float(at[Status.SENDING]), float(end))
    return dict(zip(STAGES, (after - before for before, after in pairwise(moments)), strict=True))
