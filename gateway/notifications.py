"""NotificationsService: accepts notifications, one, many or a stream of them, and tells what became of them."""

from collections.abc import AsyncIterator, Sequence

from core.clock import Clock
from core.ids import format_id
from gateway import fields, pages, validate, views
from gateway.door import Context, origin
from gateway.drain import Drain
from gateway.errors import Refusal, Violation, draining, invalid, not_found, to_item_error, under
from gateway.feed import Feed
from gateway.intake import Answer, Intake
from gateway.lookup import Lookup
from ledger.deliveries import DeliveryStore
from ledger.values import NotificationFilter
from tidings.v1 import notifications_pb2 as pb
from tidings.v1 import notifications_pb2_grpc
from tidings.v1.types_pb2 import ErrorReason

BATCH = 1_000  # items of one SendBatch
WINDOW = 256  # messages of a stream that may wait for their acknowledgement
PAGE, PAGE_MAX = 50, 500
RECENT_MS = 7 * 24 * 3600 * 1000  # List without `after`


class Notifications(notifications_pb2_grpc.NotificationsServiceServicer):
    """The service.

    Args:
        intake: accepts.
        deliveries: what the ledger knows.
        lookup: what it does not know yet.
        drain: ends streams.
        clock: for List's default.
    """

    def __init__(self, intake: Intake, deliveries: DeliveryStore, lookup: Lookup, *, drain: Drain, clock: Clock) -> None:
        self._intake = intake
        self._deliveries = deliveries
        self._lookup = lookup
        self._drain = drain
        self._clock = clock

    async def Send(self, request: pb.SendRequest, context: Context) -> pb.SendResponse:
        """Accepts one notification."""
        if not request.HasField("notification"):
            raise _missing()
        (answer,) = await self._intake.accept([request.notification], origin())
        if isinstance(answer, Refusal):
            raise under(answer, "notification")
        return pb.SendResponse(notification_id=format_id(answer.id), duplicate=answer.duplicate)

    async def SendBatch(self, request: pb.SendBatchRequest, context: Context) -> pb.SendBatchResponse:
        """Accepts up to 1,000; each has a result of its own."""
        count = len(request.notifications)
        if not count:
            raise invalid([Violation("notifications", "is required", ErrorReason.ERROR_REASON_REQUIRED)])
        if count > BATCH:
            text = f"has {count} items; at most {BATCH} are allowed"
            raise invalid([Violation("notifications", text, ErrorReason.ERROR_REASON_TOO_MANY_ITEMS)])
        answers = await self._intake.accept(request.notifications, origin())
        return pb.SendBatchResponse(results=map(_result, answers))

    async def SendStream(
        self, request_iterator: AsyncIterator[pb.SendStreamRequest], context: Context
    ) -> AsyncIterator[pb.SendStreamResponse]:
        """Accepts whatever waits at once, acknowledges in order, and lets the caller send no more than a window ahead."""
        feed = Feed(request_iterator, WINDOW)
        async with feed:
            with self._drain.listening(lambda: feed.end(draining())):
                while requests := await feed.take():
                    for request, answer in zip(requests, await self._accept(requests), strict=True):
                        yield pb.SendStreamResponse(sequence=request.sequence, result=_result(answer))

    async def _accept(self, requests: Sequence[pb.SendStreamRequest]) -> list[Answer]:
        present = [request.notification for request in requests if request.HasField("notification")]
        answers = iter(await self._intake.accept(present, origin()))
        return [next(answers) if request.HasField("notification") else _missing() for request in requests]

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        """Status and timeline of every delivery."""
        faults = validate.Faults()
        id = validate.notification_id(request.notification_id, "notification_id", faults)
        if faults:
            raise invalid(faults)
        stored = await self._deliveries.get(id)
        if stored is None:
            record = await self._lookup.on_its_way(id)
            if record is not None:
                return pb.GetResponse(notification=views.accepted(id, record))
            stored = await self._deliveries.get(id)  # it may have got there while we looked
        if stored is None:
            raise not_found(f"there is no notification {request.notification_id}")
        return pb.GetResponse(notification=views.notification(stored))

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        """Notifications by recipient, type and time, newest first."""
        size = request.page_size or PAGE
        found = await self._deliveries.list(self._filter(request, size + 1))
        more = len(found) > size
        return pb.ListResponse(
            notifications=map(views.notification, found[:size]),
            next_page_token=pages.token(pages.NOTIFICATIONS, found[size - 1].notification_id) if more else "",
        )

    def _filter(self, r: pb.ListRequest, limit: int) -> NotificationFilter:
        faults = validate.Faults()
        recipient_id = faults.check("recipient_id", fields.line, r.recipient_id, 128)
        type_ = faults.check("type", fields.line, r.type, 128)
        after_ms = self._clock.now_ms() - RECENT_MS
        if r.HasField("after"):
            after_ms = validate.moment(r.after, "after", faults)
        before_ms = 0  # no bound
        if r.HasField("before"):
            before_ms = max(validate.moment(r.before, "before", faults), 1)
        validate.page_size(r.page_size, PAGE_MAX, faults)
        before_id = pages.read_id(pages.NOTIFICATIONS, r.page_token, faults)
        if faults:
            raise invalid(faults)
        return NotificationFilter(recipient_id, type_, max(after_ms, 0), before_ms, before_id, limit)


def _result(answer: Answer) -> pb.SendResult:
    if isinstance(answer, Refusal):
        return pb.SendResult(error=to_item_error(answer))
    return pb.SendResult(notification_id=format_id(answer.id), duplicate=answer.duplicate)


def _missing() -> Refusal:
    return invalid([Violation("notification", "is required", ErrorReason.ERROR_REASON_REQUIRED)])
