"""Celery: prefork, no results, JSON; the prefetch that its guide gives for short tasks; acknowledged early, its default."""

from typing import Any

from celery import Celery
from redis import Redis

from bench.peers import job

PREFETCH = 64  # docs.celeryq.dev, optimizing: "say 64, or 128" for many short tasks


def application(url: str) -> tuple[Celery, Any]:
    """The application and its task."""
    app = Celery("peers", broker=url)
    app.conf.update(
        task_ignore_result=True,
        worker_prefetch_multiplier=PREFETCH,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    redis = Redis.from_url(url)

    @app.task(name="peers.handle")
    def handle(message: dict[str, Any]) -> None:
        first = redis.set(job.seen_key(message), message["id"], nx=True, ex=job.SEEN_S)
        redis.rpush(job.OUT, job.done(message, first))

    return app, handle


def fill(url: str, count: int, seed: int) -> None:
    _, handle = application(url)
    for message in job.messages(count, seed):
        handle.delay(message)


def work(url: str, processes: int) -> None:
    app, _ = application(url)
    flags = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    app.worker_main(["worker", "--pool=prefork", f"--concurrency={processes}", *flags])


if __name__ == "__main__":
    job.main(fill, work)
