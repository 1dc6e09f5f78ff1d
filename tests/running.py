"""A whole system for tests that need one: `tidings up` as a process, in a folder of its own, ended by Ctrl-C."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STOP_S = 60


@dataclass(frozen=True, slots=True)
class Up:
    """What `tidings up --json` said once everything was healthy."""

    target: str
    api_key: str
    web: str
    sandbox: str
    processes: dict[str, int]
    folder: Path


@contextmanager
def system(folder: Path) -> Iterator[Up]:
    """Starts it; what it says on the way goes to the test's stderr."""
    command = [sys.executable, "-m", "tidings", "up", "--json", "--any-ports", "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = _document(process)
            yield Up(said["target"], said["api_key"], said["web"], said["sandbox"], said["processes"], folder)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_S)
    assert process.returncode == 0


def _document(process: subprocess.Popen[str]) -> dict[str, Any]:
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            found: dict[str, Any] = json.loads("".join(lines))
            return found
    raise AssertionError(f"tidings up did not start: {''.join(lines)}")
