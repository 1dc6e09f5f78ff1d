"""tidings on the same job: `python -m dispatcher` itself, which besides routes, chooses a language and writes timelines.

The messages stand in its inbound streams as the gateway writes them; recipients and templates are in PostgreSQL.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping

import orjson

from bench.peers import job
from bench.stock import SOURCE, fill
from core import ids, keys
from core.config import child_environment
from core.model import Channel, Class, Part, Priority
from core.settings import Settings
from core.store import Store
from fastpath import Record
from gateway.accept import partition, to_record
from gateway.validate import Addresses, Draft
from ledger import Ledger
from ledger.values import StoredRecipient, StoredTemplate, TemplateContent

PEOPLE = 10_000
LOW = Priority.LOW


async def prepare(database_url: str) -> None:
    """Recipients and templates."""
    ledger = await Ledger.open(database_url, migrate=True)
    try:
        for name, html in (("plain", job.PLAIN), ("loop", job.LOOP)):
            contents = tuple(
                TemplateContent(Channel.EMAIL, x, {Part.SUBJECT: x + " {{ order }}", Part.HTML: html, Part.TEXT: job.PLAIN})
                for x in job.LANGUAGES
            )
            await ledger.templates.put(StoredTemplate(name, "en", (), contents))
        for start in range(0, PEOPLE, 100):
            people = [
                StoredRecipient(f"person-{i}", email=f"person-{i}@example.com", language=job.LANGUAGES[i % 5])
                for i in range(start, start + 100)
            ]
            await asyncio.gather(*map(ledger.recipients.upsert, people))
    finally:
        await ledger.close()


def environment(settings: Settings) -> Mapping[str, str]:
    """What a dispatcher is started with."""
    return child_environment(settings)


def records(count: int, seed: int, partitions: int) -> Iterator[Record]:
    """The messages as the gateway would write them, with a dedupe window."""
    for message in job.messages(count, seed):
        now_ms = time.time_ns() // 1_000_000
        draft = Draft(
            type="order_update",
            priority=LOW,
            klass=Class.TRANSACTIONAL,
            channels=Channel.EMAIL.mask,
            to=Addresses(message["recipient"]),
            template=message["template"],
            version=1,
            names=None,
            data=orjson.dumps(message["data"]),
            source=SOURCE,
            at_ms=0,
            expires_ms=0,
            key="",
            dedupe_s=job.SEEN_S,
        )
        id_ = ids.new_id(partition(draft, partitions), LOW, now_ms)
        yield to_record(draft, id=id_, version=1, accepted_ms=now_ms, traceparent="", mark="")


async def lay(store: Store, settings: Settings, count: int, seed: int) -> int:
    """Fills the inbound streams; how many entries."""
    return (await fill(store, settings, records(count, seed, settings.partitions))).entries


async def entries_left(store: Store, settings: Settings) -> int:
    """Entries of the inbound streams: an entry is deleted in the step that appends what came of it."""
    lengths = await store.send([["XLEN", keys.inbound(p, LOW)] for p in range(settings.partitions)])
    return sum(map(int, lengths))
