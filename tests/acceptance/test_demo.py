"""`tidings demo` and `tidings up` as a person runs them: what they show, and that nothing of them stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.helpers import eventually
from tests.running import system
from tidings.embedded import POSTGRES_TUNABLES
from tidings.up.folder import claim

pytestmark = pytest.mark.timeout(180)
PROVIDERS = ["sendgrid", "smtp", "twilio", "fcm", "apns", "in_app"]


class Place:
    """A folder for the data, and empty ones where a program might leave something else."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.elsewhere = [root / "home", root / "tmp", root / "run", root / "cwd"]
        for folder in self.elsewhere:
            folder.mkdir()
        home, tmp, run, self.cwd = self.elsewhere
        self.environment = os.environ | {"HOME": str(home), "TMPDIR": str(tmp), "XDG_RUNTIME_DIR": str(run), "COLUMNS": "120"}
        self.environment["PYTHONPATH"] = os.getcwd()

    @contextmanager
    def demo(self, *words: str) -> Iterator["subprocess.Popen[str]"]:
        """The demo, with stderr in stdout unless --json is asked for."""
        command = [sys.executable, "-m", "tidings", "demo", "--data", str(self.data), *words]
        errors = None if words else subprocess.STDOUT
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=self.cwd, env=self.environment
        ) as process:
            yield process

    def assert_nothing_stays(self) -> None:
        """No process, no file elsewhere; the folder is free at once (every process of a run holds its lock)."""
        assert self.processes() == []
        assert [file for folder in self.elsewhere for file in folder.rglob("*")] == []
        claim(self.data).close()

    def processes(self) -> list[str]:
        """Command lines of living processes that were started for this place."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                known = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
                dead = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if str(self.data).encode() in known and not dead:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def until(process: "subprocess.Popen[str]", word: str) -> None:
    """Read on until a line has the word."""
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    raise AssertionError(f"ended without saying {word!r}")


def test_one_notification_per_provider_is_delivered(place: Place) -> None:
    with place.demo("--json") as process:
        said: dict[str, Any] = json.loads(process.communicate()[0])
    assert process.returncode == 0, said
    assert said["ok"] is True
    found = {item["provider"]: item["notification"] for item in said["notifications"]}
    assert list(found) == PROVIDERS
    for provider, notification in found.items():
        (delivery,) = notification["deliveries"]
        assert (delivery["provider"], delivery["status"]) == (provider, "delivered")
        assert [event["status"] for event in delivery["timeline"]] == ["accepted", "queued", "sending", "sent", "delivered"]
    assert len({n["deliveries"][0]["language"] for n in found.values()}) >= 2
    place.assert_nothing_stays()


@pytest.mark.parametrize("word", ["demo in", "valkey", "sandbox", "Sending"])
def test_interrupted_at_any_time_it_leaves_nothing(place: Place, word: str) -> None:
    with place.demo() as process:
        until(process, word)
        process.send_signal(signal.SIGINT)
        rest = process.communicate()[0]
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    place.assert_nothing_stays()


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")


@LINUX
async def test_killed_in_the_middle_it_leaves_nothing(place: Place) -> None:
    with place.demo() as process:
        until(process, "Sending")
        process.kill()
    await eventually(lambda: not place.processes(), 20)
    place.assert_nothing_stays()


@LINUX
async def test_killed_at_the_start_the_next_run_shows_all_as_a_person_sees_it(place: Place) -> None:
    with place.demo() as process:
        until(process, "valkey")
        process.kill()
    with place.demo() as process:  # at once: it waits for what is still on its way out
        shown = process.communicate()[0]
    assert process.returncode == 0, shown
    for title in ("E-mail by SendGrid", "E-mail by SMTP", "SMS by Twilio", "Push by FCM", "Push by APNs", "In-app message"):
        assert title in shown
    assert shown.count("since accept") == len(PROVIDERS)
    assert "All 6 delivered" in shown
    place.assert_nothing_stays()


def test_two_in_one_folder_are_refused(place: Place) -> None:
    with place.demo() as first:
        until(first, "valkey")
        with place.demo() as second:
            said = second.communicate()[0]
        assert second.returncode == 78, said
        assert f"in use by process {first.pid}" in " ".join(said.split())
        first.send_signal(signal.SIGINT)
        first.communicate()
    place.assert_nothing_stays()


async def test_up_starts_a_dead_station_again_and_stops_in_order(place: Place) -> None:
    with system(place.data) as up:
        tunables = psutil.Process(up.processes["postgresql"]).environ()["GLIBC_TUNABLES"]
        assert tunables in (POSTGRES_TUNABLES, POSTGRES_TUNABLES.split(":")[0])  # glibc may have cut it up where it stands
        started = time.time()
        os.kill(up.processes["ledger"], signal.SIGKILL)
        log = place.data / "logs" / "ledger.log"
        await eventually(lambda: log.read_text().count('"started"') == 2, 30)
        assert time.time() - started < 30
    ends = {}
    for name in ("gateway", "dispatcher", "sender-email", "ledger"):
        lines = [json.loads(line) for line in (place.data / "logs" / f"{name}.log").read_text().splitlines() if line[0] == "{"]
        assert lines[-1]["message"] == "drained", lines[-1]
        ends[name] = lines[-1]["time"]
    assert list(ends) == sorted(ends, key=lambda name: ends[name])
    place.assert_nothing_stays()


def test_with_servers_of_ones_own_none_is_started(place: Place, redis_url: str, database_url: str) -> None:
    place.environment |= {"TIDINGS_REDIS_URL": redis_url, "TIDINGS_DATABASE_URL": database_url}
    place.environment["TIDINGS_EMAIL_PROVIDERS"] = "smtp"  # other settings do not change the demo
    with place.demo("--json") as process:
        said = json.loads(process.communicate()[0])
    assert (process.returncode, said["ok"]) == (0, True), said
    assert not {"valkey", "postgres"} & {file.name for file in place.data.iterdir()}
    place.assert_nothing_stays()
