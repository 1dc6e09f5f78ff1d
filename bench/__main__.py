"""`python -m bench [WORKLOAD...] [OPTIONS]`: workloads in turn, each in a process of its own; results go to bench/results/."""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

WORKLOADS = ("fastpath", "gateway", "pipeline", "providers", "pending")
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Runs the workloads named first, or all; the options that follow go to each of them. How many failed."""
    names = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if unknown := set(names) - set(WORKLOADS):
        sys.exit(f"there is no workload {min(unknown)!r}; there are {', '.join(WORKLOADS)}")
    options = arguments[len(names) :]
    RESULTS.mkdir(exist_ok=True)
    failed = 0
    for name in names or WORKLOADS:
        done = subprocess.run([sys.executable, "-m", f"bench.{name}", *options], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode or not done.stdout:
            failed += bool(done.returncode)
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(result))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
