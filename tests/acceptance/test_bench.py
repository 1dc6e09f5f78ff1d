"""The benchmarks work: each at a tiny size, with the keys that others read. Their figures are nobody's business here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import WORKLOADS
from bench.report import ROOT

pytestmark = pytest.mark.timeout(240)


def run(name: str, *options: str) -> dict[str, Any]:
    """A workload's result."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TIDINGS_")}
    command = [sys.executable, "-m", f"bench.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False, timeout=220)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["workload"] == name
    assert {"cores", "commit", "versions", "knobs", "others", "memory_ns"} <= found.keys()
    return found


def test_fastpath() -> None:
    found = run("fastpath", "--seconds", "0.005", "--json")
    assert {"per_s", "ratio"} <= found["render_plain"].keys()


def test_priority() -> None:
    options = ("--count", "60000", "--critical", "50", "--others", "5", "--recipients", "200", "--runs", "1")
    found = run("priority", *options)
    assert found["critical_ms"].keys() == {"p50", "p99", "p999", "max"}
    assert found["calls"]["critical"] > 0
    assert found["drain_ratio"] > 0


def test_pipeline() -> None:
    options = ("--count", "2000", "--strangers", "1000", "--queued", "500", "--recipients", "200", "--runs", "1")
    found = run("pipeline", *options)
    for speeds in (found, found["strangers"]):
        assert {"accepted_per_s", "delivered_per_s", "recorded_per_s", "cpu_us"} <= speeds.keys()
        assert speeds["recorded_per_s"]["median"] > 0


def test_backlog() -> None:
    options = ("--sizes", "500", "1000", "--warm-up", "500", "--restart", "500", "--recipients", "200", "--runs", "1")
    found = run("backlog", *options)
    for size in ("500", "1000"):
        assert {"cpu_us", "bytes"} <= found[size].keys()
        # It was in Redis when it was weighed, and squeezed (core/squeeze.py).
        assert found[size]["encoded_bytes"] / 10 < found[size]["bytes"] < found[size]["encoded_bytes"]
    assert found["recovery_s"]["median"] >= found["redis_s"]["median"]
    assert found["postgres_bytes"]["delivery"] > 0


def test_peers_that_need_no_installation() -> None:
    found = run("peers", "--only", "redis", "tidings", "--count", "100", "--runs", "1", "--pipeline", "0", "--processes", "1")
    assert found["redis"]["median"] > 0
    assert found["tidings"]["median"] > 0


def test_every_workload_is_run_by_make_bench() -> None:
    """What has a `main` of its own and a result is in the list."""
    programs = {path.stem for path in Path(ROOT, "bench").glob("*.py") if '"workload":' in path.read_text()}
    assert programs <= WORKLOADS.keys() | {"peers"}


def test_an_unknown_workload_is_named() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "nothing"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing" in done.stderr and "priority" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"), [(["--help"], "Workloads: fastpath"), (["pipeline", "--help"], "`python -m bench.pipeline`")]
)
def test_help_teaches_and_runs_nothing(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
