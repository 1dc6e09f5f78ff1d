"""`python -m bench.priority`: a backlog of low ones drains, and critical ones arrive at a steady rate all the while.

Open loop: a call is made at its appointed time whether or not earlier ones were answered, and latency counts from that time, so
that a system that stands still is not asked less. It ends when the provider has answered, as the timeline in PostgreSQL says
(milliseconds). The drain's speed is that between a tenth and nine tenths of the backlog; with and without the others by turns.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

from bench.arrivals import STAGES, arrivals
from bench.meter import cpu_seconds, machine, percentiles, require_native, say, spread
from bench.openloop import Call, Load
from bench.pipeline import check_books, prepare
from bench.progress import ARRIVED, Progress
from bench.stock import bench_settings, choose_channel, connected, fill, held, records
from core.model import Priority
from ledger import Ledger
from tidings.up.run import running
from tidings.up.supervisor import Supervisor, System

URGENT = (Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM)
SPAN = (0.1, 0.9)  # of the backlog: between these the drain's speed is taken
WARM_UP = 60_000  # low ones of the drain that is not counted, at most


@dataclass(frozen=True, slots=True)
class Round:
    """One drain: low ones delivered a second, CPU of each process (us per low one), and the calls made meanwhile.

    `found` is what became of the calls (by id, see bench/arrivals.py).
    """

    drained_per_s: float
    cpu_us: dict[str, float]
    calls: Sequence[Call] = ()
    found: dict[str, dict[str, float]] = field(default_factory=dict)


async def drain(
    system: System, supervisor: Supervisor, knobs: argparse.Namespace, dice: random.Random, rates: dict[Priority, float]
) -> Round:
    """One drain: a backlog is laid in, and drains while the load of `rates` (perhaps none) arrives."""
    pids = supervisor.pids
    progress = Progress(system, knobs.channel)
    before = await progress.delivered(Priority.LOW)
    async with held(pids["dispatcher"]), connected(system.settings) as store:
        await fill(store, system.settings, records(knobs.count, system.settings, knobs.recipients, knobs.channel, dice))
        load = Load(system, knobs.channel, knobs.recipients, rates, dice)
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    offering = asyncio.create_task(load.run())
    try:
        per_s = await progress.speed(Priority.LOW, knobs.count, before, SPAN)
    finally:
        load.stop()
    await offering
    cpu_us = {name: round((cpu_seconds(pid) - used[name]) / knobs.count * 1e6, 2) for name, pid in pids.items()}
    return Round(per_s, {name: us for name, us in cpu_us.items() if us}, load.calls)


async def once(knobs: argparse.Namespace, number: int, rates: dict[Priority, float]) -> Round:
    """A new system: setup, a warm-up, one drain, and what became of its calls."""
    dice = random.Random(knobs.seed + number)
    with tempfile.TemporaryDirectory(prefix="tidings-bench-", ignore_cleanup_errors=True) as folder:
        up = running(Path(folder) / "data", say, fixed_ports=False, given=bench_settings())
        async with up as (system, supervisor), system.client() as client:
            await prepare(system, client, knobs.recipients)
            warm = argparse.Namespace(**{**vars(knobs), "count": min(knobs.count, WARM_UP)})
            await drain(system, supervisor, warm, dice, rates)
            await check_books(client)
            found = await drain(system, supervisor, knobs, dice, rates)
            say(f"{'with' if rates else 'without'} the load: {found.drained_per_s:,.0f} low ones a second")
            await check_books(client)
            ledger = await Ledger.open(system.settings.database_url)
            try:
                return replace(found, found=await arrivals(ledger, found.calls))
            finally:
                await ledger.close()


async def bench(knobs: argparse.Namespace) -> dict[str, Any]:
    """All rounds, alone and under load by turns, each on a system of its own: what one leaves is not the next one's burden."""
    rates = dict(zip(URGENT, (knobs.critical, knobs.others, knobs.others), strict=True))
    rates = {priority: rate for priority, rate in rates.items() if rate > 0}
    alone: list[Round] = []
    under: list[Round] = []
    for number in range(knobs.runs):
        for rounds, load in ((alone, {}), (under, rates)):
            rounds.append(await once(knobs, number, load))
    return {"workload": "priority", **machine(), "knobs": vars(knobs), **figures(alone, under)}


def figures(alone: Sequence[Round], under: Sequence[Round]) -> dict[str, Any]:
    """The result of rounds without and with the load."""
    calls = [call for one in under for call in one.calls]
    found = {id_: stages for one in under for id_, stages in one.found.items()}

    def latency(priority: Priority, stages: Iterable[str]) -> list[float]:
        return [sum(found[call.id][stage] for stage in stages) for call in calls if call.priority is priority]

    present = [priority for priority in URGENT if any(call.priority is priority for call in calls)]
    return {
        **{f"{p.name.lower()}_ms": percentiles(latency(p, STAGES)) for p in present},
        "from_accept_ms": {p.name.lower(): percentiles(latency(p, STAGES[1:])) for p in present},
        "critical_stages_ms": {stage: percentiles(latency(Priority.CRITICAL, [stage])) for stage in STAGES},
        "calls_late_ms": percentiles(call.late_ms for call in calls),
        "answered_ms": percentiles(c.answered_ms - c.due_ms for c in calls if c.priority is Priority.CRITICAL),
        "calls": {p.name.lower(): sum(call.priority is p for call in calls) for p in present},
        "drain_alone_per_s": spread(one.drained_per_s for one in alone),
        "drain_loaded_per_s": spread(one.drained_per_s for one in under),
        "drain_ratio": round(
            spread([one.drained_per_s for one in under])["median"] / spread([one.drained_per_s for one in alone])["median"], 3
        ),
        "drain_ratio_of_pairs": spread((u.drained_per_s / a.drained_per_s for a, u in zip(alone, under, strict=True)), 3),
        "cpu_us": under[-1].cpu_us,
        "cpu_alone_us": alone[-1].cpu_us,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="low ones in a backlog")
    parser.add_argument("--critical", type=float, default=200.0, help="critical ones a second")
    parser.add_argument("--others", type=float, default=5.0, help="high ones a second, and as many medium ones")
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--channel", choices=sorted(ARRIVED), default=choose_channel())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    knobs = parser.parse_args()
    require_native()
    print(json.dumps(uvloop.run(bench(knobs))))


if __name__ == "__main__":
    main()
