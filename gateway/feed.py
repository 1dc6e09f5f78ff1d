"""Flow control of a stream of requests: a few wait, then the caller is slowed down; whoever works takes all that wait."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """Messages between their reader and their worker.

    Args:
        source: where they come from; not read further while `window` messages wait, so that HTTP/2 slows the caller down.
        window: how many.
    """

    def __init__(self, source: AsyncIterator[T], window: int) -> None:
        self._source = source
        self._window = window
        self._waiting: deque[T] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._end: Exception | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Feed[T]":
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reader is not None
        self._reader.cancel()
        await asyncio.wait([self._reader])

    def end(self, error: Exception) -> None:
        """Reads no further; what waits is still handed out, then `take` raises `error`."""
        if self._reader is not None and not self._reader.done():
            self._end = error
            self._reader.cancel()

    async def take(self) -> list[T]:
        """All messages that wait, at least one; [] when the caller has ended the stream.

        Raises:
            Exception: what ended the stream otherwise, after the last message before it.
        """
        while not self._waiting:
            if self._reader is None or self._reader.done():
                if self._end is not None:
                    raise self._end
                return []
            self._news.clear()
            await self._news.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        self._room.set()
        return taken

    async def _read(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self._news.set())
        try:
            async for message in self._source:
                self._waiting.append(message)
                self._news.set()
                while len(self._waiting) >= self._window:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            self._end = error
