"""The operations as generators: when they try again, how they cut chunks, what they wait for. No gRPC is involved."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from tidings import calls, values
from tidings.errors import (
    ClientError,
    DeliveryEnded,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
)
from tidings.messages import NotificationFields
from tidings.v1 import notifications_pb2, types_pb2


@pytest.mark.parametrize(
    ("error", "attempt", "remaining", "jitter", "expected"),
    [
        (InvalidRequest("no"), 0, 10.0, 0.0, None),  # stays wrong
        (Unavailable("no"), 0, 10.0, 1.0, 0.1),
        (Unavailable("no"), 0, 10.0, 0.0, 0.05),
        (Unavailable("no"), 3, 10.0, 1.0, 0.8),
        (Unavailable("no"), 30, 10.0, 1.0, 5.0),  # the backoff is bounded
        (Unavailable("no"), 3, 0.5, 1.0, None),  # no time left
        (Overloaded("no", retry_after=2.0), 0, 10.0, 0.0, 2.0),  # the server's wish is the least
        (Overloaded("no", retry_after=2.0), 0, 10.0, 1.0, 2.1),
        (Overloaded("no", retry_after=20.0), 0, 10.0, 0.0, None),
    ],
)
def test_the_retry_decision(error: ClientError, attempt: int, remaining: float, jitter: float, expected: float | None) -> None:
    assert calls.retry_delay(error, attempt, remaining, jitter) == expected


def drive(operation: calls.Operation[Any], answers: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """Run an operation against a scripted server; pauses take no time. Returns its result and the requests made."""
    answer: Any = None
    requests: list[Any] = []
    while True:
        try:
            effect = operation.send(answer)
        except StopIteration as done:
            return done.value, requests
        if isinstance(effect, calls.Call):
            requests.append(effect.request)
            answer = answers(effect.request)
        else:
            answer = None


FIELDS: NotificationFields = {"type": "hello", "template": "hello", "recipient": "u1"}


def test_a_call_is_tried_again_with_the_same_idempotency_key() -> None:
    outcomes = [Unavailable("no"), Overloaded("no"), notifications_pb2.SendResponse(notification_id="n1")]
    result, requests = drive(calls.send(FIELDS, 10), lambda _: outcomes.pop(0))
    assert result == values.Result("n1")
    assert len({request.notification.idempotency_key for request in requests}) == 1
    assert len(requests) == 3


def test_a_wrong_request_is_not_tried_again() -> None:
    outcomes = [InvalidRequest("no")]
    with pytest.raises(InvalidRequest):
        drive(calls.send(FIELDS, 10), lambda _: outcomes.pop(0))


def test_chunks_are_bounded_by_count_and_by_bytes() -> None:
    small = [notifications_pb2.Notification(type=str(i)) for i in range(2_500)]
    assert [len(chunk) for chunk in calls.chunks(small)] == [1000, 1000, 500]
    big = [notifications_pb2.Notification(type="x" * 1_000_000) for _ in range(7)]
    assert [len(chunk) for chunk in calls.chunks(big)] == [3, 3, 1]
    assert [item for chunk in calls.chunks(small) for item in chunk] == small


def accept(request: notifications_pb2.SendBatchRequest) -> notifications_pb2.SendBatchResponse:
    results = [notifications_pb2.SendResult(notification_id=item.type) for item in request.notifications]
    return notifications_pb2.SendBatchResponse(results=results)


def numbered(count: int) -> list[NotificationFields]:
    return [{**FIELDS, "type": f"t{i}"} for i in range(count)]


def test_results_come_in_order_and_a_bad_item_fails_alone() -> None:
    items = numbered(1_500)
    items[7] = cast(NotificationFields, {**FIELDS, "priority": "urgent"})
    results, requests = drive(calls.send_many(items, 10), accept)
    assert [len(request.notifications) for request in requests] == [999, 500]
    assert isinstance(results[7].error, InvalidRequest)
    assert [r.notification_id for i, r in enumerate(results) if i != 7] == [f"t{i}" for i in range(1_500) if i != 7]


def test_items_refused_for_the_moment_are_sent_again_alone() -> None:
    refusals = {"t1": 2, "t3": 1}

    def answer(request: notifications_pb2.SendBatchRequest) -> notifications_pb2.SendBatchResponse:
        response = accept(request)
        for item in response.results:
            if refusals.get(item.notification_id, 0):
                refusals[item.notification_id] -= 1
                item.error.CopyFrom(notifications_pb2.SendError(code=8, message="busy"))
                item.notification_id = ""
        return response

    results, requests = drive(calls.send_many(numbered(5), 10), answer)
    assert [[n.type for n in r.notifications] for r in requests] == [["t0", "t1", "t2", "t3", "t4"], ["t1", "t3"], ["t1"]]
    assert [r.notification_id for r in results] == ["t0", "t1", "t2", "t3", "t4"]


def test_a_batch_that_never_began_raises() -> None:
    with pytest.raises(Unavailable):
        drive(calls.send_many(numbered(3), 0.01), lambda _: Unavailable("down"))


def test_a_batch_that_broke_off_keeps_the_ids_it_has() -> None:
    def answer(request: notifications_pb2.SendBatchRequest) -> Any:
        return accept(request) if request.notifications[0].type == "t0" else Unavailable("down")

    results, _ = drive(calls.send_many(numbered(2_500), 0.01), answer)
    assert [r.ok for r in results] == [True] * 1_000 + [False] * 1_500
    assert all(isinstance(r.error, Unavailable) for r in results[1_000:])


def delivery(*statuses: str, channel: str = "email") -> values.Delivery:
    at = datetime.now(UTC)
    timeline = tuple(values.Event(status, at, "sender", 1, "smtp", "550", "no such user") for status in statuses)
    return values.Delivery(channel, statuses[-1], "smtp", "", 1, "en", 1, 0, timeline)


def record(*deliveries: values.Delivery) -> values.Notification:
    return values.Notification("n1", "hello", "high", "alert", "", "hello", "", None, "", deliveries)


@pytest.mark.parametrize(
    ("found", "statuses", "expected"),
    [
        (record(), ["delivered"], False),
        (record(delivery("accepted", "sent")), ["delivered"], False),
        (record(delivery("sent", "delivered")), ["delivered"], True),
        (record(delivery("sent", "delivered")), ["sent"], True),  # passed it already
        (record(delivery("opened")), ["delivered"], True),  # implied: the provider left a step out
        (record(delivery("sent", "delivered"), delivery("queued")), ["delivered"], False),
        (record(delivery("failed")), ["delivered", "failed"], True),
        (record(delivery("sent", "delivered", "failed")), ["delivered"], True),  # it was; the bounce came later
    ],
)
def test_what_is_waited_for(found: values.Notification, statuses: list[str], expected: bool) -> None:
    assert calls.satisfied(found, statuses) is expected


def test_waiting_ends_when_it_is_in_vain() -> None:
    with pytest.raises(DeliveryEnded, match="email by smtp failed: 550 no such user") as caught:
        calls.satisfied(record(delivery("sent", "delivered"), delivery("failed")), ["delivered"])
    assert caught.value.notification.deliveries[1].status == "failed"


def test_waiting_outlives_a_ledger_that_has_not_heard_of_it() -> None:
    status = types_pb2.Delivery(channel=types_pb2.CHANNEL_SMS, status=types_pb2.STATUS_DELIVERED)
    known = notifications_pb2.NotificationRecord(notification_id="n1", deliveries=[status])
    outcomes = [NotFound("no"), NotFound("no"), notifications_pb2.GetResponse(notification=known)]
    result, _ = drive(calls.wait_until("n1", "delivered", 10, 10), lambda _: outcomes.pop(0))
    assert result.deliveries[0].channel == "sms"


def test_waiting_has_a_deadline_and_says_where_it_stood() -> None:
    status = types_pb2.Delivery(channel=types_pb2.CHANNEL_SMS, status=types_pb2.STATUS_QUEUED)
    known = notifications_pb2.GetResponse(notification=notifications_pb2.NotificationRecord(deliveries=[status]))
    with pytest.raises(TimeoutError, match="sms queued"):
        drive(calls.wait_until("n1", "delivered", 0.01, 10), lambda _: known)


def test_waiting_for_a_word_that_is_no_status() -> None:
    with pytest.raises(InvalidRequest):
        drive(calls.wait_until("n1", "arrived", 1, 1), lambda _: None)


def test_pages_are_followed_up_to_the_limit() -> None:
    asked = []

    def fetch(token: str, size: int) -> calls.Operation[tuple[list[int], str]]:
        asked.append((token, size))
        start = int(token or 0)
        yield calls.Pause(0)
        return list(range(start, start + size)), str(start + size)

    found, _ = drive(calls.paged(fetch, 450, 200), lambda _: None)
    assert found == list(range(450))
    assert asked == [("", 200), ("200", 200), ("400", 50)]


def test_a_status_of_a_newer_server_is_its_number() -> None:
    assert values.word(types_pb2.Status, 99, "STATUS_") == "99"
    assert values.word(types_pb2.Channel, 4, "CHANNEL_") == "in_app"
    assert values.word(types_pb2.Channel, 0, "CHANNEL_") == ""
