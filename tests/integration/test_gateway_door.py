"""The door of the gateway: who comes in, what is answered when something fails, health, reflection, the drain."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan

from core import telemetry
from core.errors import ConfigError, LedgerError, LedgerUnavailable, StoreUnavailable
from core.model import Priority
from core.process import Context
from core.settings import Settings
from core.store import Store
from gateway.__main__ import build
from gateway.room import Room
from ledger import Ledger
from ledger.recipients import RecipientStore
from tests.helpers import eventually
from tests.integration.gateway_kit import Door, details, gateway, notification
from tidings.v1 import inbox_pb2, recipients_pb2, templates_pb2
from tidings.v1 import notifications_pb2 as pb

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def door(settings: Settings, store: Store, ledger: Ledger) -> AsyncIterator[Door]:
    async with gateway(settings, store, ledger) as running:
        yield running


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.exc_info or "Traceback" in r.getMessage()]


def authorization(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


# Who comes in ---------------------------------------------------------------------------------------------------------


async def test_without_a_key_or_with_a_wrong_one(door: Door) -> None:
    for metadata in ((), authorization("tk_wrong"), (("authorization", "Basic abc"),)):
        error = await refused(door.notifications.Send(pb.SendRequest(), metadata=metadata))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert details(error)[0] == "ERROR_REASON_UNAUTHENTICATED"


async def test_a_key_opens_what_its_scopes_say(door: Door, ledger: Ledger) -> None:
    await door.put()
    metadata = authorization(await ledger.keys.create("sender", ["send"]))
    await door.notifications.Send(pb.SendRequest(notification=notification()), metadata=metadata)
    error = await refused(door.templates.Put(templates_pb2.PutRequest(), metadata=metadata))
    assert (error.code(), details(error)[0]) == (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_MISSING_SCOPE")
    stream = door.inbox.Watch(inbox_pb2.WatchRequest(recipient_id="ada"), metadata=metadata)
    assert (await refused(stream.read())).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_streams_are_guarded_like_calls(door: Door) -> None:
    call = door.notifications.SendStream()
    assert (await refused(call.read())).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_known_callers_send_while_postgresql_is_away(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.put()
    await door.send(notification())

    async def away(self: Any, *args: Any) -> Any:
        raise LedgerUnavailable("PostgreSQL is down at 10.0.0.1")

    monkeypatch.setattr("ledger.database.Database.fetch_one", away)
    monkeypatch.setattr("ledger.database.Database.fetch", away)
    monkeypatch.setattr("gateway.auth.FRESH_MS", 0)
    for _ in range(3):
        assert (await door.send(notification())).notification_id
    get = recipients_pb2.RecipientsServiceGetRequest(recipient_id="ada")
    error = await refused(door.recipients.Get(get, metadata=door.auth))
    assert (error.code(), details(error)[0]) == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_STORE_UNAVAILABLE")
    assert details(error)[2] and "10.0.0.1" not in (error.details() or "")


# What fails -----------------------------------------------------------------------------------------------------------


async def test_bytes_that_are_no_message(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    send: Any = door.channel.unary_unary("/tidings.v1.NotificationsService/Send")
    for damaged in (b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x04\x0a\x02\xff\xfe", b"\x0a\x7f" + b"\x08" * 20):
        error = await refused(send(damaged, metadata=door.auth))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert details(error)[1] == {"request": "ERROR_REASON_INVALID_FORMAT"}
    stream: Any = door.channel.stream_stream("/tidings.v1.NotificationsService/SendStream")(metadata=door.auth)
    await stream.write(b"\xff\xff")
    assert (await refused(stream.read())).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert tracebacks(caplog) == []


async def test_damaged_bytes_of_a_stranger_are_not_looked_at(door: Door) -> None:
    send: Any = door.channel.unary_unary("/tidings.v1.NotificationsService/Send")
    assert (await refused(send(b"\xff\xff\xff"))).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_method_that_is_not_there(door: Door) -> None:
    call: Any = door.channel.unary_unary("/tidings.v1.NotificationsService/Unsend")
    assert (await refused(call(b"", metadata=door.auth))).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_fault_of_ours_has_an_id_and_one_line_in_the_log(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: RecipientStore, ids: Any) -> Any:
        raise ZeroDivisionError("a secret of the code")

    monkeypatch.setattr(RecipientStore, "fetch", broken)
    get = recipients_pb2.RecipientsServiceGetRequest(recipient_id="ada")
    error = await refused(door.recipients.Get(get, metadata=door.auth))
    assert (error.code(), details(error)[0]) == (grpc.StatusCode.INTERNAL, "ERROR_REASON_INTERNAL")
    error_id = (error.details() or "").rpartition(" ")[2]
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 1 and error_id in logged[0].getMessage()
    assert "secret" not in (error.details() or "") and "Traceback" not in (error.details() or "")


async def test_what_postgresql_refuses_is_a_fault_of_ours(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(self: RecipientStore, ids: Any) -> Any:
        raise LedgerError("relation recipients does not exist")

    monkeypatch.setattr(RecipientStore, "fetch", refuse)
    get = recipients_pb2.RecipientsServiceGetRequest(recipient_id="ada")
    error = await refused(door.recipients.Get(get, metadata=door.auth))
    assert error.code() is grpc.StatusCode.INTERNAL and "relation" not in (error.details() or "")
    assert len(tracebacks(caplog)) == 1


async def test_a_request_that_is_too_large(door: Door) -> None:
    send: Any = door.channel.unary_unary("/tidings.v1.NotificationsService/Send")
    error = await refused(send(b"\x0a" + b"x" * 17_000_000, metadata=door.auth))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# Traces ---------------------------------------------------------------------------------------------------------------


async def test_the_callers_trace_is_in_the_record(door: Door) -> None:
    await door.put()
    request = pb.SendRequest(notification=notification())
    sent = await door.notifications.Send(request, metadata=(*door.auth, ("traceparent", TRACE)))
    assert [record.traceparent for _, record in await door.accepted()] == [TRACE]
    found = await door.notifications.Get(pb.GetRequest(notification_id=sent.notification_id), metadata=door.auth)
    assert found.notification.trace_id == TRACE[3:35]


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-0-0-0", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5000])
async def test_a_damaged_trace_context_is_ignored(door: Door, traceparent: str) -> None:
    await door.put()
    request = pb.SendRequest(notification=notification())
    await door.notifications.Send(request, metadata=(*door.auth, ("traceparent", traceparent)))
    assert [record.traceparent for _, record in await door.accepted()] == [""]


async def test_the_gateway_has_a_span_of_its_own_in_the_callers_trace(door: Door) -> None:
    await door.put()
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.use(provider)
    try:
        request = pb.SendRequest(notification=notification())
        await door.notifications.Send(request, metadata=(*door.auth, ("traceparent", TRACE)))
    finally:
        telemetry.use(None)
    (span,) = [each for each in exporter.get_finished_spans() if each.name.endswith("/Send")]
    context = span.get_span_context()
    assert context is not None and f"{context.trace_id:032x}" == TRACE[3:35]
    ((_, record),) = await door.accepted()
    assert record.traceparent == telemetry.traceparent_of(NonRecordingSpan(context))


# Health, reflection, drain --------------------------------------------------------------------------------------------


async def test_health_of_each_service_is_open_to_all(door: Door) -> None:
    health: Any = health_pb2_grpc.HealthStub(door.channel)
    for service in ("", "tidings.v1.NotificationsService", "tidings.v1.InboxService"):

        async def serving(service: str = service) -> bool:
            try:
                reply = await health.Check(health_pb2.HealthCheckRequest(service=service))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND  # not looked at yet
                return False
            return bool(reply.status == SERVING)

        await eventually(serving)
    unknown = health.Check(health_pb2.HealthCheckRequest(service="nope"))
    assert (await refused(unknown)).code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_tells_the_contract(door: Door) -> None:
    channel: Any = door.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    reply = await call.read()
    names = {service.name for service in reply.list_services_response.service}
    assert names >= {f"tidings.v1.{name}Service" for name in ("Notifications", "Templates", "Recipients", "Inbox", "Admin")}
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="tidings.v1.NotificationsService"))
    assert (await call.read()).file_descriptor_response.file_descriptor_proto
    await call.done_writing()


@pytest.mark.parametrize(
    ("away", "fault", "hit", "spared"),
    [
        ("core.members.Members.beat", StoreUnavailable("away"), "", "tidings.v1.InboxService"),
        ("ledger.database.Database.execute", LedgerUnavailable("away"), "tidings.v1.InboxService", ""),
    ],
    ids=["Redis", "PostgreSQL"],
)
async def test_health_says_who_is_away_and_that_it_is_back(
    settings: Settings, store: Store, ledger: Ledger, away: str, fault: Exception, hit: str, spared: str
) -> None:
    async def refuse(*_: object) -> None:
        raise fault

    with pytest.MonkeyPatch.context() as always:
        always.setattr("gateway.vitals.BEAT_S", 0.05)
        async with gateway(settings, store, ledger) as door:
            stub: Any = health_pb2_grpc.HealthStub(door.channel)

            async def says(service: str, expected: int) -> bool:
                return bool((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status == expected)

            for service in (hit, spared):
                watch = stub.Watch(health_pb2.HealthCheckRequest(service=service))
                while (await watch.read()).status != SERVING:
                    pass  # not looked at yet
                watch.cancel()
            with pytest.MonkeyPatch.context() as meanwhile:
                meanwhile.setattr(away, refuse)
                await eventually(lambda: says(hit, NOT_SERVING))
                assert await says(spared, SERVING)
            await eventually(lambda: says(hit, SERVING))


@pytest.mark.parametrize("in_time", [True, False])
async def test_the_drain_waits_for_a_call_that_is_under_way_but_not_for_ever(
    settings: Settings, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, in_time: bool
) -> None:
    room = Room(places=1)
    monkeypatch.setattr("gateway.admission.Room", lambda: room)
    monkeypatch.setattr("gateway.server.NOTICE_S", 0.0)
    monkeypatch.setattr("gateway.server.DRAIN_S", 20.0 if in_time else 0.1)
    async with build(Context(settings, store)) as runnables:
        running = [asyncio.create_task(runnable.run()) for runnable in runnables]
        key = await ledger.keys.create("tests", ["send", "read", "admin"])
        server: Any = runnables[0]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            door = Door(store, ledger, "", "", channel, key)
            await door.put()
            async with room.place(Priority.HIGH, 1):
                under_way = asyncio.create_task(door.send(notification()))
                await eventually(lambda: room.waiting == 1)
                for runnable in runnables:
                    runnable.stop()
                if in_time:
                    await asyncio.sleep(0.5)  # the door is closed
                else:
                    await asyncio.wait_for(asyncio.gather(*running), 10)
            if in_time:
                assert (await under_way).notification_id
                await asyncio.wait_for(asyncio.gather(*running), 10)
            else:
                assert (await refused(under_way)).code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        assert len(await door.accepted()) == in_time


async def test_the_drain_says_so_first_finishes_what_is_under_way_and_ends_streams(
    settings: Settings, store: Store, ledger: Ledger
) -> None:
    async with build(Context(settings, store)) as runnables:
        running = [asyncio.create_task(runnable.run()) for runnable in runnables]
        key = await ledger.keys.create("tests", ["send", "read", "admin"])
        server: Any = runnables[0]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            door = Door(store, ledger, "", "", channel, key)
            await door.put()
            stub: Any = health_pb2_grpc.HealthStub(channel)
            health = stub.Watch(health_pb2.HealthCheckRequest(service=""))
            assert (await health.read()).status == SERVING
            watch = door.inbox.Watch(inbox_pb2.WatchRequest(recipient_id="ada"), metadata=door.auth)
            await watch.initial_metadata()
            stream = door.notifications.SendStream(metadata=door.auth)
            await stream.write(pb.SendStreamRequest(sequence=1, notification=notification()))
            reply: Any = await stream.read()
            assert reply.result.notification_id
            for runnable in runnables:
                runnable.stop()
            assert (await health.read()).status == NOT_SERVING
            assert (await door.send(notification())).notification_id  # the door is still open for a moment
            for call in (watch, stream):
                error = await refused(call.read())
                assert error.code() is grpc.StatusCode.UNAVAILABLE and details(error)[2]
            await asyncio.gather(*running)
            assert len(await door.accepted()) == 2


async def test_a_taken_port_is_told(settings: Settings, store: Store, ledger: Ledger) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for name in ("grpc_listen", "web_listen"):
            with pytest.raises(ConfigError, match=f"TIDINGS_{name.upper()}.*{address}"):
                async with build(Context(settings.model_copy(update={name: address}), store)):
                    pass


async def test_the_web_door_is_open(door: Door) -> None:
    host, port = door.web_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


def test_grpc_logs_go_where_all_logs_go() -> None:
    assert logging.getLogger("grpc").propagate
