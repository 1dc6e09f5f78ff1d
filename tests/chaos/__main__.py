"""`python -m tests.chaos --count 20000 --seed 7`: the proof at any size. The last line is JSON; status 1 if a book fails."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.chaos.run import ENVIRONMENT, Plan, play

console = Console(stderr=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="notifications to send (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="repeats a run (default: by the clock)")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for quiet (default: by count)")
    parser.add_argument("--keep", action="store_true", help="keep the data folder with all logs")
    return parser.parse_args()


def main() -> int:
    """Runs the proof; the exit status."""
    asked = arguments()
    os.environ.update(ENVIRONMENT)
    patience_s = asked.patience or 180 + asked.count / 500
    folder = Path(tempfile.mkdtemp(prefix="tidings-chaos-"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"seed {asked.seed}", total=asked.count)
        plan = Plan(asked.count, asked.seed, patience_s)
        run, report = asyncio.run(play(folder, plan, console.print, lambda n: bar.update(task, completed=n)))
    for problem in report.problems:
        console.print(f"[red]{problem}[/red]")
    if asked.keep or report.problems:
        console.print(f"logs: {folder}/logs; again: make chaos N={asked.count} SEED={asked.seed}")
    else:
        shutil.rmtree(folder)
    result = {
        "seed": asked.seed,
        "acknowledged": report.acknowledged,
        "refused": run.refused,
        "unanswered": run.unanswered,
        "sent": report.sent,
        "delivered": report.delivered,
        "dead": report.dead,
        "failed": report.failed,
        "unknown": report.unknown,
        "lost": report.lost,
        "duplicates": report.duplicates,
        "in_flight_at_kills": run.in_flight,
        "ambiguous": report.ambiguous,
        "recovery_s": run.recovery_s,
        "balanced": not report.problems,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(orjson.dumps(result).decode())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
