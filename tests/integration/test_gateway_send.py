"""Sending through the gateway: what an OK means, idempotency, batches and streams."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
import pytest

from core import keys
from core.errors import StoreUnavailable
from core.ids import parse_id, partition_of
from core.model import Priority
from core.settings import Settings
from core.store import Command, Store
from ledger import Ledger
from tests.integration.gateway_kit import Door, details, gateway, notification
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.types_pb2 import CHANNEL_PUSH, PLATFORM_FCM, PRIORITY_CRITICAL, PRIORITY_LOW, ErrorReason, Recipient

INVALID, CONFLICT, UNAVAILABLE = 3, 6, 14
UNKNOWN = b"\xfa\x01\x01x"  # a field that this version does not know: protobuf skips it


@pytest.fixture
async def door(settings: Settings, store: Store, ledger: Ledger) -> AsyncIterator[Door]:
    async with gateway(settings, store, ledger) as running:
        await running.put()
        yield running


async def batch(door: Door, *notifications: Notification) -> Sequence[pb.SendResult]:
    response = await door.notifications.SendBatch(pb.SendBatchRequest(notifications=notifications), metadata=door.auth)
    return response.results


async def refused(call: grpc.aio.UnaryUnaryCall) -> grpc.aio.AioRpcError:  # type: ignore[type-arg]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def without(command: str) -> Callable[..., Awaitable[list[Any]]]:
    """Store.send of a Redis that does not answer this command."""
    send = Store.send

    async def sometimes(self: Store, commands: Sequence[Command], **options: Any) -> list[Any]:
        if commands[0][0] == command:
            raise StoreUnavailable("redis://10.0.0.1 does not answer")
        return await send(self, commands, **options)

    return sometimes


def violations(result: pb.SendResult) -> dict[str, str]:
    return {v.field: ErrorReason.Name(v.reason).removeprefix("ERROR_REASON_") for v in result.error.violations}


async def test_an_ok_means_that_the_record_is_in_redis(door: Door) -> None:
    reply = await door.send(notification())
    ((stream, record),) = await door.accepted()
    assert record.id == parse_id(reply.notification_id) and not reply.duplicate
    assert stream == keys.inbound(partition_of(record.id), Priority.MEDIUM)
    assert (record.type, record.template, record.version, record.email) == ("welcome", "welcome", 1, "ada@example.com")
    assert record.data == b'{"name":"Ada"}'


async def test_no_ok_without_redis_and_the_caller_is_told_to_try_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "send", without("XADD"))
    error = await refused(door.notifications.Send(pb.SendRequest(notification=notification()), metadata=door.auth))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    reason, _, delay = details(error)
    assert (reason, bool(delay)) == ("ERROR_REASON_STORE_UNAVAILABLE", True)
    assert "10.0.0.1" not in (error.details() or "")
    (result,) = await batch(door, notification())
    assert (result.error.code, result.notification_id) == (UNAVAILABLE, "")


async def test_concurrent_calls_share_entries(door: Door, store: Store) -> None:
    await asyncio.gather(*(door.send(notification()) for _ in range(100)))
    (names,) = await store.send([["KEYS", "*:in:*"]])
    lengths = await store.send([["XLEN", name] for name in names])
    assert len(await door.accepted()) == 100
    assert sum(lengths) < 100


async def test_all_faults_at_once(door: Door) -> None:
    bad = notification(type="a b", recipient=Recipient(email="ada@", phone="1"), template="nope", data={"nome": 1})
    error = await refused(door.notifications.Send(pb.SendRequest(notification=bad), metadata=door.auth))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    reason, found, _ = details(error)
    assert reason == "ERROR_REASON_INVALID_FORMAT"
    assert found == {
        "notification.type": "ERROR_REASON_INVALID_FORMAT",
        "notification.recipient.email": "ERROR_REASON_INVALID_EMAIL",
        "notification.recipient.phone": "ERROR_REASON_INVALID_PHONE",
        "notification.template": "ERROR_REASON_UNKNOWN_TEMPLATE",
    }
    assert await door.accepted() == []


async def test_faults_in_view_of_the_template(door: Door) -> None:
    bad = notification(data={"nome": "Ada"}, channels=[CHANNEL_PUSH], recipient=Recipient(recipient_id="ada"))
    error = await refused(door.notifications.Send(pb.SendRequest(notification=bad), metadata=door.auth))
    assert details(error)[1] == {
        "notification.data.name": "ERROR_REASON_MISSING_VARIABLE",
        "notification.channels": "ERROR_REASON_MISSING_CONTENT",
    }


async def test_a_bad_item_does_not_fail_the_others(door: Door) -> None:
    good, bad, urgent = await batch(
        door, notification(), notification(template="nope", type=""), notification(priority=PRIORITY_CRITICAL)
    )
    assert violations(bad) == {"type": "REQUIRED", "template": "UNKNOWN_TEMPLATE"}
    assert (bad.error.code, bad.notification_id) == (INVALID, "")
    accepted = {record.id: stream for stream, record in await door.accepted()}
    assert set(accepted) == {parse_id(good.notification_id), parse_id(urgent.notification_id)}
    assert accepted[parse_id(urgent.notification_id)].endswith("in:critical")


async def test_a_batch_makes_one_frame_for_each_partition_and_priority(door: Door, store: Store) -> None:
    many = [
        notification(recipient=Recipient(recipient_id=f"usr_{i}"), priority=priority)
        for i in range(100)
        for priority in (PRIORITY_LOW, PRIORITY_CRITICAL)
    ]
    assert all(result.notification_id for result in await batch(door, *many))
    (names,) = await store.send([["KEYS", "*:in:*"]])
    assert await store.send([["XLEN", name] for name in names]) == [1] * 8
    order = [record.recipient_id for stream, record in await door.accepted() if stream == keys.inbound(0, Priority.LOW)]
    assert order == sorted(order, key=lambda text: int(text.removeprefix("usr_"))) and len(order) > 10


@pytest.mark.parametrize(("count", "reason"), [(0, "ERROR_REASON_REQUIRED"), (1001, "ERROR_REASON_TOO_MANY_ITEMS")])
async def test_a_batch_has_one_to_a_thousand_items(door: Door, count: int, reason: str) -> None:
    request = pb.SendBatchRequest(notifications=[notification()] * count)
    error = await refused(door.notifications.SendBatch(request, metadata=door.auth))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(error)[1] == {"notifications": reason}


async def test_a_thousand_items(door: Door) -> None:
    results = await batch(door, *([notification()] * 1000))
    assert len({result.notification_id for result in results}) == 1000


async def test_items_that_are_looked_at_closer_keep_their_place_among_the_others(door: Door, store: Store) -> None:
    def made(i: int) -> Notification:
        n = notification(data={"name": str(i)}, recipient=Recipient(recipient_id="ada"))
        if i % 3 == 0:
            n.recipient.devices.add(platform=PLATFORM_FCM, token="t")  # not read natively
        return n

    results = await batch(door, *(made(i) for i in range(30)))
    records = [record for _, record in await door.accepted()]
    assert [record.data for record in records] == [f'{{"name":"{i}"}}'.encode() for i in range(30)]
    assert [record.id for record in records] == [parse_id(result.notification_id) for result in results]


@pytest.mark.parametrize("first", [b"", UNKNOWN], ids=["native first", "native second"])
async def test_a_key_is_the_same_whichever_way_its_notification_is_read(door: Door, first: bytes) -> None:
    send: Any = door.channel.unary_unary("/tidings.v1.NotificationsService/Send")
    wire = notification(idempotency_key="k").SerializeToString()

    async def call(tail: bytes) -> pb.SendResponse:
        item = wire + tail
        return pb.SendResponse.FromString(await send(b"\n" + bytes([len(item)]) + item, metadata=door.auth))

    one = await call(first)
    other = await call(UNKNOWN if first == b"" else b"")
    assert (one.notification_id, one.duplicate, other.duplicate) == (other.notification_id, False, True)


async def test_a_request_that_says_its_notification_in_two_parts(door: Door) -> None:
    send: Any = door.channel.unary_unary("/tidings.v1.NotificationsService/Send")
    parts = [notification(), Notification(source="part two")]
    wire = b"".join(pb.SendRequest(notification=part).SerializeToString() for part in parts)
    assert pb.SendResponse.FromString(await send(wire, metadata=door.auth)).notification_id
    ((_, record),) = await door.accepted()
    assert (record.source, record.email) == ("part two", "ada@example.com")


@pytest.mark.parametrize("method", ["Send", "SendBatch"])
async def test_bytes_that_are_no_request_are_told(door: Door, method: str) -> None:
    send: Any = door.channel.unary_unary(f"/tidings.v1.NotificationsService/{method}")
    fine = pb.SendRequest(notification=notification()).SerializeToString()
    for odd in (b"\n\x05abc", fine + b"\n\x03\x0a\x01\xff", fine + b"\xff"):
        error = await refused(send(odd, metadata=door.auth))
        assert (error.code(), details(error)[1]) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            {"request": "ERROR_REASON_INVALID_FORMAT"},
        )
    assert await door.accepted() == []


# Idempotency ----------------------------------------------------------------------------------------------------------


async def test_the_same_key_with_the_same_content_gives_the_same_id_and_is_appended_again(door: Door) -> None:
    first = await door.send(notification(idempotency_key="k"))
    await door.put()  # a new version in between does not make it another request
    second = await door.send(notification(idempotency_key="k"))
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.notification_id == second.notification_id
    records = [record for _, record in await door.accepted()]
    assert [record.id for record in records] == [parse_id(first.notification_id)] * 2
    assert len({record.mark for record in records}) == 1 and records[0].mark
    assert records[0].accepted_ms == records[1].accepted_ms


async def test_the_same_key_with_other_content_is_a_conflict(door: Door) -> None:
    await door.send(notification(idempotency_key="k"))
    other = pb.SendRequest(notification=notification(idempotency_key="k", data={"name": "Eve"}))
    error = await refused(door.notifications.Send(other, metadata=door.auth))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    assert details(error)[:2] == (
        "ERROR_REASON_IDEMPOTENCY_CONFLICT",
        {"notification.idempotency_key": "ERROR_REASON_IDEMPOTENCY_CONFLICT"},
    )
    assert len(await door.accepted()) == 1


async def test_a_key_twice_in_one_batch(door: Door) -> None:
    first, same, other = await batch(
        door,
        notification(idempotency_key="k"),
        notification(idempotency_key="k"),
        notification(idempotency_key="k", data={"name": "Eve"}),
    )
    assert same.notification_id == first.notification_id and same.duplicate and not first.duplicate
    assert (other.error.code, violations(other)) == (CONFLICT, {"idempotency_key": "IDEMPOTENCY_CONFLICT"})


async def test_keys_are_the_callers_own(door: Door, ledger: Ledger) -> None:
    key = await ledger.keys.create("another", ["send"])
    first = await door.send(notification(idempotency_key="k"))
    request = pb.SendRequest(notification=notification(idempotency_key="k", data={"name": "Eve"}))
    second = await door.notifications.Send(request, metadata=(("authorization", f"Bearer {key}"),))
    assert first.notification_id != second.notification_id and not second.duplicate


async def test_a_reservation_without_its_append_is_made_good_by_the_next_call(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as outage:
        outage.setattr(Store, "send", without("XADD"))
        (lost,) = await batch(door, notification(idempotency_key="k"))
    assert lost.error.code == UNAVAILABLE and await door.accepted() == []
    found = await door.send(notification(idempotency_key="k"))
    assert [record.id for _, record in await door.accepted()] == [parse_id(found.notification_id)]
    assert found.duplicate


# Streams --------------------------------------------------------------------------------------------------------------


async def test_each_message_of_a_stream_is_acknowledged_in_order(door: Door) -> None:
    call = door.notifications.SendStream(metadata=door.auth)
    for sequence in range(10, 600):
        made = notification(type="" if sequence % 7 == 0 else "welcome")
        await call.write(pb.SendStreamRequest(sequence=sequence, notification=made))
    await call.done_writing()
    replies = [reply async for reply in call]
    assert [reply.sequence for reply in replies] == list(range(10, 600))
    refused = [reply.sequence for reply in replies if violations(reply.result) == {"type": "REQUIRED"}]
    assert refused == [sequence for sequence in range(10, 600) if sequence % 7 == 0]
    assert len(await door.accepted()) == 590 - len(refused)


async def test_a_message_is_acknowledged_while_the_stream_goes_on(door: Door) -> None:
    call = door.notifications.SendStream(metadata=door.auth)
    for sequence in (1, 2, 3):
        await call.write(pb.SendStreamRequest(sequence=sequence, notification=notification()))
        reply: Any = await call.read()
        assert reply.sequence == sequence and reply.result.notification_id
    await call.write(pb.SendStreamRequest(sequence=4))
    reply = await call.read()
    assert violations(reply.result) == {"notification": "REQUIRED"}
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_one_recipients_notifications_of_a_stream_keep_their_order(door: Door) -> None:
    call = door.notifications.SendStream(metadata=door.auth)
    for i in range(500):
        await call.write(pb.SendStreamRequest(sequence=i, notification=notification(data={"name": str(i)})))
    await call.done_writing()
    assert len([reply async for reply in call]) == 500
    assert [record.data for _, record in await door.accepted()] == [f'{{"name":"{i}"}}'.encode() for i in range(500)]


async def test_a_stream_survives_a_caller_who_hangs_up(door: Door) -> None:
    call = door.notifications.SendStream(metadata=door.auth)
    await call.write(pb.SendStreamRequest(sequence=1, notification=notification()))
    await call.read()
    call.cancel()
    assert (await door.send(notification())).notification_id


async def test_a_stream_of_messages_in_another_order_of_fields(door: Door) -> None:
    stream: Any = door.channel.stream_stream("/tidings.v1.NotificationsService/SendStream")(metadata=door.auth)
    await stream.write(pb.SendStreamRequest(notification=notification()).SerializeToString() + b"\x08\x07")
    reply = pb.SendStreamResponse.FromString(await stream.read())
    assert reply.sequence == 7 and reply.result.notification_id
    await stream.done_writing()
