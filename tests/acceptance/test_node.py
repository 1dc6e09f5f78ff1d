"""The contract from another language: a Node.js client made from proto/ by @grpc/proto-loader sends and reads the status.

Needs Node.js and npm: red in CI where they are missing, skipped on a laptop.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running import system

HERE = Path(__file__).parent / "node"
PROTOS = Path(__file__).parents[2] / "proto"
pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]


def missing(reason: str) -> None:
    """Red in CI, skipped elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def node() -> str:
    """Node.js, with the packages of node/package-lock.json installed."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        missing("Node.js and npm are not installed")
    assert program is not None
    assert npm is not None
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run([npm, "ci"], cwd=HERE, capture_output=True, text=True, check=False, timeout=180)
        if done.returncode != 0:
            missing(f"npm ci failed: {done.stderr[-500:]}")
    return program


def test_a_client_made_by_another_languages_generator(node: str, tmp_path: Path) -> None:
    with system(tmp_path / "data") as up:
        command = [node, "client.mjs", up.target, up.api_key, str(PROTOS)]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["version"] == 1
    assert len(said["notification_id"]) == 36
    assert (said["priority"], said["provider"]) == ("PRIORITY_HIGH", "sendgrid")
    assert [status.removeprefix("STATUS_").lower() for status in said["timeline"]] == [
        "accepted",
        "queued",
        "sending",
        "sent",
        "delivered",
    ]
    assert said["refused"]["code"] == "INVALID_ARGUMENT"
    assert "recipient.email" in said["refused"]["details"]
    assert said["stranger"] == "UNAUTHENTICATED"
