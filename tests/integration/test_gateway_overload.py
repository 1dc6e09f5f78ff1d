"""Under pressure low is shed and said so, then medium, then all but critical are refused; the sum is what was sent."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from core import keys
from core.ids import parse_id
from core.metrics import SHED
from core.model import Channel, Priority, Status
from core.settings import Settings
from core.store import Store
from core.streams import Append, Streams
from fastpath import unpack_frame
from gateway.admission import LOOK_S
from gateway.room import Room
from ledger import Ledger
from tests.helpers import eventually
from tests.integration.gateway_kit import Door, details, gateway, notification
from tidings.v1 import admin_pb2, notifications_pb2

DEPTH = 100
LOW = keys.inbound(0, Priority.LOW)


@pytest.fixture
async def door(settings: Settings, store: Store, ledger: Ledger) -> AsyncIterator[Door]:
    small = settings.model_copy(update={"overload_depth": DEPTH, "partitions": 1})
    async with gateway(small, store, ledger) as door:
        await door.put()
        yield door


async def press(door: Door, entries: int) -> None:
    """So many unread entries, and a gateway that has noticed."""
    await door.store.send([["DEL", LOW]])
    await Streams(door.store).append([Append(LOW, b"x")] * entries)
    expected = next(level for share, level in ((0.9, 4), (0.8, 3), (0.7, 2), (0.0, 1)) if entries / DEPTH >= share)

    async def noticed() -> bool:
        state = await door.admin.ListStations(admin_pb2.ListStationsRequest(), metadata=door.auth)
        return bool(state.overload == expected)

    await eventually(noticed, LOOK_S * 20)


async def send_all(door: Door) -> list[notifications_pb2.SendResult]:
    """One of each priority, in one batch."""
    batch = [notification(priority=priority) for priority in Priority]
    request = notifications_pb2.SendBatchRequest(notifications=batch)
    return list((await door.notifications.SendBatch(request, metadata=door.auth)).results)


async def suppressed(door: Door) -> set[bytes]:
    entries = await Streams(door.store).peek(keys.outcomes(0), 0, 2**47, 100)
    records = [record for _, frame in entries for record in unpack_frame(frame)]
    assert all((r.status, r.code) == (Status.SUPPRESSED, "overload") for r in records)
    return {record.id for record in records}


async def accepted(door: Door, priority: Priority) -> int:
    (entries,) = await door.store.send([["XLEN", keys.inbound(0, priority)]])
    return int(entries)


async def test_without_pressure_all_are_accepted(door: Door) -> None:
    assert all(not result.HasField("error") for result in await send_all(door))
    assert await suppressed(door) == set()


async def test_low_is_shed_first_then_medium(door: Door) -> None:
    await press(door, 75)
    before = SHED.labels("low")._value.get()
    results = await send_all(door)
    assert all(result.notification_id for result in results)
    assert await suppressed(door) == {parse_id(results[3].notification_id)}
    assert SHED.labels("low")._value.get() == before + 1
    await press(door, 85)
    results = await send_all(door)
    assert await suppressed(door) >= {parse_id(result.notification_id) for result in results[2:]}
    assert await accepted(door, Priority.MEDIUM) == 1


async def test_at_last_all_but_critical_are_told_to_come_back(door: Door) -> None:
    await press(door, 95)
    results = await send_all(door)
    assert results[0].notification_id
    assert [result.error.code for result in results[1:]] == [grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]] * 3
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await door.send(notification(priority=Priority.HIGH))
    reason, _, delay = details(refused.value)
    assert (refused.value.code(), reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED")
    assert delay is not None and delay >= 1
    await press(door, 10)
    assert all(not result.HasField("error") for result in await send_all(door))


async def level(door: Door) -> admin_pb2.OverloadLevel.ValueType:
    return (await door.admin.ListStations(admin_pb2.ListStationsRequest(), metadata=door.auth)).overload


async def reached(door: Door, expected: admin_pb2.OverloadLevel.ValueType) -> bool:
    return await level(door) == expected


async def test_redis_memory_is_pressure_too(door: Door) -> None:
    used = int((await door.store.redis.info("memory"))["used_memory"])
    await door.store.send([["CONFIG", "SET", "maxmemory", used]])
    try:
        await eventually(lambda: reached(door, admin_pb2.OVERLOAD_LEVEL_REFUSE), LOOK_S * 20)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await door.send(notification(priority=Priority.HIGH))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await door.store.send([["CONFIG", "SET", "maxmemory", used * 10]])
        await eventually(lambda: reached(door, admin_pb2.OVERLOAD_LEVEL_NORMAL), LOOK_S * 20)
    finally:
        await door.store.send([["CONFIG", "SET", "maxmemory", 0]])


async def test_what_senders_have_not_read_is_pressure_too(door: Door) -> None:
    stream = keys.outbound(0, Channel.PUSH, Priority.LOW)
    await Streams(door.store).append([Append(stream, b"x")] * DEPTH)
    await eventually(lambda: reached(door, admin_pb2.OVERLOAD_LEVEL_REFUSE), LOOK_S * 20)


async def test_the_settings_say_where_each_level_begins(settings: Settings, store: Store, ledger: Ledger) -> None:
    shares = {"shed_low_at": 0.2, "shed_medium_at": 0.4, "refuse_at": 0.6}
    early = settings.model_copy(update={"overload_depth": DEPTH, "partitions": 1, **shares})
    await Streams(store).append([Append(LOW, b"x")] * 30)
    async with gateway(early, store, ledger) as door:
        for expected in (
            admin_pb2.OVERLOAD_LEVEL_SHED_LOW,
            admin_pb2.OVERLOAD_LEVEL_SHED_MEDIUM,
            admin_pb2.OVERLOAD_LEVEL_REFUSE,
        ):
            await eventually(lambda: reached(door, expected), LOOK_S * 20)  # noqa: B023 - awaited here
            await Streams(store).append([Append(LOW, b"x")] * 20)


async def test_a_shed_notification_with_a_key_may_be_sent_when_there_is_room_again(door: Door) -> None:
    await press(door, 75)
    asked = notification(priority=Priority.LOW, idempotency_key="once")
    first = await door.send(asked)
    await press(door, 10)
    again = await door.send(asked)
    assert again.notification_id != first.notification_id and not again.duplicate
    assert await suppressed(door) == {parse_id(first.notification_id)}


async def test_a_key_that_was_accepted_keeps_its_id_under_pressure(door: Door) -> None:
    asked = notification(priority=Priority.LOW, idempotency_key="once")
    first = await door.send(asked)
    await press(door, 75)
    again = await door.send(asked)
    assert (again.notification_id, again.duplicate) == (first.notification_id, True)
    assert await suppressed(door) == set()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await door.send(notification(priority=Priority.LOW, idempotency_key="once", data={"name": "Eve"}))
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_full_redis_is_no_false_ok(door: Door) -> None:
    used = int((await door.store.redis.info("memory"))["used_memory"])
    await door.store.send([["CONFIG", "SET", "maxmemory", used // 2]])
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await door.send(notification(priority=Priority.CRITICAL))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await door.store.send([["CONFIG", "SET", "maxmemory", 0]])
    assert (await door.send(notification(priority=Priority.CRITICAL))).notification_id


async def test_a_crowd_of_calls_is_told_to_come_back_and_critical_ones_pass(
    settings: Settings, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(places=0, waiting=1)
    monkeypatch.setattr("gateway.admission.Room", lambda: room)
    async with gateway(settings.model_copy(update={"partitions": 1}), store, ledger) as door:
        await door.put()
        stuck = asyncio.create_task(door.send(notification(priority=Priority.LOW)))
        await eventually(lambda: room.waiting == 1)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await door.send(notification(priority=Priority.HIGH))
        reason, _, delay = details(refused.value)
        assert (refused.value.code(), reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED")
        assert delay is not None and delay >= 1
        request = notifications_pb2.SendBatchRequest(notifications=[notification(priority=Priority.LOW)] * 2)
        results = (await door.notifications.SendBatch(request, metadata=door.auth)).results
        assert [result.error.code for result in results] == [grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]] * 2
        assert all(not result.HasField("error") for result in await send_all(door))  # one of them is critical
        assert (await door.send(notification(priority=Priority.CRITICAL))).notification_id
        odd = [notification(priority=Priority.CRITICAL), notification(priority=-5)]  # no priority: it hides no critical one
        request = notifications_pb2.SendBatchRequest(notifications=odd)
        accepted, refused_ = (await door.notifications.SendBatch(request, metadata=door.auth)).results
        assert accepted.notification_id
        assert refused_.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
