"""`python -m bench.pipeline`: the whole path, from SendBatch to the ledger, with everything on this machine.

Real processes as `tidings up` starts them: gateway, Valkey (AOF everysec), dispatcher, senders, ledger, PostgreSQL. Templates
in five languages, half of them HTML with a loop, half plain variables; one in ten repeats another's content within its dedupe
window and must be suppressed. Deliveries go to the in-app channel (stored in PostgreSQL), or with --channel email by
SendGrid's API to the sandbox. Requests are made before the clock starts; it stops when the ledger has recorded the last one.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

import fastpath
from bench.meter import counters, cpu_seconds, machine, resident_bytes, spread, spreads
from ledger import Ledger
from ledger.values import StoredRecipient
from tidings.aio import AsyncClient
from tidings.embedded import HOST
from tidings.up.run import running
from tidings.up.supervisor import System
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.types_pb2 import Channel

SEND_BATCH = "/tidings.v1.NotificationsService/SendBatch"
LANGUAGES = ("en", "de", "fr", "es", "pl")
REPEAT_EVERY = 10  # one in so many repeats the one before it
WINDOW_S = 3600
POLL_S = 0.2  # a look costs the station that is looked at milliseconds
SETTLE_S = 10.0  # what is recorded is settled a moment later
STALL_S = 60.0  # no progress for so long ends a run
PLAIN = "{{ name }}: {{ order }} ({{ total }})"
LOOP = "<h1>{{ name }}</h1><ul>{% for item in items %}<li>{{ item.title }}: {{ item.price }}</li>{% endfor %}</ul>"


@dataclass(frozen=True, slots=True)
class Run:
    """One run's figures."""

    accepted_per_s: float
    delivered_per_s: float
    recorded_per_s: float
    cpu_us: dict[str, float]  # of each process, per notification


async def prepare(system: System, client: AsyncClient, recipients: int) -> None:
    """Templates and recipients."""
    for name, text in (("plain", PLAIN), ("loop", LOOP)):
        contents: dict[str, Any] = {
            "email": {x: {"subject": f"{x} {{{{ order }}}}", "html": text, "text": PLAIN} for x in LANGUAGES},
            "in_app": {x: {"title": f"{x} {{{{ order }}}}", "body": text} for x in LANGUAGES},
        }
        await client.put_template(name, contents, variables=["name", "order", "total", "items?"])
    ledger = await Ledger.open(system.settings.database_url)
    try:
        people = [
            StoredRecipient(f"person-{i}", email=f"person-{i}@example.com", language=LANGUAGES[i % len(LANGUAGES)])
            for i in range(recipients)
        ]
        for start in range(0, recipients, 100):
            await asyncio.gather(*(ledger.recipients.upsert(person) for person in people[start : start + 100]))
    finally:
        await ledger.close()


def requests(count: int, batch: int, recipients: int, channel: str, dice: random.Random) -> list[bytes]:
    """Encoded SendBatchRequests of `count` notifications in all."""
    wanted = [Channel.Value(f"CHANNEL_{channel.upper()}")]
    run = f"{dice.getrandbits(48):012x}"
    items: list[pb.Notification] = []
    for i in range(count):
        if i % REPEAT_EVERY == REPEAT_EVERY - 1:
            items.append(items[-1])
            continue
        one = pb.Notification(type="order_update", template=("plain", "loop")[i % 2], channels=wanted, source="bench")
        one.recipient.recipient_id = f"person-{dice.randrange(recipients)}"
        one.dedupe_window.FromSeconds(WINDOW_S)
        goods = [{"title": f"thing {dice.randrange(1000)}", "price": f"{dice.randrange(100)}.00"} for _ in range(3)]
        one.data.update({"name": f"Person {i}", "order": f"{run}-{i}", "total": f"{i}.00", "items": goods})
        items.append(one)
    chunks = [items[start : start + batch] for start in range(0, count, batch)]
    return [pb.SendBatchRequest(notifications=chunk).SerializeToString() for chunk in chunks]


async def offer(system: System, bodies: Sequence[bytes], calls: int) -> float:
    """Sends everything, `calls` requests at a time; seconds until the last answer.

    Raises:
        RuntimeError: an item was refused.
    """
    waiting = iter(bodies)
    answers: list[bytes] = []
    metadata = (("authorization", f"Bearer {system.api_key}"),)

    async def caller(channel: grpc.aio.Channel) -> None:
        # Bytes in, bytes out: encoding is no part of the path.
        rpc: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SEND_BATCH)
        for body in waiting:
            answers.append(await rpc(body, metadata=metadata, timeout=60))

    began = time.perf_counter()
    async with grpc.aio.insecure_channel(system.ports.target) as channel:
        await asyncio.gather(*(caller(channel) for _ in range(calls)))
    taken = time.perf_counter() - began
    for answer in answers:
        for result in pb.SendBatchResponse.FromString(answer).results:
            if not result.notification_id:
                raise RuntimeError(f"refused: {result.error}")
    return taken


class Watch:
    """Looks at the counters of the last two stations until everything went through them."""

    def __init__(self, system: System, channel: str) -> None:
        metrics = {name: f"http://{HOST}:{port}/metrics" for name, port in system.ports.metrics.items()}
        self._sender, self._ledger = metrics[f"sender-{channel}"], metrics["ledger"]
        self._arrival = "delivered" if channel == "in_app" else "sent"

    async def look(self) -> tuple[float, float]:
        """Notifications delivered, and recorded with their end, since the processes started."""
        sender, ledger = await counters(self._sender), await counters(self._ledger)
        return sender.get(self._arrival, 0), ledger.get(self._arrival, 0) + ledger.get("suppressed", 0)

    async def until(self, delivered: float, recorded: float, began: float) -> tuple[float, float]:
        """Seconds since `began` until so many are delivered, and recorded.

        Raises:
            RuntimeError: nothing moves any more.
        """
        delivered_s = 0.0
        last, moved = (0.0, 0.0), time.perf_counter()
        while True:
            now_at = await self.look()
            now = time.perf_counter()
            if now_at != last:
                last, moved = now_at, now
            if not delivered_s and now_at[0] >= delivered:
                delivered_s = now - began
            if delivered_s and now_at[1] >= recorded:
                return delivered_s, now - began
            if now - moved > STALL_S:
                raise RuntimeError(
                    f"stalled: delivered {now_at[0]:.0f} of {delivered:.0f}, recorded {now_at[1]:.0f} of {recorded:.0f}"
                )
            await asyncio.sleep(POLL_S)


async def measure(system: System, pids: dict[str, int], bodies: Sequence[bytes], knobs: argparse.Namespace) -> Run:
    """One run."""
    count: int = knobs.count
    repeats = count // REPEAT_EVERY
    watch = Watch(system, knobs.channel)
    delivered, recorded = await watch.look()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    own, began = time.process_time(), time.perf_counter()
    accepting = asyncio.create_task(offer(system, bodies, knobs.calls))
    delivered_s, recorded_s = await watch.until(delivered + count - repeats, recorded + count, began)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()} | {"bench": time.process_time() - own}
    accepted_s = await accepting
    cpu_us = {name: round(seconds / count * 1e6, 2) for name, seconds in used.items() if seconds}
    return Run(count / accepted_s, (count - repeats) / delivered_s, count / recorded_s, cpu_us)


async def check_books(client: AsyncClient) -> None:
    """Raises RuntimeError if anything is left on the way."""
    ends = time.monotonic() + SETTLE_S
    while left := {s.stream: s.depth for s in (await client.stations()).streams if s.depth}:
        if time.monotonic() > ends:
            raise RuntimeError(f"left in the streams: {left}")
        await asyncio.sleep(POLL_S)


async def bench(knobs: argparse.Namespace) -> dict[str, Any]:
    """Everything: setup, a warm-up, the runs, the result."""

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    dice = random.Random(knobs.seed)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="tidings-bench-", ignore_cleanup_errors=True) as folder:
        async with running(Path(folder) / "data", say, fixed_ports=False) as (system, supervisor), system.client() as client:
            await prepare(system, client, knobs.recipients)
            for i in range(knobs.runs + 1):
                bodies = requests(knobs.count, knobs.batch, knobs.recipients, knobs.channel, dice)
                found = await measure(system, supervisor.pids, bodies, knobs)
                await check_books(client)
                say(f"{'run ' + str(i) if i else 'warm-up'}: {found}")
                runs += [found] if i else []
            memory = {name: round(resident_bytes(pid) / 2**20) for name, pid in supervisor.pids.items()}
    return {
        "workload": "pipeline",
        **machine(),
        "knobs": {**vars(knobs), "redis": "valkey, AOF everysec", "repeats_percent": 100 // REPEAT_EVERY},
        "accepted_per_s": spread(run.accepted_per_s for run in runs),
        "delivered_per_s": spread(run.delivered_per_s for run in runs),
        "recorded_per_s": spread(run.recorded_per_s for run in runs),
        "cpu_us": spreads([run.cpu_us for run in runs]),
        "cpu_us_sum": spread((sum(run.cpu_us.values()) for run in runs), 1),
        "resident_mib": memory,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000, help="notifications in a run")
    parser.add_argument("--batch", type=int, default=500, help="notifications in a call")
    parser.add_argument("--calls", type=int, default=4, help="calls at a time")
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--channel", choices=("in_app", "email"), default="in_app")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--allow-pure", action="store_true", help="measure although the native modules are not built")
    knobs = parser.parse_args()
    if not fastpath.NATIVE and not knobs.allow_pure:
        sys.exit(f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`, or give --allow-pure")
    print(json.dumps(asyncio.run(bench(knobs))))


if __name__ == "__main__":
    main()
