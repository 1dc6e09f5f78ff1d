"""What a provider or an app told about a delivery, and its way to the ledger: checked ids, outcome records, one append.

Knows no provider and no HTTP.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from core import keys, metrics
from core.errors import BadId
from core.ids import parse_id, partition_of, priority_of, time_of
from core.logs import masked
from core.model import Channel, ErrorClass, Station, Status
from core.streams import Append
from fastpath import Record, pack_frame, record
from fastpath.layout import OUTCOME

OLDEST_MS = 400 * 24 * 3600 * 1000  # an e-mail may be opened a year later; what is older is not ours
SKEW_MS = 10 * 60 * 1000  # how far a clock may be ahead of ours
FRAME_RECORDS = 256
CODE_MAX, REASON_MAX, PROVIDER_ID_MAX = 64, 300, 256  # characters

IGNORED, FOREIGN, REFUSED = "ignored", "foreign", "refused"  # what the metric says of an event that was not stored


@dataclass(frozen=True, slots=True)
class Fate:
    """What an event means for a delivery."""

    status: Status
    error_class: ErrorClass = ErrorClass.NONE
    code: str = ""  # the provider's own
    reason: str = ""


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
    """

    def __init__(self, append: Callable[[Sequence[Append]], Awaitable[list[str]]], partitions: int) -> None:
        self._append = append
        self._partitions = partitions

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
        for event in events:
            count(event.provider or "app", event.fate.status.name.lower())


def count(provider: str, result: str, times: int = 1) -> None:
    """Count events in the metrics."""
    metrics.PROVIDER_EVENTS.labels(provider, result).inc(times)
