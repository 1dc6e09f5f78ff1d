"""`python -m bench.peers`: the same job on task queues, a plain redis-py loop and tidings' dispatcher, by turns, on one Valkey.

Each queue is filled before the clock starts, then as many worker processes as there are cores work it off; the figure is the
rate between a tenth and nine tenths of the messages, so that no start, warm-up or end is in it. What each contender is set
to is said in its module. `tidings_pipeline` is bench.pipeline's whole path with everything that the others leave out.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.meter import machine, require_native, spread
from bench.peers import job, on_tidings
from bench.peers.environments import ROOT, python_for, versions_in
from bench.stock import connected
from core.config import child_environment
from core.settings import Settings
from core.store import Store
from tidings import embedded

FROM, TO = 0.1, 0.9  # of the messages: between these the rate is taken
POLL_S = 0.02
STALL_S = 60.0
STOP_S = 10.0
SECRET = "only-for-benchmarks-0123456789"
PIPELINE_COUNT = 500_000  # ten seconds of it: at the edges of a short run stations wait for each other


@dataclass(frozen=True, slots=True)
class Contender:
    """Who does the job.

    Attributes:
        name: as in the results.
        share: how many messages it gets, as a multiple of --count: the fast ones need more to be measured.
        requirements: its environment; "" is the project's own.
        forks: it starts as many processes as it is told by itself.
        most: processes that it gains from; 0 is any number.
    """

    name: str
    share: int
    requirements: str = ""
    forks: bool = False
    most: int = 0


CONTENDERS = (
    Contender("celery", 1, "requirements.txt", forks=True),
    Contender("dramatiq", 2, "requirements.txt"),
    Contender("taskiq", 1, "requirements.txt"),
    Contender("arq", 1, "requirements-arq.txt", most=1),  # two reach for the same jobs and are slower than one
    Contender("redis", 20),
    Contender("tidings", 40),
)


class Ring:
    """Where they meet: one Valkey, one PostgreSQL, empty before each turn."""

    def __init__(self, store: Store, settings: Settings, folder: Path) -> None:
        self._store, self._settings, self._log = store, settings, folder / "workers.log"
        self._bare = child_environment(Settings())  # nothing of ours

    async def turn(self, who: Contender, count: int, seed: int, processes: int) -> float:
        """One contender's messages a second.

        Raises:
            RuntimeError: it stalled, or ended; the message has the end of its log.
        """
        await self._store.send([["FLUSHALL"]])
        processes = min(processes, who.most or processes)
        if who.name == "tidings":
            entries = await on_tidings.lay(self._store, self._settings, count, seed)
            commands, environment = [[sys.executable, "-m", "dispatcher"]] * processes, on_tidings.environment(self._settings)

            async def left() -> float:
                return await on_tidings.entries_left(self._store, self._settings) / entries
        else:
            module = [python_for(who.requirements) if who.requirements else sys.executable, "-m", f"bench.peers.on_{who.name}"]
            url, environment = self._settings.redis_url, self._bare
            fill = [*module, "fill", url, str(count), str(seed)]
            await asyncio.to_thread(subprocess.run, fill, check=True, cwd=ROOT, env=environment)
            commands = [[*module, "work", url, str(processes)]] * (1 if who.forks else processes)

            async def left() -> float:
                (length,) = await self._store.send([["LLEN", job.OUT]])
                return 1 - int(length) / count

        with self._working(commands, environment) as workers:
            return count * await self._rate(left, workers)

    async def _rate(self, left: Callable[[], Awaitable[float]], workers: Sequence[subprocess.Popen[bytes]]) -> float:
        """Shares of the whole a second, between FROM and TO."""
        marks: list[tuple[float, float]] = []
        last, moved = 1.0, time.perf_counter()
        while len(marks) < 2:
            now_left, now = await left(), time.perf_counter()
            if now_left != last:
                last, moved = now_left, now
            if 1 - now_left >= (FROM, TO)[len(marks)]:
                marks.append((1 - now_left, now))
            if now - moved > STALL_S or any(worker.poll() is not None for worker in workers):
                raise RuntimeError(f"stopped with {last:.0%} left: {embedded.tail(self._log)}")
            await asyncio.sleep(POLL_S)
        (first, began), (second, ended) = marks
        return (second - first) / (ended - began)

    @contextmanager
    def _working(
        self, commands: Sequence[Sequence[str]], environment: Mapping[str, str]
    ) -> Iterator[list[subprocess.Popen[bytes]]]:
        workers: list[subprocess.Popen[bytes]] = []
        with self._log.open("wb") as words:
            try:
                for command in commands:
                    bound = embedded.spawn_command(command, on_parent_death=signal.SIGKILL)
                    workers.append(subprocess.Popen(bound, stdout=words, stderr=words, cwd=ROOT, env=dict(environment)))
                yield workers
            finally:
                for worker in workers:
                    worker.terminate()
                for worker in workers:
                    _end(worker)


def _end(worker: subprocess.Popen[bytes]) -> None:
    try:
        worker.wait(STOP_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def pipeline(knobs: argparse.Namespace) -> dict[str, float]:
    """bench.pipeline's recorded notifications a second, in the same session."""
    command = [sys.executable, "-m", "bench.pipeline", "--count", str(knobs.pipeline), "--runs", str(knobs.runs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["recorded_per_s"]
    return found


async def bench(knobs: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Messages a second of every contender chosen."""
    chosen = [one for one in CONTENDERS if one.name in knobs.only]
    rates: dict[str, list[float]] = {one.name: [] for one in chosen}
    with tempfile.TemporaryDirectory(prefix="tidings-peers-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        valkey, postgres = embedded.valkey(folder / "valkey"), embedded.postgres(folder / "postgres")
        with (
            embedded.running(valkey, folder / "valkey.log") as redis_url,
            embedded.running(postgres, folder / "postgres.log") as database_url,
        ):
            values = {"redis_url": redis_url, "database_url": database_url, "secret_key": SECRET}
            settings = Settings.model_validate(values)
            await on_tidings.prepare(database_url)
            async with connected(settings) as store:
                ring = Ring(store, settings, folder)
                for run in range(knobs.runs):
                    for one in chosen:
                        per_s = await ring.turn(one, one.share * knobs.count, knobs.seed + run, knobs.processes)
                        print(f"{one.name:10} {per_s:>10,.0f}/s", file=sys.stderr, flush=True)
                        rates[one.name].append(per_s)
    return {who: spread(found) for who, found in rates.items()}


def result(knobs: argparse.Namespace, found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Everything that is printed: rates, how many times as fast the whole path is, versions."""
    whole = found.get("tidings_pipeline")
    ratios = {who: round(whole["median"] / one["median"], 2) for who, one in found.items()} if whole else {}
    files = sorted({one.requirements for one in CONTENDERS if one.name in knobs.only and one.requirements})
    versions = {name: versions_in(python_for(name)) for name in files}
    return {"workload": "peers", **machine(), "knobs": vars(knobs), **found, "pipeline_ratio": ratios, "environments": versions}


def main() -> None:
    """The command line."""
    names = [one.name for one in CONTENDERS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5_000, help="messages of a slow contender; fast ones get more")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these contenders")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="worker processes of each")
    parser.add_argument("--pipeline", type=int, default=PIPELINE_COUNT, help="notifications of bench.pipeline; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    knobs = parser.parse_args()
    require_native()
    found = asyncio.run(bench(knobs))
    if knobs.pipeline:
        found["tidings_pipeline"] = pipeline(knobs)
    print(json.dumps(result(knobs, found)))


if __name__ == "__main__":
    main()
