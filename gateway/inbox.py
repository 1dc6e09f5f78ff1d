"""InboxService: what a product shows behind its bell. Reads and marks; the in-app sender writes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from core import keys
from core.clock import Clock
from core.ids import partition_of, priority_of, time_of
from core.model import Channel, Station, Status
from core.pokes import Pokes
from core.streams import Append, Streams
from fastpath import Record, pack_frame, record
from fastpath.layout import OUTCOME
from gateway import fields, pages, validate, views
from gateway.door import Context
from gateway.drain import Drain
from gateway.errors import draining, invalid
from ledger.inbox import InboxStore
from ledger.values import InboxItem
from tidings.v1 import inbox_pb2 as pb
from tidings.v1 import inbox_pb2_grpc
from tidings.v1.types_pb2 import ErrorReason

PAGE, PAGE_MAX = 50, 200
MARKS = 200  # messages of one MarkRead
LOOK_S = 15.0  # a watcher looks so often even if no poke was heard
NEWS = 200  # messages read at once
BEGINNING = bytes(16)  # before every message


class Inbox(inbox_pb2_grpc.InboxServiceServicer):
    """The service.

    Args:
        store: the ledger's inboxes.
        pokes: wakes watchers.
        streams: takes the outcomes of reading.
        partitions: how many there are.
        drain: ends watching.
        clock: when a message was read.
    """

    def __init__(
        self, store: InboxStore, pokes: Pokes, streams: Streams, *, partitions: int, drain: Drain, clock: Clock
    ) -> None:
        self._store = store
        self._pokes = pokes
        self._streams = streams
        self._partitions = partitions
        self._drain = drain
        self._clock = clock

    async def List(self, request: pb.InboxServiceListRequest, context: Context) -> pb.InboxServiceListResponse:
        """A recipient's messages, newest first."""
        faults = validate.Faults()
        recipient_id = faults.check("recipient_id", fields.identifier, request.recipient_id)
        validate.page_size(request.page_size, PAGE_MAX, faults)
        before = pages.read_id(pages.INBOX, request.page_token, faults)
        if faults:
            raise invalid(faults)
        size = request.page_size or PAGE
        found = await self._store.list(recipient_id, request.unread_only, size + 1, before or None)
        more = len(found) > size
        return pb.InboxServiceListResponse(
            messages=map(views.message, found[:size]),
            next_page_token=pages.token(pages.INBOX, found[size - 1].notification_id) if more else "",
            unread=await self._store.unread(recipient_id),
        )

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        """New messages as they arrive; first those after `after_notification_id`."""
        faults = validate.Faults()
        recipient_id = faults.check("recipient_id", fields.identifier, request.recipient_id)
        last = b""
        if request.after_notification_id:
            last = validate.notification_id(request.after_notification_id, "after_notification_id", faults)
        if faults:
            raise invalid(faults)
        async with self._pokes.watching(recipient_id) as news:
            with self._drain.listening(news.set):
                last = last or await self._newest(recipient_id)
                await context.send_initial_metadata(())  # the caller knows: nothing after this is missed
                while not self._drain.begun:
                    items = await self._store.after(recipient_id, last, NEWS)
                    for item in items:
                        yield pb.WatchResponse(message=views.message(item))
                        last = item.notification_id
                    if len(items) < NEWS:
                        await _wait(news)
                raise draining()

    async def _newest(self, recipient_id: str) -> bytes:
        newest = await self._store.list(recipient_id, limit=1)
        return newest[0].notification_id if newest else BEGINNING

    async def MarkRead(self, request: pb.MarkReadRequest, context: Context) -> pb.MarkReadResponse:
        """Marks messages as read.

        The outcomes go first: a call that dies in between is repeated by its caller, and the ledger drops what it knows.
        """
        recipient_id, ids = _marks(request)
        now_ms = self._clock.now_ms()
        found = await self._store.fetch(recipient_id, ids)
        if found:
            await self._streams.append(_outcomes(found, now_ms, self._partitions))
        return pb.MarkReadResponse(marked=len(await self._store.mark_read(recipient_id, ids, now_ms)))


async def _wait(news: asyncio.Event) -> None:
    """Until a poke is heard, the drain begins or it is time to look anyway."""
    try:
        async with asyncio.timeout(LOOK_S):
            await news.wait()
    except TimeoutError:
        return
    news.clear()


def _marks(request: pb.MarkReadRequest) -> tuple[str, list[bytes]]:
    faults = validate.Faults()
    recipient_id = faults.check("recipient_id", fields.identifier, request.recipient_id)
    count = len(request.notification_ids)
    if not count:
        faults.note("notification_ids", ErrorReason.ERROR_REASON_REQUIRED, "is required: at least one")
    if count > MARKS:
        text = f"has {count} items; at most {MARKS} are allowed"
        faults.note("notification_ids", ErrorReason.ERROR_REASON_TOO_MANY_ITEMS, text)
    ids = [
        validate.notification_id(text, f"notification_ids[{i}]", faults)
        for i, text in enumerate(request.notification_ids[:MARKS])
    ]
    if faults:
        raise invalid(faults)
    return recipient_id, list(dict.fromkeys(ids))


def _outcomes(items: Sequence[InboxItem], now_ms: int, partitions: int) -> list[Append]:
    """Frames that say READ of each message, as of the first time it was marked."""
    by_partition: dict[int, list[Record]] = {}
    for item in items:
        by_partition.setdefault(partition_of(item.notification_id) % partitions, []).append(_read(item, now_ms))
    return [Append(keys.outcomes(partition), pack_frame(records)) for partition, records in by_partition.items()]


def _read(item: InboxItem, now_ms: int) -> Record:
    return record(
        OUTCOME,
        id=item.notification_id,
        priority=priority_of(item.notification_id),
        channel=Channel.IN_APP,
        status=Status.READ,
        station=Station.RECIPIENT,
        accepted_ms=time_of(item.notification_id),
        at_ms=item.read_ms or now_ms,
        type=item.type,
        recipient_id=item.recipient_id,
    )
