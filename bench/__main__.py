"""`python -m bench`: every workload in turn, each in a process of its own; results go to bench/results/."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

WORKLOADS = ("pipeline",)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Runs the workloads named, or all; options go to each of them. Exits with how many failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; none runs all")
    known, options = parser.parse_known_args()
    if unknown := set(known.workloads) - set(WORKLOADS):
        parser.error(f"there is no workload {min(unknown)!r}")
    RESULTS.mkdir(exist_ok=True)
    failed = 0
    for name in known.workloads or WORKLOADS:
        command = [sys.executable, "-m", f"bench.{name}", *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            failed += 1
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(result))
    sys.exit(failed)


if __name__ == "__main__":
    main()
