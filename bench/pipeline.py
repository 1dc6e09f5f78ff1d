"""`python -m bench.pipeline`: the whole path, from SendBatch to the ledger, with everything on this machine.

Real processes as `tidings up` starts them: gateway, Valkey (AOF everysec), dispatcher, senders, ledger, PostgreSQL. Templates
in five languages, half of them HTML with a loop, half plain variables; one in ten repeats another's content within its dedupe
window and must be suppressed. Deliveries go to a provider in the senders' process that takes e-mails and sends nothing
(senders/discard.py), or with --provider to the inbox in PostgreSQL or by SendGrid's API to the sandbox. Requests are made
before the clock starts (bench/load.py); it stops when the ledger has recorded the last one, and the books must be equal then.
Each run has a new system; how the cost grows with what is kept, a run with a larger --count says. A second run on it goes to
strangers: each notification to a recipient that nobody has been written to, so that the dispatcher must look everybody up.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

import fastpath
from bench.load import REPEAT_EVERY, Load, offer
from bench.meter import counters, cpu_seconds, machine, resident_bytes, say, spread, spreads
from core import keys
from core.config import load_settings
from core.model import Channel, Priority
from core.settings import Settings
from core.store import Store
from ledger import Ledger
from ledger.database import connect
from ledger.values import StoredRecipient
from tidings.aio import AsyncClient
from tidings.embedded import HOST
from tidings.up.run import running
from tidings.up.supervisor import System

LANGUAGES = ("en", "de", "fr", "es", "pl")
POLL_S = 0.2  # a look costs the station that is looked at milliseconds
SETTLE_S = 10.0  # what is recorded is settled a moment later
STALL_S = 60.0  # no progress for so long ends a run
WARM_UP = 100_000  # notifications before a run, at most
HALT_S = 3.0  # after this every sender knows that its channel is halted
PLAIN = "{{ name }}: {{ order }} ({{ total }})"
LOOP = "<h1>{{ name }}</h1><ul>{% for item in items %}<li>{{ item.title }}: {{ item.price }}</li>{% endfor %}</ul>"
CHANNELS = {"discard": "email", "sendgrid": "email", "in_app": "in_app"}  # by provider
LOST = ("failed", "dead", "expired", "unknown")  # how a delivery must not end here
STRANGERS = b"""
insert into recipients (recipient_id, email, phone, devices, language, timezone)
select who, who || '@example.com', '', '[]', (%(languages)s::text[])[1 + place %% 5], ''
from generate_series(%(first)s::int, %(end)s::int - 1) as call, generate_series(0, %(batch)s::int - 1) as place,
    lateral (select format('person-%%s-%%s', lpad(call::text, 10, '0'), place)) as named (who)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run's figures."""

    accepted_per_s: float
    delivered_per_s: float
    recorded_per_s: float
    cpu_us: dict[str, float]  # of each process, per notification


async def prepare(system: System, client: AsyncClient, recipients: int) -> None:
    """Templates and recipients."""
    for name, text in (("plain", PLAIN), ("loop", LOOP)):
        contents: dict[str, Any] = {
            "email": {x: {"subject": f"{x} {{{{ order }}}}", "html": text, "text": PLAIN} for x in LANGUAGES},
            "in_app": {x: {"title": f"{x} {{{{ order }}}}", "body": text} for x in LANGUAGES},
        }
        await client.put_template(name, contents, variables=["name", "order", "total", "items?"])
    ledger = await Ledger.open(system.settings.database_url)
    try:
        people = [
            StoredRecipient(f"person-{i}", email=f"person-{i}@example.com", language=LANGUAGES[i % len(LANGUAGES)])
            for i in range(recipients)
        ]
        for start in range(0, recipients, 100):
            await asyncio.gather(*(ledger.recipients.upsert(person) for person in people[start : start + 100]))
    finally:
        await ledger.close()


async def store_strangers(system: System, load: Load, knobs: argparse.Namespace) -> None:
    """Recipients that nobody has been written to, as many as the load's next notifications, and what they left tidied up."""
    first, end = load.strangers(knobs.strangers)
    async with await connect(system.settings.database_url) as connection:
        await connection.execute(STRANGERS, {"first": first, "end": end, "batch": knobs.batch, "languages": list(LANGUAGES)})
        await connection.execute(b"vacuum analyze recipients")
        await connection.execute(b"checkpoint")


@dataclass(frozen=True, slots=True)
class Stand:
    """Counters of the last two stations: notifications since the processes started."""

    delivered: float = 0
    recorded: float = 0  # with their end
    suppressed: float = 0
    lost: float = 0

    def since(self, before: "Stand") -> "Stand":
        """What came after `before`."""
        return Stand(
            self.delivered - before.delivered,
            self.recorded - before.recorded,
            self.suppressed - before.suppressed,
            self.lost - before.lost,
        )


class Watch:
    """Looks at the counters of the last two stations until everything went through them.

    Attributes:
        last: what the last look saw.
    """

    def __init__(self, system: System, provider: str) -> None:
        metrics = {name: f"http://{HOST}:{port}/metrics" for name, port in system.ports.metrics.items()}
        self._sender, self._ledger = metrics[f"sender-{CHANNELS[provider]}"], metrics["ledger"]
        self._arrival = "delivered" if provider == "in_app" else "sent"
        self.last = Stand()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Waits for the next look."""
        await self._news.wait()

    async def look(self) -> Stand:
        """The counters now."""
        sender, ledger = await counters(self._sender), await counters(self._ledger)
        arrived, suppressed = ledger.get(self._arrival, 0), ledger.get("suppressed", 0)
        lost = sum(found.get(end, 0) for found in (sender, ledger) for end in LOST)
        self.last = Stand(sender.get(self._arrival, 0), arrived + suppressed, suppressed, lost)
        self._news.set()
        self._news = asyncio.Event()
        return self.last

    async def until(self, before: Stand, delivered: float, recorded: float, began: float) -> tuple[float, float]:
        """Seconds since `began` until so many are delivered, and recorded, on top of `before`.

        Raises:
            RuntimeError: nothing moves any more.
        """
        delivered_s = 0.0
        last, moved = Stand(), time.perf_counter()
        while True:
            found = (await self.look()).since(before)
            now = time.perf_counter()
            if found != last:
                last, moved = found, now
            if not delivered_s and found.delivered >= delivered:
                delivered_s = now - began
            if delivered_s and found.recorded >= recorded:
                return delivered_s, now - began
            if now - moved > STALL_S:
                raise RuntimeError(f"stalled at {found}: {delivered:.0f} were to be delivered, {recorded:.0f} recorded")
            await asyncio.sleep(POLL_S)


async def measure(system: System, pids: dict[str, int], load: Load, watch: Watch, count: int, knobs: argparse.Namespace) -> Run:
    """One run of so many notifications."""
    repeats = load.repeats(count)
    before = await watch.look()

    async def room(answered: int) -> None:
        while answered * knobs.batch - watch.last.since(before).recorded >= knobs.ahead:
            await watch.news()

    used_before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    own, began = time.process_time(), time.perf_counter()
    offering = asyncio.create_task(offer(system.ports.target, system.api_key, load.bodies(count), knobs.calls, room))
    watching = asyncio.create_task(watch.until(before, count - repeats, count, began))
    await asyncio.wait((offering, watching), return_when=asyncio.FIRST_EXCEPTION)
    if offering.done() and (error := offering.exception()) is not None:
        watching.cancel()
        raise error
    delivered_s, recorded_s = await watching
    used = {name: cpu_seconds(pid) - used_before[name] for name, pid in pids.items()} | {"bench": time.process_time() - own}
    accepted_s = await offering
    found = (await watch.look()).since(before)
    if found != Stand(count - repeats, count, repeats, 0):
        raise RuntimeError(f"the books are not equal: {count} accepted, {repeats} of them repeats; {found}")
    cpu_us = {name: round(seconds / count * 1e6, 2) for name, seconds in used.items() if seconds}
    return Run(count / accepted_s, (count - repeats) / delivered_s, count / recorded_s, cpu_us)


async def weigh(
    system: System, client: AsyncClient, pids: dict[str, int], load: Load, watch: Watch, knobs: argparse.Namespace
) -> dict[str, float]:
    """Bytes that one notification takes while it waits before its provider; outside the clock, with the channel halted."""
    channel = CHANNELS[knobs.provider]
    store = await Store.connect(system.settings.redis_url)
    try:
        await client.halt_channel(channel, "the bench weighs what is queued")  # type: ignore[arg-type]
        await asyncio.sleep(HALT_S)
        before, resident, began = await watch.look(), resident_bytes(pids["valkey"]), time.perf_counter()
        await offer(system.ports.target, system.api_key, load.bodies(knobs.queued), knobs.calls, _always)
        queued = knobs.queued - load.repeats(knobs.queued)
        names = [keys.outbound(p, Channel[channel.upper()], pr) for p in range(system.settings.partitions) for pr in Priority]
        await _only_queued(client, channel)
        found = await store.send([["MEMORY", "USAGE", name, "SAMPLES", 0] for name in names])
        grown = resident_bytes(pids["valkey"]) - resident
        await client.resume_channel(channel)  # type: ignore[arg-type]
        await watch.until(before, queued, knobs.queued, began)
    finally:
        await store.close()
    return {
        "redis_bytes_per_queued": round(sum(size or 0 for size in found) / queued, 1),
        "redis_resident_bytes_per_queued": round(grown / queued, 1),  # with what stays: dedupe marks, idempotency keys
    }


async def _always(answered: int) -> None:
    """There is room."""


async def _only_queued(client: AsyncClient, channel: str) -> None:
    """Waits until nothing is on its way but before the channel's providers."""
    await _until_empty(client, lambda stream: stream.startswith(f"out:{channel}"))


async def check_books(client: AsyncClient) -> None:
    """Raises RuntimeError if anything is left on the way."""
    await _until_empty(client, lambda stream: False)


async def _until_empty(client: AsyncClient, may_stay: Callable[[str], bool]) -> None:
    ends = time.monotonic() + SETTLE_S
    while left := {s.stream: s.depth for s in (await client.stations()).streams if s.depth and not may_stay(s.stream)}:
        if time.monotonic() > ends:
            raise RuntimeError(f"left in the streams: {left}")
        await asyncio.sleep(POLL_S)


def settings_of(provider: str) -> Settings:
    """What the environment says, with e-mails by `provider`."""
    given = load_settings(partial=True)
    return given if provider == "in_app" else given.model_copy(update={"email_providers": (provider,)})


@dataclass(frozen=True, slots=True)
class Round:
    """One run on a system of its own, and what there was to weigh after it."""

    run: Run
    strangers: Run
    weights: dict[str, float]
    resident_mib: dict[str, int]


async def once(knobs: argparse.Namespace, number: int) -> Round:
    """A new system: setup, a warm-up, one run, the weighing."""
    with tempfile.TemporaryDirectory(prefix="tidings-bench-", ignore_cleanup_errors=True) as folder:
        up = running(Path(folder) / "data", say, fixed_ports=False, given=settings_of(knobs.provider))
        async with up as (system, supervisor), system.client() as client:
            await prepare(system, client, knobs.recipients)
            load = Load(knobs.batch, knobs.recipients, CHANNELS[knobs.provider], random.Random(knobs.seed + number))
            watch = Watch(system, knobs.provider)

            async def measured(name: str, load: Load, count: int) -> Run:
                run = await measure(system, supervisor.pids, load, watch, count, knobs)
                await check_books(client)
                say(f"{name}: {run}")
                return run

            await measured("warm-up", load, min(knobs.count, WARM_UP))
            run = await measured(f"run {number}", load, knobs.count)
            nobody_known = Load(knobs.batch, 0, CHANNELS[knobs.provider], random.Random(knobs.seed + knobs.runs + number))
            await store_strangers(system, nobody_known, knobs)
            strangers = await measured(f"run {number}, to strangers", nobody_known, knobs.strangers)
            memory = {name: round(resident_bytes(pid) / 2**20) for name, pid in supervisor.pids.items()}
            weights = await weigh(system, client, supervisor.pids, load, watch, knobs)
            await check_books(client)
    return Round(run, strangers, weights, memory)


async def bench(knobs: argparse.Namespace) -> dict[str, Any]:
    """All runs, each on a system of its own: what one leaves behind (marks, rows) is not the next one's burden."""
    rounds = [await once(knobs, number) for number in range(1, knobs.runs + 1)]
    return {
        "workload": "pipeline",
        **machine(),
        "knobs": {**vars(knobs), "redis": "valkey, AOF everysec", "repeats_percent": 100 // REPEAT_EVERY},
        **figures([one.run for one in rounds]),
        "strangers": figures([one.strangers for one in rounds]),
        **rounds[-1].weights,
        "resident_mib": rounds[-1].resident_mib,
    }


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Speeds and costs of several runs."""
    return {
        "accepted_per_s": spread(run.accepted_per_s for run in runs),
        "delivered_per_s": spread(run.delivered_per_s for run in runs),
        "recorded_per_s": spread(run.recorded_per_s for run in runs),
        "cpu_us": spreads([run.cpu_us for run in runs]),
        "cpu_us_sum": spread((sum(run.cpu_us.values()) for run in runs), 1),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2_000_000, help="notifications in a run")
    parser.add_argument("--strangers", type=int, default=500_000, help="notifications of a second run, each to somebody else")
    parser.add_argument("--batch", type=int, default=500, help="notifications in a call")
    parser.add_argument("--calls", type=int, default=4, help="calls at a time")
    parser.add_argument(
        "--ahead", type=int, default=300_000, help="accepted and not yet recorded at most: no more is sent then"
    )
    parser.add_argument("--queued", type=int, default=20_000, help="notifications that are weighed in their queue")
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--provider", choices=tuple(CHANNELS), default="discard", help="where deliveries go")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--allow-pure", action="store_true", help="measure although the native modules are not built")
    knobs = parser.parse_args()
    if not fastpath.NATIVE and not knobs.allow_pure:
        sys.exit(f"the native modules of fastpath are not built ({fastpath.WHY}): run `make build`, or give --allow-pure")
    print(json.dumps(uvloop.run(bench(knobs))))


if __name__ == "__main__":
    main()
