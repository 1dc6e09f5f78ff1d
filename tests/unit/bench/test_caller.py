"""The benches' own gRPC caller, against grpc.aio's server over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from bench.caller import Caller, Refused, header_blocks

ECHO, FAIL = "/test.Service/Echo", "/test.Service/Fail"


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, grpc.aio.Server]]:
    async def echo(request: bytes, context: Any) -> bytes:
        key: str = dict(context.invocation_metadata())["authorization"]
        return key.encode() + b" " + request

    async def fail(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        raise AssertionError("abort raises")

    handlers: dict[str, Any] = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    }
    served = grpc.aio.server()
    served.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    port = served.add_insecure_port("127.0.0.1:0")
    await served.start()
    yield f"127.0.0.1:{port}", served
    await served.stop(None)


async def test_calls_at_once_and_one_after_another_are_answered(server: tuple[str, grpc.aio.Server]) -> None:
    caller = await Caller.connect(server[0], ECHO, "tk_1")
    messages = [b"%d" % i * (i % 300) for i in range(2_000)]  # far more than one window in all
    for start in range(0, len(messages), 50):
        some = messages[start : start + 50]
        assert await asyncio.gather(*map(caller.call, some)) == [b"Bearer tk_1 " + message for message in some]
    caller.close()


async def test_a_refusal_says_why(server: tuple[str, grpc.aio.Server]) -> None:
    caller = await Caller.connect(server[0], FAIL, "tk_1")
    for _ in range(2):
        with pytest.raises(Refused, match="not you"):
            await caller.call(b"me")
    caller.close()


async def test_who_waits_when_the_connection_ends_is_told(server: tuple[str, grpc.aio.Server]) -> None:
    caller = await Caller.connect(server[0], ECHO, "tk_1")
    await caller.call(b"first")
    await server[1].stop(None)
    with pytest.raises(Refused):
        await asyncio.wait_for(caller.call(b"late"), 10)


def test_a_header_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="126"):
        header_blocks([("authorization", "x" * 127)])
