"""What the dispatcher writes: a plan's deliveries and outcomes as records, packed into frames for the next streams. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from core import keys
from core.model import Channel, Priority, Station, Status
from core.streams import Append
from dispatcher.decide import Plan
from fastpath import Record, Writer, pack_frame
from fastpath.layout import DELIVERY, FIRST, OUTCOME

FRAME_RECORDS = 256
FRAME_BYTES = 512 * 1024

# What deliveries and outcomes have in common; `_shared` gives the values in this order.
_SHARED = (
    "priority",
    "klass",
    "accepted_ms",
    "expires_ms",
    "type",
    "recipient_id",
    "template",
    "source",
    "version",
)
_PLACE = ("channel", "platform", "device", "address", "language", "content", "queued_ms", "traceparent")
_OPENS = ("station", "flags", "at_ms", "traceparent", "status", "channel", "device", "verdicts")

_delivery = Writer(DELIVERY, (*_SHARED, *_PLACE))
_queued = Writer(OUTCOME, (*_SHARED, *_OPENS, "platform", "language", "queued_ms"))
_refused = Writer(OUTCOME, (*_SHARED, *_OPENS, "code", "reason"))


def _shared(source: Record, version: int) -> tuple[int | str, ...]:
    return (
        source.priority,
        source.klass,
        source.accepted_ms,
        source.expires_ms,
        source.type,
        source.recipient_id,
        source.template,
        source.source,
        version,
    )


class Outbox:
    """Collects what became of one entry's records; `appends` packs it.

    Args:
        partition: the entry's partition.
        now_ms: the clock: when the records are forwarded.
    """

    def __init__(self, partition: int, now_ms: int) -> None:
        self._partition = partition
        self._now_ms = now_ms
        self._deliveries: defaultdict[tuple[int, int], list[Record]] = defaultdict(list)
        self._outcomes: list[Record] = []
        self._refusals: defaultdict[tuple[int, int, Status], list[Record]] = defaultdict(list)

    def add(self, source: Record, plan: Plan, traceparent: str) -> None:
        """Takes in one notification's plan; `traceparent` is what the sender's spans hang on ("" for none)."""
        id_, shared, now_ms = source.id, _shared(source, plan.version), self._now_ms
        priority = source.priority
        opens = (Station.DISPATCHER, FIRST, now_ms, source.traceparent)
        for letter in plan.letters:
            channel, address, platform, device = letter.target
            place = (channel, platform, device, address, letter.language, letter.content, now_ms, traceparent)
            self._deliveries[channel, priority].append(_delivery(id_, *shared, *place))
            queued = (Status.QUEUED, channel, device, letter.verdicts, platform, letter.language, now_ms)
            self._outcomes.append(_queued(id_, *shared, *opens, *queued))
        for refusal in plan.refusals:
            refused = (refusal.status, refusal.channel, refusal.device, refusal.verdicts, refusal.rule, refusal.reason)
            self._outcomes.append(_refused(id_, *shared, *opens, *refused))
            self._refusals[refusal.channel, priority, refusal.status].append(self._outcomes[-1])

    def tally(self) -> Iterator[tuple[int, int, Status, Sequence[Record]]]:
        """What was taken in, for the metrics: (channel, priority, status, records) each."""
        for (channel, priority), records in self._deliveries.items():
            yield channel, priority, Status.QUEUED, records
        for (channel, priority, status), records in self._refusals.items():
            yield channel, priority, status, records

    def appends(self) -> tuple[Append, ...]:
        """Frames for every stream that gets something, deliveries before their outcomes."""
        found = [
            Append(keys.outbound(self._partition, Channel(channel), Priority(priority)), frame)
            for (channel, priority), records in self._deliveries.items()
            for frame in frames(records)
        ]
        outcomes = keys.outcomes(self._partition)
        return (*found, *(Append(outcomes, frame) for frame in frames(self._outcomes)))


def frames(records: Sequence[Record]) -> Iterator[bytes]:
    """Records packed in their order into frames of at most FRAME_RECORDS and, unless one alone is larger, FRAME_BYTES."""
    start = size = 0
    for i, item in enumerate(records):
        if i > start and (i - start == FRAME_RECORDS or size + item.length > FRAME_BYTES):
            yield pack_frame(records[start:i])
            start, size = i, 0
        size += item.length
    if start < len(records):
        yield pack_frame(records[start:])
