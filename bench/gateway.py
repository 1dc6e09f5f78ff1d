"""`python -m bench.gateway`: acceptance alone, by SendBatch, Send and SendStream, against a bare grpc.aio server.

The gateway with real Redis (AOF everysec) and PostgreSQL, and an echo of the same messages, a process each; nothing reads what
is accepted. This process is the client; requests are encoded before the clock starts. The two servers take turns in the same
run. `batch_per_s` and the ratios go by the server's own CPU seconds, that is by what one core carries: where client, Redis and
servers share two cores, calls per second of wall time say who got a core; they stand beside as `wall`.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvloop

import fastpath
from bench.load import Load
from bench.meter import cpu_seconds, machine, spread
from bench.pipeline import LOOP, PLAIN
from core.config import child_environment
from core.settings import Settings
from core.store import Store
from ledger import Ledger
from tidings import embedded
from tidings.aio import AsyncClient
from tidings.v1 import notifications_pb2 as pb

METHODS = "/tidings.v1.NotificationsService/"
RECIPIENTS = 10_000
START_S = 60.0
DEPTH = 1_000_000_000  # nothing reads the streams here: that is no overload
VARIABLES = ["name", "order", "total", "items?"]
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers."""

    target: str
    pid: int
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Figure:
    """What one server did in one turn."""

    cpu_us: float  # of the server, per notification
    per_s: float  # notifications by wall time


async def by_calls(channel: grpc.aio.Channel, method: str, bodies: Iterable[bytes], side: Side, calls: int) -> list[bytes]:
    """Unary calls, `calls` at a time; the answers."""
    rpc: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHODS + method)
    waiting, answers = iter(bodies), []

    async def caller() -> None:
        for body in waiting:
            answers.append(await rpc(body, metadata=side.metadata, timeout=60))

    await asyncio.gather(*(caller() for _ in range(calls)))
    return answers


async def by_streams(channel: grpc.aio.Channel, bodies: Sequence[bytes], side: Side, calls: int) -> list[bytes]:
    """Streams, `calls` at a time, each with its share of the messages; the acknowledgements."""
    rpc: Any = channel.stream_stream(METHODS + "SendStream")
    answers: list[bytes] = []

    async def stream(share: Sequence[bytes]) -> None:
        async def messages() -> AsyncIterator[bytes]:
            for body in share:
                yield body

        async for answer in rpc(messages(), metadata=side.metadata):
            answers.append(answer)

    await asyncio.gather(*(stream(bodies[start::calls]) for start in range(calls)))
    return answers


Work = Callable[[grpc.aio.Channel, Side], Awaitable[list[bytes]]]


async def turn(side: Side, work: Work, count: int, accepted: Callable[[bytes], int]) -> Figure:
    """One server's turn.

    Raises:
        RuntimeError: something was refused.
    """
    async with grpc.aio.insecure_channel(side.target) as channel:
        await asyncio.wait_for(channel.channel_ready(), START_S)
        cpu, began = cpu_seconds(side.pid), time.perf_counter()
        answers = await work(channel, side)
        taken, used = time.perf_counter() - began, cpu_seconds(side.pid) - cpu
    if sum(map(accepted, answers)) != count:
        raise RuntimeError(f"not all of {count} were accepted; the last answer: {answers[-1]!r}")
    return Figure(used / count * 1e6, count / taken)


@asynccontextmanager
async def process(*arguments: str, environment: dict[str, str], say: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python of ours for as long as the context lasts; `say`: its standard output can be read."""
    out = asyncio.subprocess.PIPE if say else None
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, env=environment, stdout=out)
    try:
        yield child
    finally:
        child.terminate()
        await child.wait()


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[tuple[Side, Side, Store]]:
    """The gateway with its stores, and the echo server."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(embedded.running(embedded.valkey(folder / "valkey"), folder / "valkey.log"))
        base = stack.enter_context(embedded.running(embedded.postgres(folder / "postgres"), folder / "postgres.log"))
        ledger = await Ledger.open(base, migrate=True)
        key = await ledger.keys.create("bench", ["send", "admin"])
        await ledger.close()
        target, web = (f"{embedded.HOST}:{embedded.free_port()}" for _ in range(2))
        settings = Settings(
            redis_url=redis, database_url=base, grpc_listen=target, web_listen=web, overload_depth=DEPTH, log_level="WARNING"
        )
        environment = child_environment(settings.model_copy(update={"secret_key": "bench" * 8, "allow_pure": True}))
        ours = await stack.enter_async_context(process("gateway", environment=environment))
        echo = await stack.enter_async_context(process("bench.echo", environment=child_environment(Settings()), say=True))
        assert echo.stdout is not None
        port = int(await echo.stdout.readline())
        client = await stack.enter_async_context(AsyncClient(target, key, tls=False))
        for name, text in (("plain", PLAIN), ("loop", LOOP)):
            await client.put_template(name, {"in_app": {"en": {"title": "{{ order }}", "body": text}}}, variables=VARIABLES)
        store = await Store.connect(redis)
        stack.push_async_callback(store.close)
        metadata = (("authorization", f"Bearer {key}"),)
        yield Side(target, ours.pid, metadata), Side(f"{embedded.HOST}:{port}", echo.pid, metadata), store


def works(knobs: argparse.Namespace, dice: random.Random) -> dict[str, tuple[Work, int, Callable[[bytes], int]]]:
    """What is asked of both: the work, its notifications, how many an answer accepts."""
    batches = list(Load(knobs.batch, RECIPIENTS, "in_app", dice).bodies(knobs.count))
    items = [n for body in batches for n in pb.SendBatchRequest.FromString(body).notifications][: knobs.calls]
    unary = [pb.SendRequest(notification=n).SerializeToString() for n in items]
    stream = [pb.SendStreamRequest(sequence=i, notification=n).SerializeToString() for i, n in enumerate(items)]
    if knobs.keys:
        batches = [keyed(body, dice) for body in batches]
    return {
        "batch": (
            lambda channel, side: by_calls(channel, "SendBatch", batches, side, knobs.parallel_batches),
            knobs.count,
            lambda answer: sum(bool(r.notification_id) for r in pb.SendBatchResponse.FromString(answer).results),
        ),
        "unary": (
            lambda channel, side: by_calls(channel, "Send", unary, side, knobs.parallel),
            len(unary),
            lambda answer: bool(pb.SendResponse.FromString(answer).notification_id),
        ),
        "stream": (
            lambda channel, side: by_streams(channel, stream, side, knobs.streams),
            len(stream),
            lambda answer: bool(pb.SendStreamResponse.FromString(answer).result.notification_id),
        ),
    }


def keyed(body: bytes, dice: random.Random) -> bytes:
    """The same batch with an idempotency key for each notification."""
    request = pb.SendBatchRequest.FromString(body)
    for each in request.notifications:
        each.idempotency_key = f"{dice.getrandbits(96):024x}"
    return request.SerializeToString()


async def bench(knobs: argparse.Namespace) -> dict[str, Any]:
    """Everything: setup, a warm-up, the runs, the result."""
    found: dict[str, list[tuple[Figure, Figure]]] = {}
    with tempfile.TemporaryDirectory(prefix="tidings-bench-", ignore_cleanup_errors=True) as folder:
        async with servers(Path(folder)) as (gateway, echo, store):
            for i in range(knobs.runs + 1):
                for name, (work, count, accepted) in works(knobs, random.Random(knobs.seed + i)).items():
                    pair = (await turn(gateway, work, count, accepted), await turn(echo, work, count, accepted))
                    await store.send([["FLUSHDB"]])
                    print(f"{f'run {i}' if i else 'warm-up'}: {name}: gateway {pair[0]}, echo {pair[1]}", file=sys.stderr)
                    if i:
                        found.setdefault(name, []).append(pair)
    figures: dict[str, Any] = {
        "batch_per_s": spread(1e6 / ours.cpu_us for ours, _ in found["batch"]),
        **{f"{n}_ratio": spread((echo.cpu_us / ours.cpu_us for ours, echo in found[n]), 3) for n in ("unary", "stream")},
        "cpu_us": {name: spread((ours.cpu_us for ours, _ in pairs), 2) for name, pairs in found.items()},
        "echo_cpu_us": {name: spread((echo.cpu_us for _, echo in pairs), 2) for name, pairs in found.items()},
        "wall": {
            "batch_per_s": spread(ours.per_s for ours, _ in found["batch"]),
            **{f"{n}_ratio": spread((ours.per_s / echo.per_s for ours, echo in found[n]), 3) for n in ("unary", "stream")},
        },
    }
    return {"workload": "gateway", **machine(), "knobs": {**vars(knobs), "redis": "valkey, AOF everysec"}, **figures}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200_000, help="notifications of a run in batches")
    parser.add_argument("--batch", type=int, default=1000, help="notifications in a call of SendBatch")
    parser.add_argument("--parallel-batches", type=int, default=4, help="calls of SendBatch at a time")
    parser.add_argument("--keys", action="store_true", help="an idempotency key for each notification of a batch")
    parser.add_argument("--calls", type=int, default=10_000, help="notifications of a run by Send, and by SendStream")
    parser.add_argument("--parallel", type=int, default=64, help="calls of Send at a time")
    parser.add_argument("--streams", type=int, default=4, help="streams at a time")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--allow-pure", action="store_true", help="measure although the native modules are not built")
    knobs = parser.parse_args()
    if not fastpath.NATIVE and not knobs.allow_pure:
        sys.exit(f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`, or give --allow-pure")
    print(json.dumps(uvloop.run(bench(knobs))))


if __name__ == "__main__":
    main()
