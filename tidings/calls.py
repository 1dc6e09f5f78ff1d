"""Every operation of the client without its I/O: generators that yield what to do next and return what came of it.

The blocking and the asyncio client drive the same generators (see client.py, aio.py): requests, retries, chunks, pages
and waiting are written once, here. A driver answers a Call with the response or a ClientError, a Pause with None.
"""

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

import grpc

from tidings import messages, values
from tidings.channel import Stubs
from tidings.errors import ClientError, DeadlineExceeded, DeliveryEnded, InvalidRequest, NotFound
from tidings.v1 import inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2

CHUNK_ITEMS = 1_000  # the contract's limit for SendBatch
CHUNK_BYTES = 3 * 1024 * 1024  # below gRPC's usual 4 MiB for one message
BACKOFF_S = 0.1
BACKOFF_MAX_S = 5.0
SHORTEST_CALL_S = 0.001
POLL_FIRST_S = 0.05
POLL_MAX_S = 1.0

T = TypeVar("T")
Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Call:
    """Make this call; answer with the response or a ClientError."""

    rpc: Callable[[Stubs], Any]
    request: Any
    timeout: float  # seconds


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this long; answer None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Feed(Generic[T]):
    """Make this call and hand out its responses one by one, as `value` makes them; who stops reading ends the call."""

    name: str
    rpc: Callable[[Stubs], Any]
    request: Any
    value: Callable[[Any], T]


Operation: TypeAlias = Generator[Call | Pause, Any, T]


def retry_delay(error: ClientError, attempt: int, remaining: float, jitter: float) -> float | None:
    """Seconds until the next attempt, or None to give up: not worth retrying, or no time left for it.

    Args:
        attempt: how many attempts failed before this one, from 0.
        remaining: seconds until the deadline.
        jitter: 0 to 1, random; so that callers that failed together do not come back together.
    """
    if not error.retriable:
        return None
    backoff = min(BACKOFF_S * 2**attempt, BACKOFF_MAX_S) * (0.5 + jitter / 2)
    delay = backoff if error.retry_after is None else error.retry_after + backoff * jitter
    return delay if delay < remaining else None


def invoke(rpc: "Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Q, A]]", request: Q, timeout: float) -> Operation[A]:
    """One call, tried again until it is answered for good or its deadline is near."""
    ends = time.monotonic() + timeout
    for attempt in count():
        answer: A | ClientError = yield Call(rpc, request, max(ends - time.monotonic(), SHORTEST_CALL_S))
        if not isinstance(answer, ClientError):
            return answer
        delay = retry_delay(answer, attempt, ends - time.monotonic(), random.random())
        if delay is None:
            raise answer
        yield Pause(delay)
    raise AssertionError("count() does not end")


def send(fields: messages.NotificationFields, timeout: float) -> Operation[values.Result]:
    """Send one notification."""
    request = notifications_pb2.SendRequest(notification=messages.notification(fields))
    response = yield from invoke(lambda stubs: stubs.notifications.Send, request, timeout)
    return values.Result(response.notification_id, response.duplicate)


Item: TypeAlias = notifications_pb2.Notification | InvalidRequest


def items(given: Iterable[messages.NotificationFields]) -> Iterator[Item]:
    """Each notification as a message, or why it cannot be one."""
    for fields in given:
        try:
            yield messages.notification(fields)
        except InvalidRequest as error:
            yield error


def chunks(given: Iterable[Item]) -> Iterator[list[Item]]:
    """Chunks of at most 1,000 items and about 3 MiB, in order."""
    chunk: list[Item] = []
    size = 0
    for item in given:
        length = 0 if isinstance(item, InvalidRequest) else item.ByteSize()
        if chunk and (len(chunk) == CHUNK_ITEMS or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += length
    if chunk:
        yield chunk


def send_many(given: Iterable[messages.NotificationFields], timeout: float) -> Operation[list[values.Result]]:
    """A result for each item, in order. A chunk that fails as a whole gives its error to its items and to all after them."""
    results: list[values.Result] = []
    failed: ClientError | None = None
    for chunk in chunks(items(given)):
        if failed is None:
            try:
                results += yield from _send_chunk(chunk, timeout)
                continue
            except ClientError as error:
                if not results:  # nothing is accepted yet, so nothing is lost by raising
                    raise
                failed = error
        results += [values.Result("", error=item if isinstance(item, InvalidRequest) else failed) for item in chunk]
    return results


def _send_chunk(chunk: Sequence[Item], timeout: float) -> Operation[list[values.Result]]:
    """Send a chunk; items that were refused for the moment are sent again with their keys while there is time."""
    ends = time.monotonic() + timeout
    found: dict[int, values.Result] = {
        i: values.Result("", error=item) for i, item in enumerate(chunk) if isinstance(item, InvalidRequest)
    }
    messages_: dict[int, notifications_pb2.Notification] = {
        i: item for i, item in enumerate(chunk) if not isinstance(item, InvalidRequest)
    }
    waiting = list(messages_)
    for attempt in count():
        if not waiting:
            break
        request = notifications_pb2.SendBatchRequest(notifications=[messages_[i] for i in waiting])
        response = yield from invoke(lambda stubs: stubs.notifications.SendBatch, request, ends - time.monotonic())
        found |= {i: values.result(result) for i, result in zip(waiting, response.results, strict=True)}
        refused = [(i, e) for i in waiting if (e := found[i].error) is not None and e.retriable]
        delay = retry_delay(refused[0][1], attempt, ends - time.monotonic(), random.random()) if refused else None
        if delay is None:
            break
        waiting = [i for i, _ in refused]
        yield Pause(delay)
    return [found[i] for i in range(len(chunk))]


def get(notification_id: str, timeout: float) -> Operation[values.Notification]:
    """One notification with its timelines."""
    request = notifications_pb2.GetRequest(notification_id=notification_id)
    response = yield from invoke(lambda stubs: stubs.notifications.Get, request, timeout)
    return values.notification(response.notification)


def satisfied(found: values.Notification, statuses: Iterable[str]) -> bool:
    """Whether every delivery (there is at least one) reached one of the statuses.

    Raises:
        DeliveryEnded: one of them ended otherwise and can reach none of them any more.
    """
    wanted = list(statuses)
    missing = [d for d in found.deliveries if not any(d.reached(status) for status in wanted)]
    for delivery in missing:
        if delivery.ended:
            last = delivery.timeline[-1] if delivery.timeline else None
            why = f": {' '.join(filter(None, (last.code, last.reason)))}" if last and (last.code or last.reason) else ""
            raise DeliveryEnded(f"{delivery.channel} by {delivery.provider or 'nobody'} {delivery.status}{why}", found)
    return bool(found.deliveries) and not missing


def wait_until(
    notification_id: str, statuses: str | Iterable[str], timeout: float, call_timeout: float
) -> Operation[values.Notification]:
    """Ask again and again until every delivery has reached one of the statuses."""
    wanted = [statuses] if isinstance(statuses, str) else list(statuses)
    for status in wanted:
        messages.status(status)
    ends = time.monotonic() + timeout
    interval, at = POLL_FIRST_S, "it is not known yet"
    while (remaining := ends - time.monotonic()) > 0:
        try:
            found = yield from get(notification_id, min(call_timeout, remaining))
            if satisfied(found, wanted):
                return found
            at = ", ".join(f"{d.channel} {d.status}" for d in found.deliveries) or "it is accepted"
        except NotFound:
            pass  # accepted a moment ago: the ledger has not heard of it yet
        yield Pause(min(interval, max(ends - time.monotonic(), 0)))
        interval = min(interval * 1.5, POLL_MAX_S)
    raise DeadlineExceeded(f"not {' or '.join(wanted)} after {timeout:g} s: {at}", code="DEADLINE_EXCEEDED")


def paged(fetch: Callable[[str, int], Operation[tuple[list[T], str]]], limit: int, page_size: int) -> Operation[list[T]]:
    """Up to `limit` entries, page by page; `fetch` takes the page's token and size."""
    found: list[T] = []
    token = ""
    while len(found) < limit:
        page, token = yield from fetch(token, min(page_size, limit - len(found)))
        found += page
        if not token:
            break
    return found


def list_notifications(
    recipient_id: str, type_: str, period: tuple[datetime | None, datetime | None], limit: int, timeout: float
) -> Operation[list[values.Notification]]:
    """Notifications, newest first."""

    def fetch(token: str, size: int) -> Operation[tuple[list[values.Notification], str]]:
        request = notifications_pb2.ListRequest(recipient_id=recipient_id, type=type_, page_size=size, page_token=token)
        messages.set_time(request.after, period[0], "after")
        messages.set_time(request.before, period[1], "before")
        response = yield from invoke(lambda stubs: stubs.notifications.List, request, timeout)
        return [values.notification(item) for item in response.notifications], response.next_page_token

    return (yield from paged(fetch, limit, 500))


def put_template(template: templates_pb2.Template, timeout: float) -> Operation[values.Template]:
    """Store a new version."""
    request = templates_pb2.PutRequest(template=template)
    response = yield from invoke(lambda stubs: stubs.templates.Put, request, timeout)
    return values.template(response.template)


def get_template(name: str, version: int, timeout: float) -> Operation[values.Template]:
    """One template."""
    request = templates_pb2.TemplatesServiceGetRequest(name=name, version=version)
    response = yield from invoke(lambda stubs: stubs.templates.Get, request, timeout)
    return values.template(response.template)


def list_templates(limit: int, timeout: float) -> Operation[list[values.Template]]:
    """Templates by name."""

    def fetch(token: str, size: int) -> Operation[tuple[list[values.Template], str]]:
        request = templates_pb2.TemplatesServiceListRequest(page_size=size, page_token=token)
        response = yield from invoke(lambda stubs: stubs.templates.List, request, timeout)
        return [values.template(item) for item in response.templates], response.next_page_token

    return (yield from paged(fetch, limit, 500))


def preview(request: templates_pb2.PreviewRequest, timeout: float) -> Operation[dict[str, Any]]:
    """The rendered parts, with the language that was found under "language"."""
    response = yield from invoke(lambda stubs: stubs.templates.Preview, request, timeout)
    return {"language": response.content.language, **values.parts(response.content)}


def upsert_recipient(fields: messages.RecipientFields, timeout: float) -> Operation[values.Recipient]:
    """Store a recipient whole."""
    request = recipients_pb2.UpsertRequest(recipient=messages.recipient(fields, "recipient"))
    response = yield from invoke(lambda stubs: stubs.recipients.Upsert, request, timeout)
    return values.recipient(response.recipient)


def get_recipient(recipient_id: str, timeout: float) -> Operation[values.Recipient]:
    """One recipient."""
    request = recipients_pb2.RecipientsServiceGetRequest(recipient_id=recipient_id)
    response = yield from invoke(lambda stubs: stubs.recipients.Get, request, timeout)
    return values.recipient(response.recipient)


def inbox(recipient_id: str, unread_only: bool, limit: int, timeout: float) -> Operation[list[values.InboxMessage]]:
    """A recipient's messages, newest first."""

    def fetch(token: str, size: int) -> Operation[tuple[list[values.InboxMessage], str]]:
        request = inbox_pb2.InboxServiceListRequest(
            recipient_id=recipient_id, unread_only=unread_only, page_size=size, page_token=token
        )
        response = yield from invoke(lambda stubs: stubs.inbox.List, request, timeout)
        return [values.inbox_message(item) for item in response.messages], response.next_page_token

    return (yield from paged(fetch, limit, 200))


def mark_read(recipient_id: str, notification_ids: Sequence[str], timeout: float) -> Operation[int]:
    """How many were not read before."""
    request = inbox_pb2.MarkReadRequest(recipient_id=recipient_id, notification_ids=notification_ids)
    response = yield from invoke(lambda stubs: stubs.inbox.MarkRead, request, timeout)
    return response.marked
