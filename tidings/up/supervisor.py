"""Starts a whole local system in order, keeps it running, and stops it in order. What runs with what: plan.py.

Whatever happens, nothing stays behind: an interrupted start stops what it started, a killed supervisor takes its children
with it (spawn.py), and a folder is free again only when the last of them is gone (folder.py).
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.config import child_environment
from core.settings import Settings
from ledger import Ledger
from tidings import embedded
from tidings.aio import AsyncClient
from tidings.errors import ClientError
from tidings.up.folder import Folder, load_secrets, save_secrets
from tidings.up.plan import (
    CHANNELS,
    STOP_ORDER,
    Ports,
    choose_ports,
    local_settings,
    python_environment,
    sandbox_plan,
    station_plans,
)
from tidings.up.processes import Child, Plan, StartFailed

SERVER_START_S = 30.0
STATION_START_S = 60.0  # the first start compiles Python's caches, on a machine that may be busy
DRAIN_S = 20.0
LIVING_MS = 3_000
S = TypeVar("S")
T = TypeVar("T")
KEY_NAME = "development"
SCOPES = ("send", "read", "admin")


@dataclass(frozen=True, slots=True)
class System:
    """A running system, for whoever uses it."""

    ports: Ports
    settings: Settings
    api_key: str
    sandbox: bool

    def client(self) -> AsyncClient:
        """A client of it."""
        return AsyncClient(self.ports.target, self.api_key, tls=False)


class Supervisor:
    """Runs the processes of one data folder. `say` gets lines of rich markup for a person."""

    def __init__(
        self, folder: Folder, given: Settings, say: Callable[[str], None], *, fixed_ports: bool, sandbox: bool
    ) -> None:
        self._folder, self._given, self._say = folder, given, say
        self._fixed, self._sandbox = fixed_ports, sandbox
        self._children: list[Child] = []
        self._reserved: list[socket.socket] = []  # ports, for as long as we run: a station that dies finds its own again

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {child.name: child.pid for child in self._children if child.pid is not None}

    async def start(self) -> System:
        """Start everything; returns when it is healthy. Call `stop` whatever came of it.

        Raises:
            StartFailed: a process did not come up; the message has the end of its log.
            TidingsError: a setting is wrong, or PostgreSQL refused.
        """
        ports = choose_ports(self._given, self._pick_port, fixed=self._fixed)
        kept = load_secrets(self._folder)
        # The sandbox needs no server, so both come up side by side; initdb, the first time, is the slowest of all.
        sandbox, (redis_url, database_url) = await _both(self._start_sandbox(ports), self._start_servers())
        settings = local_settings(
            self._given,
            ports,
            redis_url=redis_url,
            database_url=database_url,
            secret_key=kept["secret_key"],
            sandbox=self._sandbox,
        )
        environment = python_environment(child_environment(settings) | sandbox, self._folder.path)
        api_key = await self._api_key(database_url, kept)
        stations = [self._child(plan) for plan in station_plans(ports, environment)]
        await asyncio.gather(*(child.start() for child in stations))
        system = System(ports, settings, api_key, self._sandbox)
        await self._until_healthy(system, stations)
        for child in self._children:
            child.keep()
        return system

    def _pick_port(self, wanted: int) -> int:
        """This port of loopback if it is free, else one that is."""
        try:
            held = embedded.reserve_port(wanted)
        except OSError:
            held = embedded.reserve_port()
        self._reserved.append(held)
        return int(held.getsockname()[1])

    def _child(self, plan: Plan) -> Child:
        child = Child(plan, self._folder.log(plan.name), self._folder.lock, self._say)
        self._children.append(child)
        return child

    async def _start_servers(self) -> tuple[str, str]:
        """URLs of Redis and PostgreSQL: the operator's, or embedded ones."""
        redis_url, database_url = self._given.redis_url, self._given.database_url
        return (
            redis_url or await self._start_server(embedded.valkey, "valkey"),
            database_url or await self._start_server(embedded.postgres, "postgres"),
        )

    async def _start_server(self, make: Callable[[Path], embedded.Recipe], folder: str) -> str:
        began = time.monotonic()
        recipe = await asyncio.to_thread(make, self._folder.path / folder)  # PostgreSQL's first time takes a second
        self._reserved.append(recipe.port)
        child = self._child(Plan(recipe.name, recipe.command, recipe.environment, recipe.stop, bound=True))
        await child.start()
        await child.until_ready(recipe.ready, SERVER_START_S)
        self._started(recipe.name, began)
        return recipe.url

    async def _start_sandbox(self, ports: Ports) -> dict[str, str]:
        """The settings that lead the stations to it; none without it."""
        if not self._sandbox:
            return {}
        began = time.monotonic()
        port_file = self._folder.path / "sandbox.json"
        port_file.unlink(missing_ok=True)
        # No TIDINGS_* of ours: it knows what a provider would know.
        environment = python_environment(child_environment(Settings()), self._folder.path)
        plan = sandbox_plan(self._folder.path / "sandbox", ports, environment, port_file)
        child = self._child(plan)
        await child.start()
        await child.until_ready(port_file.exists, STATION_START_S)
        self._started("sandbox", began)
        found: dict[str, str] = json.loads(port_file.read_text())["environment"]
        return found

    async def _api_key(self, database_url: str, kept: dict[str, str]) -> str:
        """Migrates; the folder's development key: the one of the last start if PostgreSQL still knows it."""
        ledger = await Ledger.open(database_url, migrate=True)
        try:
            key = kept.get("api_key", "")
            found = await ledger.keys.find(key) if key else None
            if found is None or found.revoked_ms:
                key = await ledger.keys.create(KEY_NAME, SCOPES)
                save_secrets(self._folder, kept | {"api_key": key})
            return key
        finally:
            await ledger.close()

    async def _until_healthy(self, system: System, stations: list[Child]) -> None:
        """Wait until the gateway answers and every station has been heard of by it, and the web door is open."""
        began = time.monotonic()
        missing = {"dispatcher", "ledger", *(f"sender-{channel}" for channel in CHANNELS)}
        seen: set[str] = set()
        problem = "the gateway does not answer"
        async with system.client() as client:
            while not missing <= seen or not _open(embedded.HOST, system.ports.web):
                for child in stations:
                    child.require_alive()
                if time.monotonic() - began > STATION_START_S:
                    raise StartFailed(f"not healthy after {STATION_START_S:g} s: {problem}. Logs: {self._folder.path}/logs")
                try:
                    found = await client.stations()
                    living = {member.station for member in found.members if member.silent_ms < LIVING_MS}
                    for station in sorted(living & missing - seen):
                        self._started(station, began)
                    seen |= living
                    problem = f"not heard of: {', '.join(sorted(missing - seen)) or 'web'}"
                except ClientError as error:
                    problem = f"the gateway says: {error}"
                await asyncio.sleep(0.05)
        self._started("gateway", began)

    def _started(self, name: str, began: float) -> None:
        self._say(f"  [green]\u2713[/green] {name:<14} [dim]{time.monotonic() - began:.1f} s[/dim]")

    async def stop(self) -> None:
        """Drain and stop everything, in order; what does not end in 20 s is killed."""
        by_name = {child.name: child for child in self._children}
        for names in STOP_ORDER:
            await asyncio.gather(*(by_name[name].stop(DRAIN_S) for name in names if name in by_name))
        for held in self._reserved:
            held.close()

    def kill(self) -> None:
        """End everything at once: for a person who asks a second time."""
        for child in self._children:
            child.kill()


async def _both(sandbox: Coroutine[Any, Any, S], servers: Coroutine[Any, Any, T]) -> tuple[S, T]:
    """Both results; the first failure cancels the other and is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            first, second = tasks.create_task(sandbox), tasks.create_task(servers)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return first.result(), second.result()


def _open(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=0.2):
        return True
    return False
