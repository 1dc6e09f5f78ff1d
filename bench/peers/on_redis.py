"""A plain redis-py loop with hiredis: 500 stream entries a read, a pipeline for the marks, another for records and XACKs."""

import os
from contextlib import suppress
from typing import Any

import orjson
from redis import Redis
from redis.exceptions import ResponseError

from bench.peers import job

STREAM, GROUP, FIELD = "peers:in", "peers", b"m"
BATCH = 500


def fill(url: str, count: int, seed: int) -> None:
    redis: Any = Redis.from_url(url)
    pipeline = redis.pipeline(transaction=False)
    for i, message in enumerate(job.messages(count, seed), 1):
        pipeline.xadd(STREAM, {FIELD: orjson.dumps(message)})
        if i % BATCH == 0 or i == count:
            pipeline.execute()


def work(url: str, processes: int) -> None:
    redis: Any = Redis.from_url(url)
    with suppress(ResponseError):  # another process was first
        redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    while True:
        for _, entries in redis.xreadgroup(GROUP, str(os.getpid()), {STREAM: ">"}, count=BATCH, block=1000) or ():
            messages = [orjson.loads(fields[FIELD]) for _, fields in entries]
            marks = redis.pipeline(transaction=False)
            for message in messages:
                marks.set(job.seen_key(message), message["id"], nx=True, ex=job.SEEN_S)
            firsts = marks.execute()
            records = redis.pipeline(transaction=False)
            records.rpush(job.OUT, *map(job.done, messages, firsts))
            ids = [id_ for id_, _ in entries]
            records.xack(STREAM, GROUP, *ids)
            records.xdel(STREAM, *ids)
            records.execute()


if __name__ == "__main__":
    job.main(fill, work)
