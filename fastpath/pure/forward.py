"""Twin of fastpath/forward.pyx: deliveries, and the outcomes that open or refuse them, written into frames. No I/O."""

from collections.abc import Sequence

from fastpath.layout import DELIVERY, FIRST, OUTCOME
from fastpath.pure.records import Record, Writer, pack_frame
from fastpath.values import Letter, Plan, Refusal

# What deliveries and outcomes have in common; `_shared` gives the values in this order.
_SHARED = ("priority", "klass", "accepted_ms", "expires_ms", "type", "recipient_id", "template", "source", "version")
_PLACE = ("channel", "platform", "device", "address", "language", "content", "queued_ms", "traceparent")
_OPENS = ("station", "flags", "at_ms", "traceparent", "status", "channel", "device", "verdicts")

_delivery = Writer(DELIVERY, (*_SHARED, *_PLACE))
_queued = Writer(OUTCOME, (*_SHARED, *_OPENS, "platform", "language", "queued_ms"))
_refused = Writer(OUTCOME, (*_SHARED, *_OPENS, "code", "reason"))


class Outgoing:
    """Collects what became of notifications.

    Args:
        now_ms: when they are forwarded.
        station: who forwards them, a core.model.Station.
        queued: the status that a delivery begins with, of core.model.Status.
        max_records: of one frame.
        max_bytes: of one frame's records, unless one alone is larger.
    """

    def __init__(self, now_ms: int, *, station: int, queued: int, max_records: int, max_bytes: int) -> None:
        if not (0 <= station <= 255 and 0 <= queued <= 255 and max_records > 0):
            raise ValueError("a station and a status are 0 to 255, and a frame has at least one record")
        self._now_ms, self._station, self._queued = now_ms, station, queued
        self._max_records, self._max_bytes = max_records, max_bytes
        self._deliveries: dict[tuple[int, int], list[Record]] = {}
        self._outcomes: list[Record] = []
        self._tally: dict[int, list[Record]] = {}

    def add(self, sources: list[Record], plans: list[Plan | None], traceparents: Sequence[str] | None = None) -> None:
        """Takes in notifications with their plans (None: nothing is written), in order, letters before refusals.

        `traceparents` are what the senders' spans hang on; without them that is what each notification came with.

        Raises:
            FrameError: a notification's text is not UTF-8.
            TypeError, ValueError: not notifications and plans, or a number that does not fit its slot.
        """
        if len(sources) != len(plans) or (traceparents is not None and len(traceparents) != len(sources)):
            raise ValueError("a plan for each notification, and a traceparent if there are any")
        for index, (source, plan) in enumerate(zip(sources, plans, strict=True)):
            if plan is not None:
                self._add(source, plan, source.traceparent if traceparents is None else traceparents[index])

    def deliveries(self) -> list[tuple[int, int, list[bytes]]]:
        """The frames of deliveries: (channel, priority, frames) each, in the order in which they were first met."""
        return [(channel, priority, self._frames(records)) for (channel, priority), records in self._deliveries.items()]

    def outcomes(self) -> list[bytes]:
        """The frames of outcomes."""
        return self._frames(self._outcomes)

    def tally(self) -> dict[int, list[Record]]:
        """The notifications behind each outcome, by channel << 16 | priority << 8 | status: what metrics count."""
        return self._tally

    def _add(self, source: Record, plan: Plan, traceparent: str) -> None:
        shared = _shared(source, plan.version)
        opens = (self._station, FIRST, self._now_ms, source.traceparent)
        for letter in plan.letters:
            self._deliver(source, shared, opens, letter, traceparent)
        for refusal in plan.refusals:
            self._refuse(source, shared, opens, refusal)

    def _deliver(
        self, source: Record, shared: tuple[int | str, ...], opens: tuple[int | str, ...], letter: Letter, traceparent: str
    ) -> None:
        channel, address, platform, device = letter.target
        place = (channel, platform, device, address, letter.language, letter.content, self._now_ms, traceparent)
        records = self._deliveries.setdefault((channel, source.priority), [])
        records.append(_delivery(source.id, *shared, *place))
        queued = (self._queued, channel, device, letter.verdicts, platform, letter.language, self._now_ms)
        self._outcomes.append(_queued(source.id, *shared, *opens, *queued))
        self._count(source, channel, self._queued)

    def _refuse(self, source: Record, shared: tuple[int | str, ...], opens: tuple[int | str, ...], refusal: Refusal) -> None:
        refused = (refusal.status, refusal.channel, refusal.device, refusal.verdicts, refusal.rule, refusal.reason)
        self._outcomes.append(_refused(source.id, *shared, *opens, *refused))
        self._count(source, refusal.channel, refusal.status)

    def _count(self, source: Record, channel: int, status: int) -> None:
        self._tally.setdefault(channel << 16 | source.priority << 8 | status, []).append(source)

    def _frames(self, records: list[Record]) -> list[bytes]:
        found = []
        start = size = 0
        for index, each in enumerate(records):
            if index > start and (index - start == self._max_records or size + each.length > self._max_bytes):
                found.append(pack_frame(records[start:index]))
                start, size = index, 0
            size += each.length
        return [*found, pack_frame(records[start:])] if records else found


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
