"""What a provider or an app told about a delivery, and its way to the ledger: checked ids, outcome records, one append.

Knows no provider and no HTTP.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from core import keys, metrics
from core.arrivals import MINUTE_MS, Counts
from core.errors import BadId, StoreError
from core.ids import parse_id, partition_of, priority_of, time_of
from core.logs import masked
from core.model import Channel, ErrorClass, Station, Status
from core.streams import Append
from fastpath import Record, pack_frame, record
from fastpath.layout import OUTCOME

log = logging.getLogger("tidings.gateway")

OLDEST_MS = 400 * 24 * 3600 * 1000  # an e-mail may be opened a year later; what is older is not ours
SKEW_MS = 10 * 60 * 1000  # how far a clock may be ahead of ours
FRAME_RECORDS = 256
CODE_MAX, REASON_MAX, PROVIDER_ID_MAX = 64, 300, 256  # characters

ENDS = frozenset({Status.DELIVERED, Status.FAILED})

IGNORED, FOREIGN, REFUSED = "ignored", "foreign", "refused"  # what the metric says of an event that was not stored


@dataclass(frozen=True, slots=True)
class Fate:
    """What an event means for a delivery. `blocked`: it failed by the provider's or our account's doing, not the address's."""

    status: Status
    error_class: ErrorClass = ErrorClass.NONE
    code: str = ""  # the provider's own
    reason: str = ""
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event about one delivery. `at_ms` is 0 if the provider does not say when."""

    id: bytes
    channel: Channel
    device: int
    fate: Fate
    at_ms: int = 0
    provider: str = ""  # "": told by the app itself
    provider_id: str = ""


def our_id(text: object, now_ms: int) -> bytes | None:
    """The id if tidings can have made it; None if not: malformed, too old or from the future."""
    if not isinstance(text, str):
        return None
    try:
        found = parse_id(text)
    except BadId:
        return None
    return found if now_ms - OLDEST_MS <= time_of(found) <= now_ms + SKEW_MS else None


def device_number(text: object) -> int:
    """The device that an event names, 0 to 255; 0 if it names none."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and int(text) < 256 else 0


def outcome(event: Event, now_ms: int) -> Record:
    """The record for the ledger. The attempt is 0: a provider does not know of attempts."""
    at_ms = event.at_ms or now_ms
    return record(
        OUTCOME,
        id=event.id,
        priority=priority_of(event.id),
        channel=event.channel,
        status=event.fate.status,
        station=Station.PROVIDER,
        device=event.device,
        error_class=event.fate.error_class,
        accepted_ms=time_of(event.id),
        at_ms=max(min(at_ms, now_ms), time_of(event.id)),  # their clock may be wrong, the order of things is not
        provider=event.provider,
        provider_id=event.provider_id[:PROVIDER_ID_MAX],
        code=event.fate.code[:CODE_MAX],
        reason=masked(event.fate.reason)[:REASON_MAX],
    )


class Teller:
    """Appends events to the streams that the ledger reads.

    Args:
        append: Streams.append.
        partitions: how many there are; an id of a system that had more is told to one that is read.
        note: Arrivals.add, so that senders learn how their providers fare.
    """

    def __init__(
        self,
        append: Callable[[Sequence[Append]], Awaitable[list[str]]],
        partitions: int,
        note: Callable[[Mapping[tuple[str, int], Counts]], Awaitable[None]],
    ) -> None:
        self._append = append
        self._partitions = partitions
        self._note = note

    async def tell(self, events: Sequence[Event], now_ms: int) -> None:
        """Returns when all events are in Redis.

        Raises:
            StoreError: they may not be; tell them again.
        """
        by_partition: dict[int, list[Record]] = {}
        for event in events:
            by_partition.setdefault(partition_of(event.id) % self._partitions, []).append(outcome(event, now_ms))
        appends = [
            Append(keys.outcomes(partition), pack_frame(records[start : start + FRAME_RECORDS]))
            for partition, records in by_partition.items()
            for start in range(0, len(records), FRAME_RECORDS)
        ]
        if appends:
            await self._append(appends)
        await self._count(events)
        for event in events:
            count(event.provider or "app", event.fate.status.name.lower())

    async def _count(self, events: Sequence[Event]) -> None:
        """Adds the ends that providers told to their counters. The events are safe by now: what cannot be added is left out."""
        news: dict[tuple[str, int], Counts] = {}
        for event in events:
            if event.provider and event.fate.status in ENDS:
                where = event.provider, time_of(event.id) // MINUTE_MS
                news[where] = news.get(where, Counts()).plus(Counts(told=1, blocked=event.fate.blocked))
        try:
            await self._note(news)
        except StoreError as error:
            log.warning("receipts were not counted: %s", error)


def count(provider: str, result: str, times: int = 1) -> None:
    """Count events in the metrics."""
    metrics.PROVIDER_EVENTS.labels(provider, result).inc(times)
