"""`python -m bench.pending`: 1,000 due items served from pending lists of different lengths, on a real Valkey.

Items are put to wait by the senders' own settlement, under a consumer that then dies. Another one takes what is due and
settles it. Counted by Redis itself: commands (also those inside of scripts) and its microseconds. Both should be flat.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from bench.meter import machine
from core import keys
from core.census import census
from core.ids import new_id
from core.model import Channel, Priority
from core.store import Store
from core.streams import Append, Entry, Settlement, Streams, Wait
from fastpath import pack_frame, record
from fastpath.layout import DELIVERY
from tidings import embedded

SIZES = (1_000, 100_000, 1_000_000)
DUE = 1_000  # items that are due, of each size
CHUNK = 500  # items of a settlement, and of a slice that is taken
BUDGET = 256  # records in a slice, as core.station reads
NOW_MS = 1_700_000_000_000
LATER_MS = NOW_MS + 3_600_000  # when the others are due
SOURCES = [keys.outbound(0, Channel.EMAIL, priority) for priority in Priority]
MEDIUM = SOURCES[2]
COUNTED = "cmdstat_"
OURS = frozenset({"cmdstat_config|resetstat", "cmdstat_info"})  # the meter's own


async def fill(store: Store, size: int, due: int = DUE) -> None:
    """Puts `size` items to wait in the hand of a consumer that is never heard of again; `due` of them, spread out, are due."""
    dead = await Streams(store, keys.SENDERS, "dead").open()
    await dead.create_groups(SOURCES)
    frame = pack_frame([record(DELIVERY, id=new_id(0, Priority.MEDIUM, NOW_MS), type="bench", content=b"x" * 64)])
    every = size // due
    for first in range(0, size, CHUNK):
        numbers = range(first, min(first + CHUNK, size))
        waits = tuple(Wait(frame, NOW_MS if n % every == 0 and n // every < due else LATER_MS, 1) for n in numbers)
        await dead.append([Append(MEDIUM, frame)])
        (entry,) = await dead.take([MEDIUM], 0, 1)
        await dead.settle([Settlement(entry, waits=waits)])


async def serve(store: Store) -> int:
    """A living consumer takes and settles everything that is due; how many items."""
    alive = await Streams(store, keys.SENDERS, "alive").open()
    served = 0
    while entries := await alive.take(SOURCES, NOW_MS, BUDGET):
        served += len(entries)
        await alive.settle([Settlement(entry) for entry in entries])
    return served


async def beat(store: Store) -> None:
    """What a heartbeat, an adoption and the gateway's census ask about the same lists."""
    alive = await Streams(store, keys.SENDERS, "alive").open()
    await alive.create_groups(SOURCES)
    await alive.holders(SOURCES)
    await alive.held_by(MEDIUM, "dead", BUDGET)
    await alive.renew([Entry(MEDIUM, "1-1", b"", waiting=True)], NOW_MS)
    await alive.bury(SOURCES, ["alive"])
    await census(store, 1)


async def counted(store: Store, work: Callable[[], Awaitable[object]]) -> tuple[Any, dict[str, float]]:
    """What `work` returned, and what Redis counted meanwhile: commands, those inside of scripts too, and its CPU time."""
    await store.send([["CONFIG", "RESETSTAT"]])
    before, began = await _info(store), time.perf_counter()
    found = await work()
    wall_ms = (time.perf_counter() - began) * 1000
    after = await _info(store)
    calls = {name: int(value.split(",")[0].removeprefix("calls=")) for name, value in after.items() if name.startswith(COUNTED)}
    cpu_s = sum(float(after[name]) - float(before[name]) for name in ("used_cpu_user", "used_cpu_sys"))
    commands = sum(count for name, count in calls.items() if name not in OURS)
    return found, {"commands": commands, "redis_us": round(cpu_s * 1e6), "wall_ms": round(wall_ms, 1)}


async def _info(store: Store) -> dict[str, str]:
    """Redis' own counters."""
    (info,) = await store.send([["INFO", "cpu", "commandstats"]])
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


async def measure(store: Store, size: int) -> dict[str, Any]:
    """The figures of one size."""
    await store.send([["FLUSHALL"]])
    began = time.perf_counter()
    await fill(store, size)
    filled_s = time.perf_counter() - began
    served, serving = await counted(store, lambda: serve(store))
    if served != DUE:
        sys.exit(f"{served} items were served, {DUE} were due")
    _, beating = await counted(store, lambda: beat(store))
    return {"serving": serving, "beating": beating, "filled_s": round(filled_s, 1)}


async def run(sizes: Sequence[int]) -> dict[str, Any]:
    """All sizes on one Valkey of its own."""
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as folder:
        recipe = await asyncio.to_thread(embedded.valkey, Path(folder), durable=False)
        with embedded.running(recipe, Path(folder) / "valkey.log") as url:
            store = await Store.connect(url)
            try:
                return {str(size): await measure(store, size) for size in sizes}
            finally:
                await store.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="lengths of the pending list")
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    knobs = parser.parse_args()
    found = asyncio.run(run(knobs.sizes))
    if not knobs.json:
        for size, figures in found.items():
            for what in ("serving", "beating"):
                one = figures[what]
                print(f"{int(size):>10,} {what:8} {one['commands']:>7,} commands {one['redis_us']:>8,} us of Redis", flush=True)
    print(json.dumps({"workload": "pending", **machine(), "knobs": {"due": DUE, "budget": BUDGET}, "sizes": found}))


if __name__ == "__main__":
    main()
