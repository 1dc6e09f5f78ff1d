"""arq: a hundred jobs at once, results not kept, polled at once in place of every half second, uvloop."""

import asyncio
import logging
from typing import Any

import uvloop
from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker

from bench.peers import job

AT_ONCE = 100
POLL_S = 0.01


async def handle(context: dict[str, Any], message: dict[str, Any]) -> None:
    """The job; arq hands in its own connection."""
    redis = context["redis"]
    first = await redis.set(job.seen_key(message), message["id"], nx=True, ex=job.SEEN_S)
    await redis.rpush(job.OUT, job.done(message, first))


def fill(url: str, count: int, seed: int) -> None:
    async def send() -> None:
        pool = await create_pool(RedisSettings.from_dsn(url))
        for message in job.messages(count, seed):
            await pool.enqueue_job("handle", message)
        await pool.aclose()

    uvloop.run(send())


def work(url: str, processes: int) -> None:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.set_event_loop(asyncio.new_event_loop())
    logging.getLogger("arq").setLevel(logging.ERROR)
    Worker(
        [func(handle, name="handle", keep_result=0)],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=AT_ONCE,
        poll_delay=POLL_S,
    ).run()


if __name__ == "__main__":
    job.main(fill, work)
