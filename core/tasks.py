"""Ends background tasks for certain: some libraries swallow a cancellation, and whoever waited for it would wait for ever."""

import asyncio

AGAIN_S = 0.1  # a task that is not over by then is cancelled once more


async def end(*tasks: "asyncio.Task[None]") -> None:
    """Cancels tasks until all are over. What they raised while ending is theirs: nothing is raised here.

    redis-py, for one, looks at a pooled connection under a timeout of zero, and a cancellation that arrives there is lost.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen: asyncio need not complain
