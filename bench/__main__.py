"""`python -m bench [WORKLOAD...] [--quick] [OPTIONS]`: workloads in turn, each in a process of its own.

Their results are kept in bench/results/ and shown in bench/README.md and docs/performance.md. With --quick everything runs at a
size that shows that it works; such figures are printed and not kept. Other options go to each of the workloads.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile

from bench import report
from bench.history import keep

# Every workload, and its options for --quick.
WORKLOADS: dict[str, tuple[str, ...]] = {
    "fastpath": ("--seconds", "0.1", "--json"),
    "gateway": ("--count", "10000", "--calls", "1000", "--runs", "1"),
    "pipeline": ("--count", "10000", "--runs", "1"),
    "priority": ("--count", "60000", "--runs", "1"),
    "providers": ("--count", "2000", "--rounds", "1"),
    "peers": ("--count", "500", "--runs", "1", "--pipeline", "0"),
    "pending": ("--sizes", "1000", "20000"),
    "backlog": ("--sizes", "2000", "20000", "--restart", "20000", "--runs", "1"),
}
QUICK = "--quick"


def main(arguments: Sequence[str]) -> int:
    """Runs the workloads named first, or all; how many failed."""
    names = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if unknown := set(names) - WORKLOADS.keys():
        sys.exit(f"there is no workload {min(unknown)!r}; there are {', '.join(WORKLOADS)}")
    options = [word for word in arguments[len(names) :] if word != QUICK]
    if {"-h", "--help"} & set(options):
        return teach(names)
    quick, failed = QUICK in arguments, 0
    for name in names or WORKLOADS:
        print(f"bench.{name}", file=sys.stderr, flush=True)
        result = run(name, [*(WORKLOADS[name] if quick else ()), *options])
        if result is None:
            failed += 1
            continue
        print(json.dumps(result), flush=True)
        if not quick:
            keep(result)
    if not quick:
        report.main()
    return failed


def teach(names: Sequence[str]) -> int:
    """Says how to use this, or the workloads named, and runs none."""
    if not names:
        print(f"{(__doc__ or '').rstrip()}\n\nWorkloads: {', '.join(WORKLOADS)}")
    return sum(subprocess.run([sys.executable, "-m", f"bench.{name}", "--help"], check=False).returncode for name in names)


def run(name: str, options: Sequence[str]) -> dict[str, object] | None:
    """One workload's result: the last line that it prints; None if it failed."""
    done = subprocess.run([sys.executable, "-m", f"bench.{name}", *options], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode or not done.stdout:
        print(f"bench.{name} failed with {done.returncode}", file=sys.stderr, flush=True)
        return None
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
