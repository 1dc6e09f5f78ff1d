"""Starts the real processes, floods them, samples their memory, and closes the books."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.census import census
from core.config import load_settings
from core.ids import format_id
from core.model import Status
from core.settings import LimitSettings
from core.store import Store
from ledger import Ledger
from ledger.values import NotificationFilter, StoredNotification
from tests.flood.books import Answers, Fate, Limits, Peaks, Report, reconcile
from tests.flood.load import Offer, offer
from tidings.up.run import running

MIB = 1024 * 1024
SAMPLE_S = 0.25
QUIET_S = 0.5
PAGE = 2_000
CRITICAL_SHARE = 0.25  # of the capacity: what is critical can be delivered, or there would be nothing to promise


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a flood.

    Attributes:
        seconds: how long it lasts.
        capacity: messages a second that the provider's account takes, which is what the system can deliver.
        factor: how many times that is offered.
        limits: of memory; Redis' is its maxmemory.
        patience_s: how long to wait for the books to be complete.
    """

    seconds: float
    capacity: float
    factor: float
    limits: Limits
    patience_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Flood:
    """What was seen."""

    answers: Answers
    peaks: Peaks
    report: Report


async def play(folder: Path, plan: Plan, say: Callable[[str], None]) -> Flood:
    """The whole proof."""
    limit = LimitSettings(per_s=plan.capacity, burst=int(plan.capacity), reserve=int(plan.capacity / 4))
    given = load_settings(partial=True).model_copy(update={"limits": {"sendgrid": limit}})
    began_ms = time.time_ns() // 1_000_000
    async with running(folder, lambda line: None, fixed_ports=False, given=given) as (system, supervisor):
        store = await Store.connect(system.settings.redis_url)
        ledger = await Ledger.open(system.settings.database_url)
        await store.send([["CONFIG", "SET", "maxmemory", int(plan.limits.redis_mib * MIB)]])
        await store.send([["CONFIG", "RESETSTAT"]])
        async with system.client() as client:
            text = "Number {{ number }} {{ text }}"
            content: Any = {"subject": text[:19], "text": text, "html": f"<p>{text}</p>"}
            await client.put_template("flood", {"email": {"en": content}}, variables=["number", "text"])
        sampler = Sampler(store, supervisor.pids["gateway"])
        sampling = asyncio.create_task(sampler.run())
        say(f"offering {plan.capacity * plan.factor:.0f} a second for {plan.seconds:.0f} s, capacity {plan.capacity:.0f}")
        critical = plan.capacity * CRITICAL_SHARE
        flood = Offer(plan.capacity * plan.factor - critical, critical, plan.seconds, system.ports.target, system.api_key)
        answers = await offer(flood)
        say("all answered; waiting for the books")
        for words, items in answers.words.items():
            say(f"unavailable, {items} items: {words}")
        deadline = time.monotonic() + plan.patience_s
        await _until_told(store, system.settings.partitions, deadline)
        book = await _ledger_book(ledger, began_ms)
        while not book.keys() >= set(answers.accepted) and time.monotonic() < deadline:
            await asyncio.sleep(QUIET_S)  # the ledger had the last frames in hand
            book = await _ledger_book(ledger, began_ms)
        peaks = await sampler.end(sampling)
        report = reconcile(answers, book, peaks, plan.limits)
        await ledger.close()
        await store.close()
    return Flood(answers, peaks, report)


class Sampler:
    """Looks at the gateway's and Redis' memory again and again."""

    def __init__(self, store: Store, gateway_pid: int) -> None:
        self._store = store
        self._gateway = psutil.Process(gateway_pid)
        self._peak_gateway = self._peak_redis = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(SAMPLE_S)

    async def _look(self) -> str:
        (info,) = await self._store.send([["INFO", "ALL"]])
        figures = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
        self._peak_redis = max(self._peak_redis, int(figures["used_memory"]))
        self._peak_gateway = max(self._peak_gateway, self._gateway.memory_info().rss)
        return str(figures.get("errorstat_OOM", "count=0"))

    async def end(self, running: "asyncio.Task[None]") -> Peaks:
        """The peaks, after one more look."""
        running.cancel()
        refusals = int((await self._look()).removeprefix("count="))
        return Peaks(round(self._peak_gateway / MIB, 1), round(self._peak_redis / MIB, 1), refusals)


async def _until_told(store: Store, partitions: int, deadline: float) -> None:
    """Waits until all that was accepted is routed, critical ones are sent and the ledger has heard of it; not for the rest."""
    while time.monotonic() < deadline:
        await asyncio.sleep(QUIET_S)
        states = {state.stream: state for state in await census(store, partitions)}
        ahead = [s for name, s in states.items() if name.startswith("in:") or name == "out:email:critical"]
        if sum(s.depth + s.waiting for s in ahead) + states["outcomes"].lag == 0:
            return


async def _ledger_book(ledger: Ledger, since_ms: int) -> dict[str, Fate]:
    book: dict[str, Fate] = {}
    before = b""
    while page := await ledger.deliveries.list(NotificationFilter(after_ms=since_ms, before_id=before, limit=PAGE)):
        book.update((format_id(n.notification_id), _fate(n)) for n in page)
        before = page[-1].notification_id
    return book


def _fate(notification: StoredNotification) -> Fate:
    events = [event for delivery in notification.deliveries for event in delivery.timeline]
    shed = any(event.status is Status.SUPPRESSED for event in events)
    taken = [event.at_ms for event in events if event.status is Status.SENT]
    return Fate(shed, min(taken, default=0))
