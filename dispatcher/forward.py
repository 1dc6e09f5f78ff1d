"""What the dispatcher writes: plans' deliveries and outcomes, as appends to the next streams. Pure."""

from collections.abc import Iterator, Sequence

from core import keys
from core.model import Channel, Priority, Station, Status
from core.streams import Append
from fastpath import Outgoing, Plan, Record

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
        self._outgoing = Outgoing(
            now_ms, station=Station.DISPATCHER, queued=Status.QUEUED, max_records=FRAME_RECORDS, max_bytes=FRAME_BYTES
        )

    def add(self, sources: list[Record], plans: list[Plan | None], traceparents: Sequence[str] | None) -> None:
        """Takes in notifications and their plans (None: nothing is written).

        `traceparents` are what the senders' spans hang on; None: what the notifications came with.
        """
        self._outgoing.add(sources, plans, traceparents)

    def tally(self) -> Iterator[tuple[int, int, Status, list[Record]]]:
        """What was taken in, for the metrics: (channel, priority, status, records) each."""
        for key, records in self._outgoing.tally().items():
            yield key >> 16, key >> 8 & 255, Status(key & 255), records

    def appends(self) -> tuple[Append, ...]:
        """Frames for every stream that gets something, deliveries before their outcomes."""
        found = [
            Append(keys.outbound(self._partition, Channel(channel), Priority(priority)), frame)
            for channel, priority, frames in self._outgoing.deliveries()
            for frame in frames
        ]
        outcomes = keys.outcomes(self._partition)
        return (*found, *(Append(outcomes, frame) for frame in self._outgoing.outcomes()))
