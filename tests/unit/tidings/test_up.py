"""The supervisor's decisions and its folder; whole systems are started in tests/acceptance."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.config import Settings
from core.errors import ConfigError
from tests.helpers import eventually
from tidings.embedded import spawn_command
from tidings.up import folder as folders
from tidings.up.plan import STATIONS, STOP_ORDER, choose_ports, local_settings, station_plans

TAKEN = {8080, 9102}


def pick(wanted: int) -> int:
    pick.next += 1  # type: ignore[attr-defined]
    return wanted if wanted and wanted not in TAKEN else pick.next  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _ports() -> None:
    pick.next = 40_000  # type: ignore[attr-defined]


def test_up_takes_the_usual_ports_where_they_are_free() -> None:
    ports = choose_ports(Settings(), pick, fixed=True)
    assert ports.target == "127.0.0.1:50051"
    assert ports.web > 40_000
    assert ports.metrics["gateway"] == 9101
    assert ports.metrics["dispatcher"] > 40_000


def test_the_demo_takes_any_so_that_it_runs_beside_up() -> None:
    ports = choose_ports(Settings(), pick, fixed=False)
    taken = [ports.grpc, ports.web, ports.sandbox, ports.apns, ports.smtp, *ports.metrics.values()]
    assert min(taken) > 40_000
    assert len(set(taken)) == len(taken)


def test_settings_are_filled_in_and_the_operators_stay() -> None:
    ports = choose_ports(Settings(), pick, fixed=False)
    given = Settings(email_from="me@example.com", web_public_url="https://tidings.example.com", partitions=2)
    made = local_settings(given, ports, redis_url="redis://r", database_url="postgresql://p", secret_key="s" * 20, sandbox=True)
    assert (made.redis_url, made.database_url) == ("redis://r", "postgresql://p")
    assert made.grpc_listen == ports.target
    assert (made.email_from, made.web_public_url, made.partitions) == ("me@example.com", "https://tidings.example.com", 2)
    assert made.secret_key == SecretStr("s" * 20)
    assert made.email_routes == {"invoice*": "smtp"}
    plain = local_settings(Settings(), ports, redis_url="r://", database_url="p://", secret_key="s" * 20, sandbox=False)
    assert plain.web_public_url == ports.web_url
    assert plain.email_routes == {}


def test_every_station_has_metrics_of_its_own_and_a_place_in_the_order_of_stopping() -> None:
    ports = choose_ports(Settings(), pick, fixed=False)
    plans = station_plans(ports, {"TIDINGS_REDIS_URL": "redis://r"})
    assert len({plan.environment["TIDINGS_METRICS_LISTEN"] for plan in plans}) == len(plans) == len(STATIONS)
    order = [name for names in STOP_ORDER for name in names]
    assert {plan.name for plan in plans} < set(order)
    assert order.index("gateway") < order.index("dispatcher") < order.index("sender-sms") < order.index("ledger")
    assert order[-2:] == ["postgresql", "valkey"]


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    first = folders.claim(tmp_path / "data")
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        folders.claim(tmp_path / "data")
    first.close()
    folders.claim(tmp_path / "data").close()


def test_a_folder_is_free_only_when_the_children_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LOCK_WAIT_S", 0.1)
    first = folders.claim(tmp_path / "data")
    child = subprocess.Popen(["sleep", "60"], pass_fds=[first.lock])
    os.pwrite(first.lock, str(_dead_pid()).encode().ljust(8), 0)
    first.close()
    with pytest.raises(ConfigError, match="left behind"):
        folders.claim(tmp_path / "data")
    child.kill()
    child.wait()
    folders.claim(tmp_path / "data").close()


def _dead_pid() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    folder = folders.claim(tmp_path / "data")
    made = folders.load_secrets(folder)
    assert len(made["secret_key"]) >= 32
    folders.save_secrets(folder, made | {"api_key": "k"})
    assert folders.load_secrets(folder) == made | {"api_key": "k"}
    assert (folder.path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()


def test_the_note_for_clients_is_private_and_goes_with_the_system(tmp_path: Path) -> None:
    folder = folders.claim(tmp_path / "data")
    folder.write_note({"target": "127.0.0.1:1"})
    assert folder.note.stat().st_mode & 0o777 == 0o600
    folder.close()
    assert not folder.note.exists()


def _parent(word: "multiprocessing.connection.Connection") -> None:
    command = spawn_command(["sleep", "60"], on_parent_death=signal.SIGTERM)
    word.send(subprocess.Popen(command).pid)
    signal.pause()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_a_killed_parent_takes_its_children_with_it() -> None:
    ours, theirs = multiprocessing.Pipe()
    parent = multiprocessing.get_context("spawn").Process(target=_parent, args=(theirs,))
    parent.start()
    child = ours.recv()
    await eventually(lambda: Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sleep"))
    parent.kill()
    parent.join()
    await eventually(lambda: not _running(child))
    parent.close()


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
