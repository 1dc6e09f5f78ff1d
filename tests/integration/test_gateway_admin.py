"""What operators do by gRPC: dead letters listed, replayed and dropped; channels halted; everything seen."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from core import keys
from core.ids import format_id, new_id
from core.model import Channel, ErrorClass, Priority, Station, Status
from core.settings import Settings
from core.store import Store
from core.streams import Append, Streams
from core.wellbeing import Wellbeing, Wellbeings
from fastpath import Record, pack_frame, record
from fastpath.layout import DELIVERY, OUTCOME
from ledger import Ledger
from ledger.applier import Frame
from tests.helpers import eventually
from tests.integration.gateway_kit import Door, details, gateway, notification
from tidings.v1 import admin_pb2 as pb

NOW = 1_700_000_000_000


@pytest.fixture
async def door(settings: Settings, store: Store, ledger: Ledger) -> AsyncIterator[Door]:
    async with gateway(settings, store, ledger) as door:
        yield door


def dead(type_: str, channel: Channel = Channel.SMS, **more: Any) -> Record:
    fields: dict[str, Any] = {
        "template": "welcome",
        "version": 1,
        "attempt": 4,
        "error_class": ErrorClass.TEMPORARY,
        "code": "503",
        **more,
    }
    id_ = new_id(1, Priority.HIGH, NOW)
    return record(DELIVERY, id=id_, priority=2, klass=1, channel=channel, type=type_, address="+4915112345678", **fields)


async def bury(door: Door, *items: Record) -> None:
    await Streams(door.store).append([Append(keys.dead(1, Channel(i.channel)), pack_frame([i])) for i in items])


async def listed(door: Door, **wanted: object) -> list[pb.DeadLetter]:
    request = pb.ListDeadLettersRequest(filter=pb.DeadLetterFilter(**wanted))  # type: ignore[arg-type]
    return [answer.letter async for answer in door.admin.ListDeadLetters(request, metadata=door.auth)]


async def replay(door: Door, **wanted: object) -> list[str]:
    request = pb.ReplayDeadLettersRequest(filter=pb.DeadLetterFilter(**wanted), per_second=1000)  # type: ignore[arg-type]
    return [answer.fate async for answer in door.admin.ReplayDeadLetters(request, metadata=door.auth)]


async def test_letters_are_listed_by_filter_without_addresses(door: Door) -> None:
    await bury(door, dead("otp", reason="down"), dead("news", Channel.EMAIL), dead("otp", error_class=ErrorClass.POISON))
    assert len(await listed(door)) == 3
    (news,) = await listed(door, channels=[Channel.EMAIL])
    assert (news.type, news.attempts, news.code) == ("news", 4, "503")
    assert len(await listed(door, type="otp")) == 2
    assert len(await listed(door, error_classes=[ErrorClass.POISON])) == 1
    assert len(await listed(door, limit=2)) == 2
    assert "+4915112345678" not in str(await listed(door))


async def test_no_letter_is_replayed_before_its_turn(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, rates = asyncio.Semaphore(2), list[int]()

    class Turns:
        """The pace of whoever holds the semaphore."""

        def __init__(self, per_second: int) -> None:
            rates.append(per_second)

        async def wait(self) -> None:
            await turns.acquire()

    monkeypatch.setattr("gateway.letters.Pace", Turns)
    await door.put()
    await bury(door, *(dead("otp") for _ in range(5)))
    replaying = asyncio.create_task(replay(door))
    out = keys.outbound(1, Channel.SMS, Priority.HIGH)

    async def went_out(count: int) -> bool:
        return len(await Streams(door.store).peek(out, 0, 2**47, 10)) == count

    await eventually(lambda: went_out(2))
    await asyncio.sleep(0.2)  # time in which others could go
    assert await went_out(2)
    for _ in range(3):
        turns.release()
    assert await replaying == ["replayed"] * 5
    assert await went_out(5)
    assert rates == [1000]


async def test_a_key_names_dead_letters_only(door: Door) -> None:
    await door.put()
    await door.send(notification())
    live = keys.inbound(0, Priority.MEDIUM)
    (stream,) = {stream for stream, _ in await door.accepted()}
    ((entry_id, _),) = await Streams(door.store).peek(stream, 0, 2**47, 10)
    assert await listed(door, keys=[f"{entry_id}@{stream}", f"1-0@{live}", "1-0@nonsense"]) == []
    request = pb.DropDeadLettersRequest(filter=pb.DeadLetterFilter(keys=[f"{entry_id}@{stream}"]))
    assert [answer async for answer in door.admin.DropDeadLetters(request, metadata=door.auth)] == []
    assert len(await door.accepted()) == 1


async def test_filters_that_are_refused_say_every_fault(door: Door) -> None:
    wanted = pb.DeadLetterFilter(channels=[9, 1, 1], error_classes=[0], type="a\n", keys=["x", "1@y"])  # type: ignore[list-item]
    wanted.after.nanos = -1
    wanted.before.seconds = 2**60
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await door.admin.ListDeadLetters(pb.ListDeadLettersRequest(filter=wanted), metadata=door.auth).read()
    assert set(details(caught.value)[1]) == {
        "filter.channels[0]",
        "filter.channels[2]",
        "filter.error_classes[0]",
        "filter.type",
        "filter.keys[0]",
        "filter.keys[1]",
        "filter.after",
        "filter.before",
    }


async def test_letters_are_replayed_one_or_all_and_checked_again(door: Door) -> None:
    await door.put()
    items = [dead("otp"), dead("otp", expires_ms=NOW), dead("otp", template="gone"), dead("otp")]
    await bury(door, *items)
    one = next(x for x in await listed(door) if x.notification_id == format_id(items[0].id))
    assert await replay(door, keys=[one.key]) == ["replayed"]
    assert await replay(door, keys=[one.key]) == []
    assert sorted(await replay(door)) == ["expired", "no_template", "replayed"]
    assert [x.notification_id for x in await listed(door)] == [format_id(items[2].id)]
    assert await door.store.send([["XLEN", keys.outbound(1, Channel.SMS, Priority.HIGH)]]) == [2]


async def test_what_did_arrive_is_not_sent_again(door: Door) -> None:
    await door.put()
    item = dead("otp")
    await bury(door, item)
    at: dict[str, Any] = {"channel": Channel.SMS, "accepted_ms": NOW, "at_ms": NOW}
    told = [record(OUTCOME, id=item.id, status=Status.DEAD, station=Station.SENDER, attempt=4, **at)]
    told += [record(OUTCOME, id=item.id, status=Status.DELIVERED, station=Station.PROVIDER, **at)]
    await door.ledger.applier.apply(1, [Frame("1-0", pack_frame(told))])
    assert await replay(door) == ["arrived"]
    assert await listed(door) == []
    assert await door.store.send([["XLEN", keys.outbound(1, Channel.SMS, Priority.HIGH)]]) == [0]


async def test_letters_are_dropped(door: Door) -> None:
    await bury(door, dead("otp"), dead("news"))
    request = pb.DropDeadLettersRequest(filter=pb.DeadLetterFilter(type="otp"))
    answers = [answer async for answer in door.admin.DropDeadLetters(request, metadata=door.auth)]
    assert [answer.dropped for answer in answers] == [True]
    assert [x.type for x in await listed(door)] == ["news"]


async def test_bad_filters_are_told_field_by_field(door: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await listed(door, channels=[9], keys=["nonsense"])
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert set(details(refused.value)[1]) == {"filter.channels[0]", "filter.keys[0]"}


async def test_channels_are_halted_and_resumed_and_everybody_sees_it(door: Door) -> None:
    halt = pb.HaltChannelRequest(channel=Channel.SMS, reason="the sending number is blocked")  # type: ignore[arg-type]
    assert (await door.admin.HaltChannel(halt, metadata=door.auth)).changed
    await Wellbeings(door.store).tell(Channel.SMS, "alice", [Wellbeing("twilio", 2, 1.0, 0.9, 50.0)])
    state = await door.admin.ListStations(pb.ListStationsRequest(), metadata=door.auth)
    assert [(int(h.channel), h.reason) for h in state.halts] == [(Channel.SMS, "the sending number is blocked")]
    (provider,) = state.providers
    assert (provider.provider, provider.breaker) == ("twilio", pb.BREAKER_STATE_OPEN)
    assert state.overload == pb.OVERLOAD_LEVEL_NORMAL
    resume = pb.ResumeChannelRequest(channel=Channel.SMS)  # type: ignore[arg-type]
    assert (await door.admin.ResumeChannel(resume, metadata=door.auth)).changed
    assert not (await door.admin.ResumeChannel(resume, metadata=door.auth)).changed


async def test_a_halt_needs_a_channel_and_a_reason(door: Door) -> None:
    for request in (pb.HaltChannelRequest(channel=0, reason="x"), pb.HaltChannelRequest(channel=1, reason=" ")):  # type: ignore[arg-type]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await door.admin.HaltChannel(request, metadata=door.auth)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
