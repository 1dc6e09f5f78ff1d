"""What notifications leave behind: rows and indexes in PostgreSQL, its log, marks in Redis. Looks, and changes nothing."""

from dataclasses import dataclass
from typing import Any

from bench.stock import connected
from core.clock import SYSTEM_CLOCK
from core.marks import CLAIMED_S, Marks
from core.store import Store
from fastpath import Claims, LocalFilter, record
from fastpath.layout import NOTIFICATION
from ledger.database import Database
from tidings.up.supervisor import System

# Partitioned tables have no size of their own: their partitions have.
_SIZES = b"""
select
    (select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'deliveries'::regclass)::bigint,
    pg_total_relation_size('inbox')::bigint,
    pg_total_relation_size('recipients')::bigint,
    (select count(*) from recipients)::bigint,
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint
"""

MARKS, BATCH = 100_000, 250  # marks that are weighed, and how many are claimed at a time


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes at one moment, indexes included; `wal` and `redis` too."""

    deliveries: int
    inbox: int
    recipients: int
    recipient_rows: int
    wal: int  # written since the cluster was made
    redis: int

    @staticmethod
    def difference(before: "Footprint", after: "Footprint", count: int) -> dict[str, Any]:
        """Bytes that each of `count` notifications left between two moments, and that a recipient takes."""
        return {
            "postgres_bytes": {
                "delivery": round((after.deliveries - before.deliveries) / count, 1),
                "inbox": round((after.inbox - before.inbox) / count, 1),
                "wal": round((after.wal - before.wal) / count, 1),
                "recipient": round(after.recipients / max(1, after.recipient_rows), 1),
            },
            "redis_left_bytes": round((after.redis - before.redis) / count, 2),
        }


async def footprint(system: System) -> Footprint:
    """As of now."""
    database = await Database.open(system.settings.database_url)
    try:
        (row,) = await database.fetch(_SIZES, {})
    finally:
        await database.close()
    async with connected(system.settings) as store:
        deliveries, inbox, recipients, recipient_rows, wal = map(int, row)
        return Footprint(deliveries, inbox, recipients, recipient_rows, wal, await redis_bytes(store))


async def redis_bytes(store: Store) -> int:
    """Memory in use, without what waits to be written to the append-only file and what clients' buffers take."""
    (info,) = await store.send([["INFO", "memory"]])
    figures = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    return int(figures["used_memory"]) - int(figures["mem_aof_buffer"]) - int(figures["mem_clients_normal"])


async def mark_bytes(store: Store) -> float:
    """What a mark takes in Redis: half of those weighed are the dispatcher's of what came with a key, half the gateway's.

    Claimed in batches as large as usual: Redis keeps buffers as large as the largest command for a while.
    """
    before, marks, now_ms = await redis_bytes(store), await Marks(store).open(), SYSTEM_CLOCK.now_ms()
    for start in range(0, MARKS // 2, BATCH):
        keys = [f"{start + i:032x}" for i in range(BATCH)]
        records = [record(NOTIFICATION, id=bytes.fromhex(key), mark=key) for key in keys]
        claims = Claims(LocalFilter(1), CLAIMED_S, now_ms)
        claims.ask(f"{start}-0", records, [None] * BATCH)
        await marks.claim(0, claims.strange(), now_ms)
        await marks.reserve([(0, key, bytes(32)) for key in keys], now_ms)
    return round((await redis_bytes(store) - before) / MARKS, 1)
