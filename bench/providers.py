"""`python -m bench.providers`: senders over real HTTP and SMTP to the provider sandbox, against a bare client in the same run.

Both make the same requests, as many at a time. On the side of tidings that is everything but Redis: frames are unpacked, gates
passed, bodies built, answers read, outcomes written. The frames and the bare client's requests are ready before the clock
starts. The two take turns, a pair gives a ratio; the sandbox, a process of its own, costs both the same. Also: e-mails in
each call to SendGrid.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

import fastpath
from bench import rivals
from bench.cases import CASES, Case, deliveries
from bench.meter import machine, spread
from core.metrics import PROVIDER_REQUEST
from core.process import collect_rarely
from core.settings import Settings
from core.station import Batch
from core.streams import Entry, Settlement
from fastpath import Record, pack_frame
from senders.provider import Message
from senders.station import SenderHandler, policy_of

FRAME = 50  # deliveries in an entry
SLICE = 10  # entries in a batch: as many records as the station's loop takes at once
IN_HAND = 16  # batches at a time, as with four partitions
START_S = 30.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's turn: wall seconds and CPU seconds of this process."""

    wall_s: float
    cpu_s: float


async def timed(work: Awaitable[None]) -> Turn:
    """What `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    return Turn(time.perf_counter() - wall, time.process_time() - cpu)


def frames_of(items: Sequence[Record]) -> list[bytes]:
    """The dispatcher's work."""
    return [pack_frame(items[start : start + FRAME]) for start in range(0, len(items), FRAME)]


async def deliver(handler: SenderHandler, frames: Sequence[bytes], count: int) -> None:
    """Everything that a sender does with the `count` deliveries of `frames` once they are read, but for settling in Redis.

    Raises:
        RuntimeError: not all of them were taken.
    """
    entries = [Entry("out", f"{i}-1", frame) for i, frame in enumerate(frames)]
    slices = iter([entries[start : start + SLICE] for start in range(0, len(entries), SLICE)])
    taken = 0

    async def settle(settlements: Sequence[Settlement]) -> list[bool]:
        nonlocal taken
        taken += sum(int.from_bytes(append.frame[4:8], "little") for each in settlements for append in each.appends)
        if any(each.waits for each in settlements):
            raise RuntimeError("the sandbox refused some")
        return [True] * len(settlements)

    async def place() -> None:
        for part in slices:
            await settle(await handler.handle(Batch(0, part, settle)))

    await asyncio.gather(*(place() for _ in range(IN_HAND)))
    if taken < count:
        raise RuntimeError(f"{taken} outcomes of {count} deliveries")


def calls_made(provider: str) -> float:
    """How many calls the senders of this process have made to a provider that were answered well."""
    samples = [sample for family in PROVIDER_REQUEST.collect() for sample in family.samples]
    wanted = {"provider": provider, "result": "ok"}
    return sum(s.value for s in samples if s.name.endswith("_count") and s.labels == wanted)


async def compare(case: Case, settings: Settings, count: int, rounds: int) -> dict[str, Any]:
    """Both sides of a case, in turns; the first pair warms up."""
    items = deliveries(case, count)
    requests = await case.requests(settings, [Message(item) for item in items])
    frames, carrier = frames_of(items), case.open(settings)
    handler = SenderHandler(case.channel, carrier, policy_of(settings))
    turns: list[dict[str, Turn]] = []
    async with case.rival(settings) as rival:
        sides = {"ours": lambda: deliver(handler, frames, count), "bare": lambda: rivals.offer(rival, requests, case.calls)}
        for turn in range(rounds + 1):
            if turn == 1:
                made = calls_made(case.provider)
            turns.append({name: await timed(sides[name]()) for name in sorted(sides, reverse=turn % 2 == 0)})
    turns = turns[1:]
    await carrier.close()
    return {
        "ratio": round(statistics.median(turn["bare"].wall_s / turn["ours"].wall_s for turn in turns), 3),
        "per_s": {name: spread(count / turn[name].wall_s for turn in turns) for name in sides},
        "cpu_us": {name: spread((turn[name].cpu_s / count * 1e6 for turn in turns), 1) for name in sides},
        "messages_per_call": round(count * rounds / (calls_made(case.provider) - made), 1),
    }


@asynccontextmanager
async def sandbox(folder: Path) -> AsyncIterator[Settings]:
    """The sandbox as a process of its own, which loses what it owes to webhooks; settings that lead to it.

    Raises:
        TimeoutError: it did not start.
    """
    port_file = folder / "sandbox.json"
    command = [sys.executable, "-m", "tidings.sandbox", "--data", str(folder / "sandbox"), "--port-file", str(port_file)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        async with asyncio.timeout(START_S):
            told = json.loads(await process.stdout.readline() if process.stdout else b"")
        weather = rivals.Request(f"{told['url']}/webhooks", {"content-type": "application/json"}, b'{"drop_percent": 100}')
        async with rivals.http(1) as client:
            await client.send(iter([weather]))
        yield settings_of(told["environment"])
    finally:
        process.terminate()
        await process.wait()


def settings_of(environment: dict[str, str]) -> Settings:
    """Settings from TIDINGS_* variables, and what a sandbox does not tell."""
    tree: dict[str, Any] = {"secret_key": "only-for-the-bench", "email_from": "Shop <news@shop.example>"}
    for name, value in environment.items():
        *groups, last = name.removeprefix("TIDINGS_").lower().split("__")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return Settings.model_validate(tree)


async def bench(knobs: argparse.Namespace) -> dict[str, Any]:
    """Every case that is asked for."""
    found: dict[str, dict[str, Any]] = {}
    collect_rarely()  # as a station does
    with tempfile.TemporaryDirectory(prefix="tidings-bench-", ignore_cleanup_errors=True) as folder:
        async with sandbox(Path(folder)) as settings:
            for case in CASES:
                if knobs.only and case.name not in knobs.only:
                    continue
                count = max(int(knobs.count * case.share) // FRAME, 1) * FRAME
                figures = found[case.name] = await compare(case, settings, count, knobs.rounds)
                if not knobs.json:
                    print(f"{case.name:6} {json.dumps(figures)}", flush=True)
    return {
        "workload": "providers",
        **machine(),
        "knobs": vars(knobs) | {"frame": FRAME, "in_hand": IN_HAND},
        "providers": {name: figures["ratio"] for name, figures in found.items()},
        "emails_per_call": found.get("email", {}).get("messages_per_call"),
        "details": found,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="messages in a turn, before each channel's share of it")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each pair")
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES], help="this one; may be repeated")
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    knobs = parser.parse_args()
    if not fastpath.NATIVE:
        sys.exit(f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`")
    print(json.dumps(uvloop.run(bench(knobs))))


if __name__ == "__main__":
    main()
