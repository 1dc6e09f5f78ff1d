"""Taskiq: its Redis stream broker (the one that acknowledges), a hundred tasks at once (its default), uvloop, no results."""

from typing import Any

import uvloop
from redis.asyncio import Redis
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from bench.peers import job


def broker_at(url: str) -> tuple[Any, Any]:
    """The broker and its task."""
    broker = RedisStreamBroker(url, consumer_id="0")
    redis = Redis.from_url(url)

    @broker.task
    async def handle(message: dict[str, Any]) -> None:
        first = await redis.set(job.seen_key(message), message["id"], nx=True, ex=job.SEEN_S)
        await redis.rpush(job.OUT, job.done(message, first))

    return broker, handle


def fill(url: str, count: int, seed: int) -> None:
    async def send() -> None:
        broker, handle = broker_at(url)
        await broker.startup()
        for message in job.messages(count, seed):
            await handle.kiq(message)
        await broker.shutdown()

    uvloop.run(send())


def work(url: str, processes: int) -> None:
    async def serve() -> None:
        broker, _ = broker_at(url)
        broker.is_worker_process = True
        await run_receiver_task(broker, run_startup=True, max_prefetch=100)

    uvloop.run(serve())


if __name__ == "__main__":
    job.main(fill, work)
