"""Background tasks end, however they take it."""

import asyncio

from core.tasks import end


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    async def obedient() -> None:
        await asyncio.Event().wait()

    async def broken() -> None:
        raise ValueError

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(obedient()), asyncio.create_task(broken())]
    await asyncio.sleep(0)
    await end(*tasks)
    assert all(task.done() for task in tasks) and swallowed == 2


async def test_nothing_to_end() -> None:
    await end()
