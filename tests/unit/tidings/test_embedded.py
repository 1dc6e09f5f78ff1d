"""The embedded servers' folder, ports and user; that they serve is shown by every integration test."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.store import Store
from tests.helpers import psql, redis_command
from tidings import embedded


def listen(port: int) -> socket.socket:
    """As servers do."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((embedded.HOST, port))
    server.listen()
    return server


def test_a_reserved_port_is_its_servers_and_nobody_elses() -> None:
    with embedded.reserve_port() as held:
        port = held.getsockname()[1]
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((embedded.HOST, port))
        with listen(port), pytest.raises(OSError, match="in use"):
            embedded.reserve_port(port)
        with listen(port):  # a second life of the server
            pass


def test_reserved_ports_differ_and_are_not_given_to_outgoing_connections() -> None:
    held = [embedded.reserve_port() for _ in range(50)]
    ports = {one.getsockname()[1] for one in held}
    assert len(ports) == 50
    assert max(ports) < 32_768
    for one in held:
        one.close()


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that nobody but us may walk through, such as root's home."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-closed-"))
    folder.chmod(0o700)
    yield folder
    shutil.rmtree(folder)


def test_both_serve_from_a_folder_that_is_closed_to_others(closed_folder: Path) -> None:
    for round_ in range(2):  # the second time on what the first one left
        valkey, postgres = embedded.valkey(closed_folder / "my valkey"), embedded.postgres(closed_folder / "my postgres")
        with embedded.running(valkey, closed_folder / "v.log") as url:
            assert redis_command(url, "INCR", "lives") == f":{round_ + 1}".encode()
        with embedded.running(postgres, closed_folder / "p.log") as url:
            psql(url, "CREATE TABLE IF NOT EXISTS lives (n int)")
            psql(url, "INSERT INTO lives VALUES (1)")
            assert psql(url, "SELECT count(*) FROM lives") == str(round_ + 1)
    assert valkey.port.fileno() == postgres.port.fileno() == -1


def test_they_ask_for_their_password(closed_folder: Path) -> None:
    recipe = embedded.valkey(closed_folder / "v")
    refused = pytest.raises(AssertionError, match=r"NOAUTH|Authentication")
    with embedded.running(recipe, closed_folder / "v.log") as url, refused:
        redis_command("redis://" + url.rsplit("@", 1)[1], "PING")
    assert (closed_folder / "v" / "password").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_programs_in_roots_own_home_run_as_nobody_with_one_right(closed_folder: Path) -> None:
    program = closed_folder / "program"
    program.write_text('#!/bin/sh\nid -un; grep CapEff /proc/self/status; test -x "$0" && echo may\n')
    program.chmod(0o755)
    command = embedded.spawn_command([str(program)], on_parent_death=signal.SIGKILL, user=embedded.NOBODY)
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=embedded.ENVIRONMENT)
    user, rights, may = done.stdout.split("\n")[:3]
    assert (user, may) == ("nobody", "may")
    if sys.platform == "linux":
        assert int(rights.split()[1], 16).bit_count() == 1


@pytest.mark.parametrize(
    ("platform", "found", "expected"),
    [
        ("linux", "libjemalloc.so.2", {"LD_PRELOAD": "libjemalloc.so.2"}),
        ("linux", None, {"GLIBC_TUNABLES": embedded.VALKEY_TUNABLES}),
        ("darwin", "libjemalloc.dylib", {"GLIBC_TUNABLES": embedded.VALKEY_TUNABLES}),
    ],
)
def test_valkey_takes_the_systems_jemalloc_where_there_is_one(
    closed_folder: Path, monkeypatch: pytest.MonkeyPatch, platform: str, found: str | None, expected: dict[str, str]
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: found if name == "jemalloc" else None)
    recipe = embedded.valkey(closed_folder / "v")
    recipe.port.close()
    assert recipe.environment == embedded.ENVIRONMENT | expected


def test_a_server_that_cannot_start_says_why(closed_folder: Path) -> None:
    recipe = embedded.valkey(closed_folder / "v")
    (closed_folder / "v" / "valkey.conf").write_text("no-such-option yes\n")
    told = pytest.raises(ConfigError, match=r"valkey did not start(?s:.*)no-such-option")
    with told, embedded.running(recipe, closed_folder / "v.log"):
        pytest.fail("it did start")


def test_a_process_id_that_a_killed_server_left_behind_is_not_believed(closed_folder: Path) -> None:
    folder = closed_folder / "p"
    with embedded.running(embedded.postgres(folder), closed_folder / "p.log"):
        left = (folder / "data" / "postmaster.pid").read_text()
    user = embedded.NOBODY if os.geteuid() == 0 else "-"
    command = embedded.spawn_command(["sleep", "60"], on_parent_death=signal.SIGKILL, user=user)
    with subprocess.Popen(command) as another:  # a program that has the dead server's process id by now
        file = folder / "data" / "postmaster.pid"
        file.write_text("\n".join([str(another.pid), *left.splitlines()[1:]]) + "\n")
        shutil.chown(file, folder.stat().st_uid)
        try:
            with embedded.running(embedded.postgres(folder), closed_folder / "p.log") as url:
                assert psql(url, "SELECT 1") == "1"
        finally:
            another.kill()


async def test_valkey_runs_as_what_is_shipped_for_production(closed_folder: Path) -> None:
    shipped = (Path(__file__).parents[3] / "deploy" / "redis.conf").read_text().splitlines()
    settings = dict(line.split(maxsplit=1) for line in shipped if line and line[0] != "#")
    assert len(settings) > 5
    with embedded.running(embedded.valkey(closed_folder / "v"), closed_folder / "v.log") as url:
        store = await Store.connect(url)
        for name, value in settings.items():
            before, _, after = await store.send(  # as Valkey understands it: 256mb is a number
                [["CONFIG", "GET", name], ["CONFIG", "SET", name, value.strip('"')], ["CONFIG", "GET", name]]
            )
            assert before == after or name == "maxmemory"
        await store.close()
