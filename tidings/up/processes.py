"""One supervised process: started bound to our life, its words in a log file, started again when it dies.

Every child is a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which stops them in order.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.process import EXIT_CONFIG
from tidings.embedded import spawn_command, tail

BACKOFF_S = 0.5
BACKOFF_MAX_S = 10.0
STEADY_S = 30.0  # a process that lived so long starts again at once


class StartFailed(Exception):
    """A process ended, or was not ready in time, while the system started; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `on_orphaned` reaches it when the supervisor is killed: nothing must stay behind."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop: signal.Signals = signal.SIGTERM
    on_orphaned: signal.Signals = signal.SIGKILL
    bound: bool = False  # the command binds itself already (embedded servers)


class Child:
    """A process by a plan, over all its lives."""

    def __init__(self, plan: Plan, log: Path, lock: int, say: Callable[[str], None]) -> None:
        self.plan, self.log = plan, log
        self._lock, self._say = lock, say
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._born = 0.0

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self.plan.name

    @property
    def pid(self) -> int | None:
        """Process id of its present life; None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Give it a life."""
        plan = self.plan
        command = plan.command if plan.bound else spawn_command(plan.command, on_parent_death=plan.on_orphaned)
        with self.log.open("ab") as words:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                env=dict(plan.environment),
                start_new_session=True,
                pass_fds=(self._lock,),
            )
        self._born = time.monotonic()

    async def until_ready(self, ready: Callable[[], bool], seconds: float, poll_s: float = 0.02) -> None:
        """Wait for its first life to be ready.

        Raises:
            StartFailed: it ended, or is not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.require_alive()
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} is not ready after {seconds:g} s. Its log, {self.log}, ends:\n{tail(self.log)}")
            await asyncio.sleep(poll_s)

    def require_alive(self) -> None:
        """Raises StartFailed if it has ended."""
        if self._process is not None and self._process.returncode is not None:
            code = self._process.returncode
            raise StartFailed(f"{self.name} ended ({_how(code)}). Its log, {self.log}, ends:\n{tail(self.log)}")

    def keep(self) -> None:
        """From now on start it again whenever it dies."""
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def _keep(self) -> None:
        backoff = BACKOFF_S
        while self._process is not None:
            code = await self._process.wait()
            if code == EXIT_CONFIG:
                self._say(f"[red]{self.name} ended: a setting is wrong.[/red] {tail(self.log, 3)}")
                return
            backoff = BACKOFF_S if time.monotonic() - self._born > STEADY_S else backoff
            self._say(
                f"[yellow]{self.name} died ({_how(code)}); starting it again in {backoff:g} s. Its log: {self.log}[/yellow]"
            )
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MAX_S)
            await self.start()
            self._say(f"{self.name} is started again, process {self.pid}")

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and make it after `grace_s` seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        if self._process is None or self._process.returncode is not None:
            return
        self._signal(self.plan.stop)
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self._say(f"[yellow]{self.name} did not end in {grace_s:g} s: killing it[/yellow]")
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None:
                self._process.send_signal(number)


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
