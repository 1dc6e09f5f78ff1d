"""Dramatiq: its Redis broker and middleware as they come, eight threads in each process (its default), no results."""

import signal
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from redis import Redis

from bench.peers import job

THREADS = 8


def broker_at(url: str) -> tuple[Any, Any]:
    """The broker and its actor."""
    broker = RedisBroker(url=url)
    dramatiq.set_broker(broker)
    redis = Redis.from_url(url)

    @dramatiq.actor(broker=broker)
    def handle(message: dict[str, Any]) -> None:
        first = redis.set(job.seen_key(message), message["id"], nx=True, ex=job.SEEN_S)
        redis.rpush(job.OUT, job.done(message, first))

    return broker, handle


def fill(url: str, count: int, seed: int) -> None:
    _, handle = broker_at(url)
    for message in job.messages(count, seed):
        handle.send(message)


def work(url: str, processes: int) -> None:
    broker, _ = broker_at(url)
    dramatiq.Worker(broker, worker_threads=THREADS).start()
    signal.pause()


if __name__ == "__main__":
    job.main(fill, work)
