"""Both clients against a gateway that misbehaves on purpose: refusals, breaks in the middle of a stream, dead addresses."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry import trace

import tidings
from tidings.embedded import free_port
from tidings.messages import NotificationFields
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.notifications_pb2_grpc import NotificationsServiceServicer, add_NotificationsServiceServicer_to_server

FIELDS: NotificationFields = {"type": "hello", "template": "hello", "recipient": "u1"}


class Moody(NotificationsServiceServicer):
    """Answers by a script; keeps what it was asked."""

    Get = List = SendBatch = None  # type: ignore[assignment]  # not asked for here

    def __init__(self) -> None:
        self.refusals: list[status_pb2.Status] = []
        self.break_after: list[int] = []  # acknowledgements of each successive stream before it breaks
        self.seen: list[pb.Notification] = []
        self.metadata: list[dict[str, Any]] = []

    async def Send(self, request: pb.SendRequest, context: Any) -> pb.SendResponse:
        self.seen.append(request.notification)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.refusals:
            await context.abort_with_status(rpc_status.to_status(self.refusals.pop(0)))
        return pb.SendResponse(notification_id="n1")

    async def SendStream(
        self, request_iterator: AsyncIterator[pb.SendStreamRequest], context: Any
    ) -> AsyncIterator[pb.SendStreamResponse]:
        left = self.break_after.pop(0) if self.break_after else -1
        async for request in request_iterator:
            self.seen.append(request.notification)
            if left == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            left -= 1
            result = pb.SendResult(notification_id=request.notification.type)
            yield pb.SendStreamResponse(sequence=request.sequence, result=result)


def status(code: grpc.StatusCode, *details: Any) -> status_pb2.Status:
    boxes = []
    for detail in details:
        box = AnyMessage()
        box.Pack(detail)
        boxes.append(box)
    return status_pb2.Status(code=code.value[0], message="no", details=boxes)


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[Moody, str]]:
    moody = Moody()
    server = grpc.aio.server()
    add_NotificationsServiceServicer_to_server(moody, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield moody, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


Run = Callable[..., Awaitable[Any]]  # (target, method, argument, patience in seconds, tls)


async def blocking(target: str, method: str, argument: Any, patience: float, tls: Any = False) -> Any:
    def call() -> Any:
        with tidings.Client(target, "key", tls=tls, timeout=patience) as client:
            return list(client.stream(argument)) if method == "stream" else getattr(client, method)(**argument)

    return await asyncio.to_thread(call)


async def asynchronous(target: str, method: str, argument: Any, patience: float, tls: Any = False) -> Any:
    async with tidings.AsyncClient(target, "key", tls=tls, timeout=patience) as client:
        if method == "stream":
            return [result async for result in client.stream(argument)]
        return await getattr(client, method)(**argument)


@pytest.fixture(params=[blocking, asynchronous], ids=["Client", "AsyncClient"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


async def test_refusals_for_the_moment_are_outlived_under_one_key(run: Run) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(20)
    async with gateway() as (moody, target):
        moody.refusals = [
            status(grpc.StatusCode.UNAVAILABLE),
            status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry),
        ]
        result = await run(target, "send", FIELDS, 20)
    assert result == tidings.Result("n1")
    assert len(moody.seen) == 3
    assert len({n.idempotency_key for n in moody.seen}) == 1
    assert {m["authorization"] for m in moody.metadata} == {"Bearer key"}


async def test_a_wish_beyond_the_deadline_is_told_at_once(run: Run) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(3600)
    async with gateway() as (moody, target):
        moody.refusals = [status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry)]
        with pytest.raises(tidings.Overloaded) as caught:
            await run(target, "send", FIELDS, 20)
    assert caught.value.retry_after == 3600
    assert len(moody.seen) == 1


async def test_violations_arrive_as_an_exception(run: Run) -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="notification.type", description="no", reason="INVALID_FORMAT")
    async with gateway() as (moody, target):
        moody.refusals = [status(grpc.StatusCode.INVALID_ARGUMENT, bad)]
        with pytest.raises(tidings.InvalidRequest) as caught:
            await run(target, "send", FIELDS, 20)
    assert caught.value.violations == (tidings.Violation("notification.type", "no", "invalid_format"),)
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert len(moody.seen) == 1


async def test_nobody_there(run: Run) -> None:
    with pytest.raises(tidings.Unavailable):
        await run(f"127.0.0.1:{free_port()}", "send", FIELDS, 0.5)


async def test_a_stream_that_breaks_goes_on_where_it_was(run: Run) -> None:
    items: list[NotificationFields] = [{**FIELDS, "type": f"t{i}"} for i in range(300)]
    async with gateway() as (moody, target):
        moody.break_after = [100, 0, 50]
        results = await run(target, "stream", items, 20)
    assert [r.notification_id for r in results] == [f"t{i}" for i in range(300)]
    keys = Counter(n.idempotency_key for n in moody.seen)
    assert len(keys) == 300  # what was sent again had its old key


async def test_a_stream_longer_than_its_window(run: Run) -> None:
    items: list[NotificationFields] = [{**FIELDS, "type": f"t{i}"} for i in range(2_500)]
    async with gateway() as (_, target):
        results = await run(target, "stream", items, 20)
    assert [r.notification_id for r in results] == [f"t{i}" for i in range(2_500)]


async def test_a_streams_bad_items_take_their_place_in_the_results(run: Run) -> None:
    items: list[Any] = [{**FIELDS, "type": "a"}, {**FIELDS, "priority": "urgent"}, {**FIELDS, "type": "b"}, {"type": "c"}]
    async with gateway() as (_, target):
        results = await run(target, "stream", items, 20)
    assert [r.notification_id for r in results] == ["a", "", "b", ""]
    assert [type(r.error) for r in results] == [type(None), tidings.InvalidRequest, type(None), tidings.InvalidRequest]


async def test_a_stream_that_cannot_be_opened_gives_up(run: Run) -> None:
    with pytest.raises(tidings.Unavailable):
        await run(f"127.0.0.1:{free_port()}", "stream", [FIELDS], 0.5)


async def test_the_callers_own_failure_comes_back_to_it(run: Run) -> None:
    def items() -> Iterator[NotificationFields]:
        yield FIELDS
        raise LookupError("the caller's database")

    async with gateway() as (_, target):
        with pytest.raises(LookupError):
            await run(target, "stream", items(), 20)


async def test_a_stream_may_be_left_early() -> None:
    async with gateway() as (_, target), tidings.AsyncClient(target, tls=False) as client:
        stream = client.stream({**FIELDS, "type": f"t{i}"} for i in range(5_000))
        async for result in stream:
            assert result.notification_id == "t0"
            break
        await stream.aclose()  # type: ignore[attr-defined]


async def test_the_trace_of_the_caller_goes_along(run: Run) -> None:
    class Context(trace.SpanContext):
        pass

    async with gateway() as (moody, target):
        parent = trace.NonRecordingSpan(Context(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1)))
        with trace.use_span(parent):
            await run(target, "send", FIELDS, 20)
        await run(target, "send", FIELDS, 20)
    assert moody.metadata[0]["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert "traceparent" not in moody.metadata[1]
