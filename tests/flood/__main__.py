"""`python -m tests.flood --seconds 60`: the flood at any size. The last line is JSON; status 1 if a sum or a limit fails."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import orjson
from rich.console import Console

from tests.flood.books import Limits
from tests.flood.run import Plan, play

console = Console(stderr=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it lasts (default: %(default)s)")
    parser.add_argument("--capacity", type=float, default=200.0, help="messages a second that the provider takes")
    parser.add_argument("--factor", type=float, default=10.0, help="how many times that is offered (default: %(default)s)")
    parser.add_argument("--redis-mib", type=float, default=10.0, help="Redis' maxmemory (default: %(default)s)")
    parser.add_argument("--gateway-mib", type=float, default=400.0, help="the gateway's limit (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the data folder with all logs")
    return parser.parse_args()


def main() -> int:
    """Runs the proof; the exit status."""
    asked = arguments()
    folder = Path(tempfile.mkdtemp(prefix="tidings-flood-"))
    plan = Plan(asked.seconds, asked.capacity, asked.factor, Limits(asked.gateway_mib, asked.redis_mib))
    began = time.monotonic()
    flood = asyncio.run(play(folder, plan, console.print))
    for problem in flood.report.problems:
        console.print(f"[red]{problem}[/red]")
    if asked.keep or flood.report.problems:
        console.print(f"logs: {folder}/logs")
    else:
        shutil.rmtree(folder)
    result = {
        "sent": flood.answers.sent,
        "accepted": flood.report.accepted,
        "shed": flood.report.shed,
        "refused": flood.answers.refused,
        "unavailable": flood.answers.unavailable,
        "unclear": flood.answers.unclear.total(),
        "offered_per_s": round(flood.answers.sent / asked.seconds),
        "delivered_per_s": round(flood.report.delivered / asked.seconds),
        "critical": len(flood.answers.critical),
        "critical_ms": flood.report.critical_ms,
        "answer_ms": flood.report.answer_ms,
        "gateway_mib": flood.peaks.gateway_mib,
        "redis_mib": flood.peaks.redis_mib,
        "redis_limit_mib": asked.redis_mib,
        "balanced": not flood.report.problems,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(orjson.dumps(result).decode())
    return 1 if flood.report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
