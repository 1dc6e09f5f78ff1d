"""Runs the script against real processes: sends waves, deals blows, waits until all is quiet, and closes the books."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from core import census, members
from core.errors import TidingsError
from core.model import Channel
from core.store import Store
from ledger import Ledger
from tests.chaos import observe, script
from tests.chaos.books import Report, reconcile
from tests.helpers import eventually
from tidings.aio import AsyncClient
from tidings.errors import ClientError
from tidings.up.run import running
from tidings.up.supervisor import Supervisor, System

CHUNK = 250  # notifications in one SendBatch
CALLS = 4  # SendBatch calls at once
CALL_S = 120.0  # a call is repeated by the client for so long
RECOVERY_S = 60.0
QUIET_LOOKS = 5  # so many times in a row nothing may be left on the path
QUIET_S = 1.0
ENVIRONMENT = {  # retries in seconds instead of minutes: the proof is about the order of steps, not about patience
    "TIDINGS_RETRY_SCHEDULE_S": "1,2,4,8,8,8",
    "TIDINGS_CRITICAL_RETRY_SCHEDULE_S": "1,1,2,4,8,8,8",
}
Say = Callable[[str], None]


@dataclass(slots=True)
class Run:
    """What is written down while the script runs."""

    seed: int
    began_ms: int
    acknowledged: dict[int, str] = field(default_factory=dict)
    unanswered: int = 0
    refused: int = 0
    in_flight: int = 0
    recovery_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """The running system and whoever tells of it."""

    system: System
    supervisor: Supervisor
    store: Store
    ledger: Ledger
    say: Say


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a proof. `patience_s`: how long to wait for quiet at the end."""

    count: int
    seed: int
    patience_s: float


async def play(folder: Path, plan: Plan, say: Say, progress: Callable[[int], None]) -> tuple[Run, Report]:
    """The whole proof. `progress` gets the number of notifications acknowledged so far."""
    count, seed = plan.count, plan.seed
    run = Run(seed, time.time_ns() // 1_000_000)
    async with running(folder, lambda line: None, fixed_ports=False) as (system, supervisor):
        store = await Store.connect(system.settings.redis_url)
        ledger = await Ledger.open(system.settings.database_url)
        scene = Scene(system, supervisor, store, ledger, say)
        async with (
            AsyncClient(system.ports.target, system.api_key, tls=False, timeout=CALL_S) as client,
            aiohttp.ClientSession(system.ports.sandbox_url) as providers,
        ):
            await _prepare(client, providers, seed)
            for wave in script.waves(count, seed):
                sending = asyncio.create_task(_send(client, run, wave, progress))
                await asyncio.sleep(wave.blow.after_s)
                await _strike(wave.blow, scene, run)
                await sending
            say("all sent; no more faults")
            await providers.delete("/faults", json={})
            await providers.post("/webhooks", json={"delay_ms": 0, "drop_percent": 0, "duplicate_percent": 0})
            left = await _until_quiet(scene, providers, plan.patience_s)
            say("quiet; closing the books")
            received = await observe.received(providers, ledger)
            book = await observe.ledger_book(ledger, run.began_ms)
        report = reconcile(run.acknowledged, run.unanswered, received, book, left_in_redis=left, in_flight=run.in_flight)
        await ledger.close()
        await store.close()
    return run, report


async def _prepare(client: AsyncClient, providers: aiohttp.ClientSession, seed: int) -> None:
    text = "Number {{ number }} of the proof"
    contents: dict[str, Any] = {
        "email": {"en": {"subject": text, "text": text, "html": f"<p>{text}</p>"}},
        "sms": {"en": {"text": text}},
        "push": {"en": {"title": "Proof", "body": text}},
        "in_app": {"en": {"title": "Proof", "body": text}},
    }
    await client.put_template("chaos", contents, variables=["number"])
    for i in range(script.PEOPLE):
        await client.upsert_recipient(
            recipient_id=f"chaos-{i}",
            email=f"person-{i}@example.com",
            phone=f"+4915112{i:06}",
            devices=[("fcm", f"token-of-person-{i}-0123456789")] if i % 2 else [("apns", f"{i:064x}")],
        )
    for rule in script.faults(seed):
        async with providers.post("/faults", json=rule) as answer:
            assert answer.status == 201, await answer.text()
    async with providers.post("/webhooks", json=script.weather(seed)) as answer:
        assert answer.status == 200, await answer.text()


async def _send(client: AsyncClient, run: Run, wave: script.Wave, progress: Callable[[int], None]) -> None:
    """Sends a wave, a few calls at once, and writes down every answer."""
    todo = iter(range(wave.first, wave.last, CHUNK))

    async def work() -> None:
        for first in todo:
            numbers = range(first, min(first + CHUNK, wave.last))
            try:
                results = await client.send_many([script.notification(n, run.seed) for n in numbers])  # type: ignore[misc]
            except ClientError:
                run.unanswered += len(numbers)
                continue
            for number, result in zip(numbers, results, strict=True):
                if result.error is None:
                    run.acknowledged[number] = result.notification_id
                else:
                    run.refused += 1
            progress(len(run.acknowledged))

    async with asyncio.TaskGroup() as workers:
        for _ in range(CALLS):
            workers.create_task(work())


async def _strike(blow: script.Blow, scene: Scene, run: Run) -> None:
    """Deals a blow, counts what was in flight, and measures how long the system needs to stand again."""
    store, supervisor, say = scene.store, scene.supervisor, scene.say
    station = _station(blow.process)
    before = await _names(store, station)
    with suppress(TidingsError):
        run.in_flight += await observe.in_hand(store, scene.system.settings.partitions, _harmed(blow.process))
    pid = supervisor.pids.get(blow.process)
    if pid is None:
        say(f"{blow}: it is not there, the supervisor is starting it")
        return
    began = time.monotonic()
    if blow.kind == "kill":
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: supervisor.pids.get(blow.process, pid) != pid, RECOVERY_S)
    else:
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(blow.seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        began, before = time.monotonic(), set()
    await eventually(lambda: _stands(blow.process, station, before, scene), RECOVERY_S)
    run.recovery_s[str(blow)] = round(time.monotonic() - began, 2)
    say(f"{blow}: stands again after {run.recovery_s[str(blow)]} s")


def _harmed(process: str) -> list[Channel]:
    """The channels whose deliveries in hand a blow may double."""
    if process.startswith("sender-"):
        return [Channel[process.removeprefix("sender-").upper()]]
    return list(Channel) if process in script.STORES else []


def _station(process: str) -> str:
    """The name among members; "" for what has none."""
    return process if process in census.STATIONS else ""


async def _names(store: Store, station: str) -> set[str]:
    if not station:
        return set()
    with suppress(TidingsError):
        return {name for name, _ in await members.list_members(store, station)}
    return set()


async def _stands(process: str, station: str, before: set[str], scene: Scene) -> bool:
    """Whether a process does its work: a member that was not there before, a port that answers, a store that replies."""
    try:
        if station:
            return bool(await _names(scene.store, station) - before)
        if process == "valkey":
            await scene.store.send([["PING"]])
        elif process == "postgresql":
            await scene.ledger.templates.get("chaos")
        else:
            host, _, port = scene.system.ports.target.rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
    except (TidingsError, OSError):
        return False
    return True


async def _until_quiet(scene: Scene, providers: aiohttp.ClientSession, patience_s: float) -> int:
    """Waits until nothing is on the path and no webhook on its way, for a while; how much is left when patience ends."""
    deadline, quiet, left = time.monotonic() + patience_s, 0, 0
    while quiet < QUIET_LOOKS and time.monotonic() < deadline:
        await asyncio.sleep(QUIET_S)
        left = await observe.left_on_the_path(scene.store, scene.system.settings.partitions)
        async with providers.get("/webhooks") as answer:
            waiting = (await answer.json())["waiting"]
        quiet = quiet + 1 if left == 0 and waiting == 0 else 0
    return left
