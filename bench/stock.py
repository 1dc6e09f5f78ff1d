"""A backlog: notifications appended to the inbound streams as the gateway appends them, while the dispatcher is held still.

Knows what the gateway writes (gateway.accept, gateway.commit) and nothing of how it is read. No part of any clock.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast, get_args

from core import ids
from core.config import load_settings
from core.model import Channel, Class, Priority
from core.settings import EmailProvider, Settings
from core.store import Store
from core.streams import Append, Streams
from fastpath import Record
from gateway.accept import partition, to_record
from gateway.commit import frames
from gateway.validate import Addresses, Draft

DISCARD = "discard"  # the in-process e-mail provider that counts and sends nothing
BATCH = 500  # notifications of one SendBatch call: frames of about this / partitions
WINDOW = 16  # calls appended in one round trip
QUIET_S = 0.5  # a blocked read of the held station is over by then, so that it takes nothing with it
SOURCE = "bench"


@dataclass(frozen=True, slots=True)
class Stock:
    """What was appended: notifications, stream entries, bytes of their frames."""

    count: int = 0
    entries: int = 0
    frame_bytes: int = 0


def choose_channel() -> str:
    """The channel that the benches deliver to: e-mail where the provider that discards is there, else the inbox."""
    return "email" if DISCARD in get_args(EmailProvider) else "in_app"


def bench_settings() -> Settings:
    """The environment's settings, with the provider that `choose_channel` stands on."""
    given = load_settings(partial=True)
    if choose_channel() != "email":
        return given
    return given.model_copy(update={"email_providers": cast(tuple[EmailProvider, ...], (DISCARD,))})


def records(count: int, settings: Settings, recipients: int, channel: str, dice: random.Random) -> Iterator[Record]:
    """Records of priority low: bench.pipeline's two templates by turns, recipients at random, no two with the same data."""
    mask = Channel[channel.upper()].mask
    run = f"{dice.getrandbits(48):012x}"
    for i in range(count):
        goods = ",".join(f'{{"title":"thing {dice.randrange(1000)}","price":"{dice.randrange(100)}.00"}}' for _ in range(3))
        data = f'{{"name":"Person {i}","order":"{run}-{i}","total":"{i}.00","items":[{goods}]}}'.encode()
        to = Addresses(f"person-{dice.randrange(recipients)}")
        template = ("plain", "loop")[i % 2]
        draft = Draft(
            "newsletter", Priority.LOW, Class.TRANSACTIONAL, mask, to, template, 1, None, data, SOURCE, 0, 0, "", 0
        )  # fmt: skip
        now_ms = time.time_ns() // 1_000_000
        id_ = ids.new_id(partition(draft, settings.partitions), Priority.LOW, now_ms)
        yield to_record(draft, id=id_, version=1, accepted_ms=now_ms, traceparent="", mark="")


async def fill(store: Store, settings: Settings, made: Iterator[Record]) -> Stock:
    """Appends all records, as SendBatch calls of BATCH would."""
    streams = Streams(store)
    stock, waiting, batch = Stock(), list[Append](), list[Record]()

    async def flush(pending: list[Append], so_far: Stock) -> Stock:
        await streams.append(pending)
        size = so_far.frame_bytes + sum(len(append.frame) for append in pending)
        count = so_far.count + sum(int.from_bytes(append.frame[4:8], "little") for append in pending)
        return Stock(count, so_far.entries + len(pending), size)

    for record in made:
        batch.append(record)
        if len(batch) == BATCH:
            waiting += frames(batch, settings.partitions)
            batch = []
        if len(waiting) >= WINDOW * settings.partitions:
            stock, waiting = await flush(waiting, stock), []
    return await flush([*waiting, *frames(batch, settings.partitions)], stock)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Store]:
    """A connection to a system's Redis."""
    store = await Store.connect(settings.redis_url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def held(pid: int) -> AsyncIterator[None]:
    """A process stands still (SIGSTOP) for as long as the context lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(QUIET_S)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
