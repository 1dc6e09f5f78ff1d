"""Flow control of streams: taken in order, all that wait; read no further than the window; ended from either side."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.feed import Feed
from tests.helpers import eventually


class Source:
    """Numbers from 0; says how far it was read."""

    def __init__(self, count: int, error: Exception | None = None, open_end: bool = False) -> None:
        self.read = 0
        self._count, self._error, self._open_end = count, error, open_end

    async def numbers(self) -> AsyncIterator[int]:
        for number in range(self._count):
            self.read += 1
            yield number
        if self._error is not None:
            raise self._error
        if self._open_end:
            await asyncio.Event().wait()


async def test_everything_is_taken_in_order() -> None:
    async with Feed(Source(100).numbers(), 7) as feed:
        taken: list[int] = []
        while some := await feed.take():
            assert len(some) <= 7
            taken += some
    assert taken == list(range(100))


async def test_no_more_is_read_than_the_window() -> None:
    source = Source(100)
    async with Feed(source.numbers(), 7) as feed:
        await eventually(lambda: source.read == 7)
        for _ in range(20):
            await asyncio.sleep(0)
        assert source.read == 7
        assert await feed.take() == list(range(7))
        await eventually(lambda: source.read == 14)


async def test_what_came_before_an_error_is_handed_out_first() -> None:
    async with Feed(Source(3, ValueError("broken")).numbers(), 10) as feed:
        taken: list[int] = []
        with pytest.raises(ValueError, match="broken"):
            while some := await feed.take():
                taken += some
    assert taken == [0, 1, 2]


async def test_the_drain_ends_it_after_what_waits() -> None:
    source = Source(3, open_end=True)
    async with Feed(source.numbers(), 10) as feed:
        await eventually(lambda: source.read == 3)
        feed.end(ValueError("draining"))
        assert await feed.take() == [0, 1, 2]
        with pytest.raises(ValueError, match="draining"):
            await feed.take()


async def test_the_drain_wakes_who_waits() -> None:
    async with Feed(Source(0, open_end=True).numbers(), 10) as feed:
        waiting = asyncio.create_task(feed.take())
        await asyncio.sleep(0)
        feed.end(ValueError("draining"))
        with pytest.raises(ValueError, match="draining"):
            await waiting


async def test_a_stream_that_has_ended_is_not_ended_again() -> None:
    async with Feed(Source(1).numbers(), 10) as feed:
        assert await feed.take() == [0]
        assert await feed.take() == []
        feed.end(ValueError("draining"))
        assert await feed.take() == []
