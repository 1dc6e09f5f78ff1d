"""What the dispatcher writes: a plan's deliveries and outcomes as records, packed into frames for the next streams. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from core import keys
from core.model import Channel, Priority, Station, Status
from core.streams import Append
from dispatcher.decide import Letter, Plan, Refusal
from fastpath import Record, pack_frame, record
from fastpath.layout import DELIVERY, FIRST, OUTCOME

FRAME_RECORDS = 256
FRAME_BYTES = 512 * 1024


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
        for letter in plan.letters:
            delivery = self._delivery(source, letter, plan.version, traceparent)
            self._deliveries[letter.target.channel, source.priority].append(delivery)
            self._outcomes.append(self._queued(source, letter, plan.version))
        for refusal in plan.refusals:
            self._outcomes.append(self._refused(source, refusal, plan.version))
            self._refusals[refusal.channel, source.priority, refusal.status].append(self._outcomes[-1])

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

    def _delivery(self, source: Record, letter: Letter, version: int, traceparent: str) -> Record:
        target = letter.target
        return record(
            DELIVERY,
            id=source.id,
            priority=source.priority,
            klass=source.klass,
            channel=target.channel,
            platform=target.platform,
            device=target.device,
            version=version,
            accepted_ms=source.accepted_ms,
            expires_ms=source.expires_ms,
            queued_ms=self._now_ms,
            type=source.type,
            recipient_id=source.recipient_id,
            address=target.address,
            language=letter.language,
            template=source.template,
            content=letter.content,
            source=source.source,
            traceparent=traceparent,
        )

    def _queued(self, source: Record, letter: Letter, version: int) -> Record:
        target = letter.target
        return record(
            OUTCOME,
            id=source.id,
            priority=source.priority,
            klass=source.klass,
            channel=target.channel,
            status=Status.QUEUED,
            station=Station.DISPATCHER,
            platform=target.platform,
            device=target.device,
            flags=FIRST,
            version=version,
            accepted_ms=source.accepted_ms,
            at_ms=self._now_ms,
            expires_ms=source.expires_ms,
            queued_ms=self._now_ms,
            type=source.type,
            recipient_id=source.recipient_id,
            template=source.template,
            language=letter.language,
            source=source.source,
            traceparent=source.traceparent,
            verdicts=letter.verdicts,
        )

    def _refused(self, source: Record, refusal: Refusal, version: int) -> Record:
        return record(
            OUTCOME,
            id=source.id,
            priority=source.priority,
            klass=source.klass,
            channel=refusal.channel,
            status=refusal.status,
            station=Station.DISPATCHER,
            device=refusal.device,
            flags=FIRST,
            version=version,
            accepted_ms=source.accepted_ms,
            at_ms=self._now_ms,
            expires_ms=source.expires_ms,
            type=source.type,
            recipient_id=source.recipient_id,
            template=source.template,
            source=source.source,
            traceparent=source.traceparent,
            code=refusal.rule,
            reason=refusal.reason,
            verdicts=refusal.verdicts,
        )


def frames(records: Sequence[Record]) -> Iterator[bytes]:
    """Records packed in their order into frames of at most FRAME_RECORDS and, unless one alone is larger, FRAME_BYTES."""
    start = size = 0
    for i, item in enumerate(records):
        length = len(item.raw)
        if i > start and (i - start == FRAME_RECORDS or size + length > FRAME_BYTES):
            yield pack_frame(records[start:i])
            start, size = i, 0
        size += length
    if start < len(records):
        yield pack_frame(records[start:])
