"""A hundred malformed requests of different kinds: each is told its field, and the server's log knows no traceback."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError

from core.config import child_environment
from core.settings import Settings
from ledger import Ledger
from tests.acceptance.malformed import DAMAGED, SEND, TEMPLATE, Case, cases, good
from tests.helpers import eventually
from tests.integration.gateway_kit import Door, details
from tests.unit.gateway.samples import template
from tidings.v1 import notifications_pb2
from tidings.v1.types_pb2 import ErrorReason

CASES = list(cases())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Process(Door):
    """`python -m gateway`, and its log."""

    log: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
async def gateway(settings: Settings, ledger: Ledger, tmp_path: Path) -> AsyncIterator[Process]:
    """A gateway process with real Redis and PostgreSQL; it must end well when asked to."""
    target, log = f"127.0.0.1:{free_port()}", tmp_path / "gateway.log"
    changes = {"grpc_listen": target, "web_listen": f"127.0.0.1:{free_port()}", "log_level": "DEBUG", "allow_pure": True}
    environment = child_environment(settings.model_copy(update=changes))
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", env=environment, stderr=sink)
    key = await ledger.keys.create("tests", ["send", "read", "admin"])
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            found = Process(None, ledger, target, "", channel, key)  # type: ignore[arg-type]  # Redis is the process's
            found.log = log
            await found.put(TEMPLATE)
            yield found
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 30)
    assert code == 0, log.read_text()


async def call(gateway: Process, case: Case) -> grpc.aio.AioRpcError:
    """Sends the case's bytes as they are; the error that comes back."""
    invoke: Any = gateway.channel.unary_stream(case.method)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await invoke(case.body, metadata=gateway.auth).read()
    return caught.value


def test_the_cases_are_a_hundred_kinds_and_really_malformed() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 100
    assert len({(case.method, case.body) for case in CASES}) == len(CASES)
    for name, body in DAMAGED:
        with pytest.raises(DecodeError):
            notifications_pb2.SendRequest.FromString(body)
            raise AssertionError(name)


async def test_each_names_its_field_and_the_log_knows_no_traceback(gateway: Process) -> None:
    assert (await gateway.send(good())).notification_id  # what the cases break is whole
    await gateway.put(template().name)
    wrong: dict[str, object] = {}
    for case in CASES:
        error = await call(gateway, case)
        reason, violations, _ = details(error)
        expected = f"ERROR_REASON_{case.reason}"
        if error.code() is not case.code or violations.get(case.field) != expected or reason not in violations.values():
            wrong[case.name] = (error.code(), error.details(), violations)
    assert wrong == {}
    assert (await gateway.send(good())).notification_id  # and the server is as well as before
    assert_quiet(gateway)


async def test_bad_items_of_a_batch_are_told_one_by_one_and_the_good_ones_go_through(gateway: Process) -> None:
    request = notifications_pb2.SendBatchRequest()
    for _, change, _, _ in SEND:
        bad = good()
        change(bad)
        request.notifications.extend([bad, good()])
    response = await gateway.notifications.SendBatch(request, metadata=gateway.auth)
    results = list(response.results)
    assert all(result.notification_id and not result.HasField("error") for result in results[1::2])
    for (name, _, field, reason), result in zip(SEND, results[::2], strict=True):
        found = {v.field: ErrorReason.Name(v.reason) for v in result.error.violations}
        assert found.get(field) == f"ERROR_REASON_{reason}" and result.error.code == 3, (name, found)
        assert not result.notification_id
    assert_quiet(gateway)


async def test_a_damaged_message_ends_its_stream_and_nothing_else(gateway: Process) -> None:
    stream: Any = gateway.channel.stream_stream("/tidings.v1.NotificationsService/SendStream")(metadata=gateway.auth)
    whole = notifications_pb2.SendStreamRequest(sequence=1, notification=good())
    await stream.write(whole.SerializeToString())
    reply = notifications_pb2.SendStreamResponse.FromString(await stream.read())
    assert reply.sequence == 1 and reply.result.notification_id
    await stream.write(b"\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value)[1] == {"request": "ERROR_REASON_INVALID_FORMAT"}
    assert (await gateway.send(good())).notification_id
    assert_quiet(gateway)


async def test_bytes_that_are_not_even_http_leave_no_traceback(gateway: Process) -> None:
    host, _, port = gateway.target.partition(":")
    for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 1000):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(noise)
        await writer.drain()
        writer.close()
    await eventually(lambda: gateway.log.read_text() != "")
    assert (await gateway.send(good())).notification_id
    assert_quiet(gateway)


def assert_quiet(gateway: Process) -> None:
    """No traceback, no error, nobody's address."""
    text = gateway.log.read_text()
    assert "Traceback" not in text
    assert [line for line in gateway.lines() if "exception" in line or line["level"] in ("ERROR", "CRITICAL")] == []
    assert "example.com" not in text and "4915112345678" not in text
