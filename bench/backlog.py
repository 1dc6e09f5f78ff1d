"""`python -m bench.backlog`: what a notification costs as the backlog grows, in CPU, Redis and PostgreSQL; and a restart.

A backlog is laid into the inbound streams while the dispatcher is held still; then it drains, and the books must be equal.
Each run has a new system, in which the sizes go up after a warm-up. Then every station and Redis are killed at once under a
full backlog (--restart) and `tidings up` starts them again: the clock stops when the first one is delivered.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.footprint import Footprint, footprint, mark_bytes, redis_bytes
from bench.meter import awake, cpu_seconds, machine, require_native, say, spread
from bench.pipeline import check_books, prepare
from bench.progress import ARRIVED, Progress
from bench.stock import Stock, bench_settings, choose_channel, connected, fill, held, records
from core.errors import StoreError
from ledger.database import connect
from tidings.aio import AsyncClient
from tidings.up.run import running
from tidings.up.supervisor import Supervisor, System

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
WARM_UP = 2_500_000  # every recipient is known; PostgreSQL's buffers are full, and its log is long enough to reuse its files
SMALL, DRAINS = 100_000, 5  # below this a sample has so many drains
KNOWN = 5  # notifications to each recipient on average: all but one in 150 get one
NAP_S = 10  # autovacuum looks so often, not once a minute: what a drain leaves to it is done before the next
ON_DISK_S = 2.0  # appendfsync everysec: what is older than this survives a kill
LIVE_S = 120.0  # a system that delivers nothing so long after a restart has failed
POLL_S = 0.05
SERVERS_KEPT = ("postgresql", "sandbox")  # what the restart leaves alone


@dataclass(frozen=True, slots=True)
class Drain:
    """One backlog from the first notification read to the last one recorded."""

    stock: Stock
    redis_bytes: int  # more in Redis than before it was laid in
    seconds: float
    cpu_s: dict[str, float]  # of each process


@dataclass(frozen=True, slots=True)
class Sample:
    """Drains of one size, one after another, and what PostgreSQL had to write out when they were over."""

    drains: list[Drain]
    tidying_s: float  # CPU

    def cpu_us(self) -> dict[str, float]:
        """CPU of each process that used some, per notification."""
        count = sum(drain.stock.count for drain in self.drains)
        spent = {name: sum(drain.cpu_s[name] for drain in self.drains) for name in self.drains[0].cpu_s}
        spent["postgresql"] += self.tidying_s
        return {name: seconds / count * 1e6 for name, seconds in spent.items() if seconds}


class Yard:
    """A system with backlogs laid into it."""

    def __init__(self, system: System, supervisor: Supervisor, client: AsyncClient, knobs: argparse.Namespace) -> None:
        self._system, self._supervisor, self._client, self._knobs = system, supervisor, client, knobs
        self._progress = Progress(system, knobs.channel)
        self._dice = random.Random(knobs.seed)
        self.laid = 0  # notifications so far

    async def warm_up(self, count: int) -> None:
        """Has autovacuum look every NAP_S; then a drain that nobody counts."""
        async with await connect(self._system.settings.database_url) as connection:
            await connection.execute(f"alter system set autovacuum_naptime = {NAP_S}".encode())
            await connection.execute(b"select pg_reload_conf()")
        await self.drain(count)
        await self._tidy(count)

    async def lay(self, count: int) -> tuple[Stock, int]:
        """Lays in a backlog, with the dispatcher held still by the caller; what was appended and what it takes in Redis."""
        knobs, settings = self._knobs, self._system.settings
        async with connected(settings) as store:
            before = await redis_bytes(store)
            stock = await fill(store, settings, records(count, settings, knobs.recipients, knobs.channel, self._dice))
            self.laid += stock.count
            return stock, await redis_bytes(store) - before

    async def sample(self, size: int) -> Sample:
        """Drains of a size, several if they are small: CPU comes in steps of 10 ms, PostgreSQL's checkpoints in minutes.

        Everybody is known before: the dispatcher asks for a recipient anew after a minute, however many notifications wait.

        Raises:
            RuntimeError: as `drain`.
        """
        await self.drain(KNOWN * self._knobs.recipients)
        drains = [await self.drain(size) for _ in range(DRAINS if size < SMALL else 1)]
        return Sample(drains, await self._tidy(size))

    async def drain(self, count: int) -> Drain:
        """Lays in a backlog and lets it drain.

        Raises:
            RuntimeError: it stalled, or something is left in the streams.
        """
        delivered, recorded = await self._progress.delivered(), await self._progress.recorded()
        async with held(self._supervisor.pids["dispatcher"]):
            stock, taken = await self.lay(count)
            if count >= SMALL:
                await self._rewrite_log()
        used, began = self._used(), time.perf_counter()
        await self._progress.until(delivered + count, recorded + count)
        drain = Drain(stock, taken, time.perf_counter() - began, self._used_since(used))
        await check_books(self._client)
        return drain

    def _used(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._supervisor.pids.items()}

    def _used_since(self, before: dict[str, float]) -> dict[str, float]:
        return {name: now - before[name] for name, now in self._used().items()}

    async def _tidy(self, size: int) -> float:
        """Has PostgreSQL tidy up: a checkpoint, and before it autovacuum's turn if there can be work for it. Its CPU, seconds.

        So each sample pays for its own pages, and for no other's.
        """
        server = self._supervisor.pids["postgresql"]
        before = cpu_seconds(server)
        if size >= SMALL:
            await asyncio.sleep(NAP_S + 2)
        async with await connect(self._system.settings.database_url) as connection:
            await connection.execute(b"checkpoint")
        return cpu_seconds(server) - before

    async def _rewrite_log(self) -> None:
        """Has the append-only file rewritten: what was laid into it is not the drain's to rewrite."""
        async with connected(self._system.settings) as store:
            await store.send([["BGREWRITEAOF"]])
            while True:
                (said,) = await store.send([["INFO", "persistence"]])
                if b"aof_rewrite_in_progress:0" in said and b"aof_rewrite_scheduled:0" in said:
                    return
                await asyncio.sleep(POLL_S)

    async def restart(self, count: int) -> dict[str, float]:
        """Kills the stations and Redis under a backlog; seconds from that moment until each is there again.

        Raises:
            RuntimeError: nothing was delivered for LIVE_S, or not all that was in the backlog.
        """
        dispatcher = self._supervisor.pids["dispatcher"]
        async with held(dispatcher):
            await self.lay(count)
            await asyncio.sleep(ON_DISK_S)
            began = time.perf_counter()
            for name, pid in self._supervisor.pids.items():
                if name not in SERVERS_KEPT and pid != dispatcher:
                    os.kill(pid, signal.SIGKILL)
            os.kill(dispatcher, signal.SIGKILL)
        redis_s = await self._until_redis(began)
        first_s = await self._until_delivered(1, began)
        await self._until_delivered(count, began)
        await check_books(self._client)
        return {"redis_s": round(redis_s, 2), "recovery_s": round(first_s, 2)}

    async def _until_redis(self, began: float) -> float:
        while time.perf_counter() - began < LIVE_S:
            with suppress(StoreError):  # away, or still reading its file
                async with connected(self._system.settings):
                    return time.perf_counter() - began
            await asyncio.sleep(POLL_S)
        raise RuntimeError(f"Redis is not back after {LIVE_S:g} s")

    async def _until_delivered(self, count: int, began: float) -> float:
        """Seconds since `began` when the new sender has delivered so many."""
        last, moved = 0.0, time.perf_counter()
        while True:
            with suppress(OSError):  # not started yet
                if (now := await self._progress.delivered()) != last:
                    last, moved = now, time.perf_counter()
            if last >= count:
                return time.perf_counter() - began
            if time.perf_counter() - moved > LIVE_S:
                raise RuntimeError(f"{last:.0f} of {count} were delivered after the restart, and no more for {LIVE_S:g} s")
            await asyncio.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Round:
    """A run on a system of its own: the samples of each size, what they left, the restart."""

    samples: dict[int, list[Sample]]
    left: dict[str, Any]
    restart: dict[str, float] | None


def interleaved(sizes: Sequence[int]) -> list[int]:
    """1 2 1 3 1 2 1: before and after each size the smaller ones.

    What the system keeps grows from drain to drain, and a machine's neighbours come and go: both must weigh on small backlogs
    as on large ones.
    """
    order: list[int] = []
    for size in sizes:
        order = [*order, size, *order]
    return order


async def once(knobs: argparse.Namespace) -> Round:
    """A new system: setup, a warm-up, the sizes, the restart."""
    samples: dict[int, list[Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="tidings-bench-", ignore_cleanup_errors=True) as folder:
        up = running(Path(folder) / "data", say, fixed_ports=False, given=bench_settings())
        async with up as (system, supervisor), system.client() as client:
            await prepare(system, client, knobs.recipients)
            yard = Yard(system, supervisor, client, knobs)
            await yard.warm_up(knobs.warm_up)
            before, laid = await footprint(system), yard.laid
            with awake():
                for size in interleaved(knobs.sizes):
                    sample = await yard.sample(size)
                    samples.setdefault(size, []).append(sample)
                    each = sample.drains[0].redis_bytes / size
                    say(f"{size:,}: {sum(sample.cpu_us().values()):.1f} us, {each:.0f} bytes each in Redis")
            after, laid = await footprint(system), yard.laid - laid
            async with connected(system.settings) as store:
                mark = await mark_bytes(store)
            restart = await yard.restart(knobs.restart) if knobs.restart else None
            say(f"restart with {knobs.restart:,}: {restart}")
    return Round(samples, {**Footprint.difference(before, after, laid), "mark_bytes": mark}, restart)


async def bench(knobs: argparse.Namespace) -> dict[str, Any]:
    """All runs, each on a system of its own: what five million leave to do is not the next small one's cost."""
    rounds = [await once(knobs) for _ in range(knobs.runs)]
    found = {**figures([one.samples for one in rounds]), **rounds[-1].left}
    restarts = [one.restart for one in rounds if one.restart is not None]
    return {"workload": "backlog", **machine(), "knobs": vars(knobs), **found, **_restarts(restarts)}


def figures(rounds: Sequence[dict[int, list[Sample]]]) -> dict[str, Any]:
    """For each size the CPU (us) and Redis memory (bytes) of a notification; `encoded_bytes` is its share of its frame.

    A run's figure is the mean of its samples, so that what PostgreSQL tidies up meanwhile is in it; medians are of the runs.
    `dearest_to_cheapest` compares the sizes.
    """
    found: dict[str, Any] = {}
    for size in rounds[0]:
        runs = [[sample.cpu_us() for sample in one[size]] for one in rounds]
        drains = [drain for one in rounds for sample in one[size] for drain in sample.drains]
        names = sorted({name for some in runs for one in some for name in one})
        cpu_us = {name: [statistics.mean(one.get(name, 0.0) for one in some) for some in runs] for name in names}
        sums = spread((sum(one) for one in zip(*cpu_us.values(), strict=True)), 1)
        taken = spread((one.redis_bytes / size for one in drains), 1)
        encoded = spread((one.stock.frame_bytes / size for one in drains), 1)["median"]
        found[str(size)] = {
            "cpu_us": sums["median"],
            "cpu_us_spread": sums,
            "cpu_us_by_process": {name: spread(us, 1)["median"] for name, us in cpu_us.items()},
            "bytes": taken["median"],
            "encoded_bytes": encoded,
            "memory_ratio": round(taken["median"] / encoded, 3),
            "recorded_per_s": spread(size / one.seconds for one in drains),
        }
    costs = [one["cpu_us"] for one in found.values()]
    return found | {"dearest_to_cheapest": round(max(costs) / min(costs), 3)}


def _restarts(restarts: Sequence[dict[str, float]]) -> dict[str, Any]:
    return {name: spread((one[name] for one in restarts), 2) for name in ("recovery_s", "redis_s") if restarts}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="backlogs, smallest first")
    parser.add_argument("--restart", type=int, default=1_000_000, help="the backlog of the restart; 0 for none")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="notifications before the first of them")
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--channel", choices=sorted(ARRIVED), default=choose_channel())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    knobs = parser.parse_args()
    require_native()
    print(json.dumps(asyncio.run(bench(knobs))))


if __name__ == "__main__":
    main()
