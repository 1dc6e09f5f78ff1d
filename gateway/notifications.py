"""NotificationsService: accepts notifications, one, many or a stream of them, and tells what became of them.

Requests to accept come as their bytes: most are read natively (Intake.read), and only the rest become protobuf's messages.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError

from core.clock import Clock
from core.ids import format_id
from fastpath import Record, join_messages, pack_acknowledgement, pack_result, pack_results
from gateway import fields, pages, validate, views
from gateway.door import Context, origin, unreadable
from gateway.drain import Drain
from gateway.errors import Refusal, Violation, draining, invalid, not_found, to_item_error, under
from gateway.feed import Feed
from gateway.intake import Answer, Intake, Repeated, Taken
from gateway.lookup import Lookup
from ledger.deliveries import DeliveryStore
from ledger.values import NotificationFilter
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.types_pb2 import ErrorReason

SERVICE = pb.DESCRIPTOR.services_by_name["NotificationsService"].full_name
BATCH = 1_000  # items of one SendBatch
WINDOW = 256  # messages of a stream that may wait for their acknowledgement
PAGE, PAGE_MAX = 50, 500
RECENT_MS = 7 * 24 * 3600 * 1000  # List without `after`

M = TypeVar("M")


class Notifications:
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

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the service to a server: the methods that accept take bytes and return bytes."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Send": grpc.unary_unary_rpc_method_handler(self.Send),
            "SendBatch": grpc.unary_unary_rpc_method_handler(self.SendBatch),
            "SendStream": grpc.stream_stream_rpc_method_handler(self.SendStream),
            "Get": grpc.unary_unary_rpc_method_handler(self.Get, pb.GetRequest.FromString, pb.GetResponse.SerializeToString),
            "List": grpc.unary_unary_rpc_method_handler(
                self.List, pb.ListRequest.FromString, pb.ListResponse.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def Send(self, wire: bytes, context: Context) -> bytes:
        """Accepts one notification: SendRequest to SendResponse."""
        taken: list[Taken] = await self._intake.read(wire, 1, origin())
        notifications: Sequence[Notification] = ()
        if not all(taken) or not taken:
            request = _parsed(pb.SendRequest.FromString, wire)
            if not request.HasField("notification"):
                raise _missing()
            taken, notifications = [None], [request.notification]
        (answer,) = await self._intake.accept(taken, notifications, origin())
        if isinstance(answer, Refusal):
            raise under(answer, "notification")
        return _result(answer)  # SendResponse has the fields of SendResult

    async def SendBatch(self, wire: bytes, context: Context) -> bytes:
        """Accepts up to 1,000, each with a result of its own: SendBatchRequest to SendBatchResponse."""
        taken: list[Taken] = await self._intake.read(wire, BATCH, origin())
        notifications: Sequence[Notification] = ()
        if not all(taken) or not taken:
            notifications = _parsed(pb.SendBatchRequest.FromString, wire).notifications
            count = len(notifications)
            if not count:
                raise invalid([Violation("notifications", "is required", ErrorReason.ERROR_REASON_REQUIRED)])
            if count > BATCH:
                text = f"has {count} items; at most {BATCH} are allowed"
                raise invalid([Violation("notifications", text, ErrorReason.ERROR_REASON_TOO_MANY_ITEMS)])
            taken = taken or [None] * count
        answers = await self._intake.accept(taken, notifications, origin())
        return pack_results([answer if isinstance(answer, Record) else _result(answer) for answer in answers])

    async def SendStream(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """Accepts whatever waits at once, acknowledges in order, and lets the caller send no more than a window ahead.

        SendStreamRequests to SendStreamResponses.
        """
        feed = Feed(messages, WINDOW)
        async with feed:
            with self._drain.listening(lambda: feed.end(draining())):
                while waiting := await feed.take():
                    acknowledgements = await self._acknowledge(waiting)
                    for each in acknowledgements:
                        yield each
                    if len(acknowledgements) < len(waiting):
                        raise unreadable()

    async def _acknowledge(self, messages: Sequence[bytes]) -> list[bytes]:
        """Accepts messages of a stream; the acknowledgements, up to the first that is not one."""
        joined = join_messages(messages)
        if joined is not None:
            sequences, wire = joined
            taken = await self._intake.read(wire, len(messages), origin())
            if taken and all(taken):
                answers = await self._intake.accept(taken, (), origin())
                return [pack_acknowledgement(s, _result(answer)) for s, answer in zip(sequences, answers, strict=True)]
        requests: list[pb.SendStreamRequest] = []
        for message in messages:
            try:
                requests.append(pb.SendStreamRequest.FromString(message))
            except DecodeError:
                break
        present = [request.notification for request in requests if request.HasField("notification")]
        found = iter(await self._intake.accept([None] * len(present), present, origin()))
        given = [next(found) if request.HasField("notification") else _missing() for request in requests]
        return [pack_acknowledgement(r.sequence, _result(answer)) for r, answer in zip(requests, given, strict=True)]

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


def _parsed(parse: Callable[[bytes], M], wire: bytes) -> M:
    try:
        return parse(wire)
    except DecodeError:
        raise unreadable() from None


def _result(answer: Answer) -> bytes:
    """A SendResult."""
    if isinstance(answer, Record):
        return pack_result(answer.id)
    if isinstance(answer, Repeated):
        return pb.SendResult(notification_id=format_id(answer.record.id), duplicate=True).SerializeToString()
    return pb.SendResult(error=to_item_error(answer)).SerializeToString()


def _missing() -> Refusal:
    return invalid([Violation("notification", "is required", ErrorReason.ERROR_REASON_REQUIRED)])
