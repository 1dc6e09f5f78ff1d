"""Results of workloads over time: a line of JSON for each run in bench/results/WORKLOAD.jsonl, the newest last."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def keep(result: dict[str, Any], folder: Path = RESULTS) -> None:
    """Appends a workload's result, with the date (UTC)."""
    folder.mkdir(exist_ok=True)
    line = {"date": datetime.now(UTC).isoformat(timespec="seconds"), **result}
    with (folder / f"{result['workload']}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def history(workload: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """All results of a workload, oldest first; [] if there are none."""
    file = folder / f"{workload}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def latest(workload: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """The newest result of a workload."""
    return next(reversed(history(workload, folder)), None)
