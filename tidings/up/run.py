"""A local system as a context manager, and the signals that end it. What `up`, `demo` and the acceptance tests stand on."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from core.config import load_settings
from core.settings import Settings
from tidings.up.folder import Folder, claim
from tidings.up.supervisor import Supervisor, System

T = TypeVar("T")


@asynccontextmanager
async def running(
    path: Path, say: Callable[[str], None], *, fixed_ports: bool, sandbox: bool = True, given: Settings | None = None
) -> AsyncIterator[tuple[System, Supervisor]]:
    """A whole system in the folder `path`, for as long as the context lasts; cancelling stops it in order too.

    Args:
        say: gets lines of markup for a person.
        fixed_ports: the usual ports where they are free; else any.
        sandbox: simulate the providers.
        given: what is set already; by default what the environment says.

    Raises:
        ConfigError: the folder is in use, or a setting is wrong.
        StartFailed: a process did not come up.
    """
    given = given or load_settings(partial=True)
    folder = claim(path)
    supervisor = Supervisor(folder, given, say, fixed_ports=fixed_ports, sandbox=sandbox)
    try:
        system = await supervisor.start()
        folder.write_note(note(folder, system, supervisor))
        yield system, supervisor
    finally:
        hurry = _on_second_signal(supervisor.kill)
        await supervisor.stop()
        hurry()
        folder.close()


def note(folder: Folder, system: System, supervisor: Supervisor) -> dict[str, Any]:
    """What clients of the same folder may know (tidings.channel.local_system), and what a person may look up."""
    ports, settings = system.ports, system.settings
    return {
        "target": ports.target,
        "api_key": system.api_key,
        "web": ports.web_url,
        "sandbox": ports.sandbox_url if system.sandbox else None,
        "metrics": {name: ports.metrics_url(name) for name in ports.metrics},
        "redis_url": settings.redis_url,
        "database_url": settings.database_url,
        "logs": str(folder.path / "logs"),
        "processes": supervisor.pids,
    }


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _on_second_signal(act: Callable[[], None]) -> Callable[[], None]:
    """While stopping, another signal does `act` in place of cancelling; returns how to end that."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, act)

    def ignore() -> None:
        for number in SIGNALS:
            loop.add_signal_handler(number, lambda: None)  # what is left takes milliseconds

    return ignore


def run_until_signal(work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work` in an event loop; SIGINT, SIGTERM and SIGHUP cancel it. None if that is how it ended."""
    early: list[int] = []  # signals that came before the loop could take them
    for number in SIGNALS:
        signal.signal(number, lambda number, _: early.append(number))

    async def main() -> T | None:
        task = asyncio.create_task(work)
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        if early:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return None

    return asyncio.run(main())
