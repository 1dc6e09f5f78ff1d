"""One connection to Redis as it is used for work: a write, and as many replies as it asked for, read without ceremony.

The driver opens and logs in (URLs, TLS and passwords are its business) and hands its socket over; only core/store.py does so.
"""

import asyncio
from typing import Any

import hiredis

_LATER = object()  # what the reader returns while a reply is not complete


class Lost(ConnectionError):
    """The connection broke or was closed; what was asked may or may not have happened."""


class Wire(asyncio.Protocol):
    """A logged-in connection, one exchange at a time.

    A reply costs no coroutine, no timer and no future: the driver's way of reading costs a hundred times the parsing.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        """Takes `transport` over; nothing may be on its way in it."""
        self.usable = not transport.is_closing()
        self._transport = transport
        self._reader = hiredis.Reader(notEnoughData=_LATER)
        self._replies: list[Any] = []
        self._wanted = 0
        self._answer: asyncio.Future[list[Any]] | None = None
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        transport.set_protocol(self)

    async def exchange(self, commands: bytes, count: int, patience_s: float) -> list[Any]:
        """Writes packed commands and returns their `count` replies; a refusal is a hiredis.ReplyError in its place.

        Not answered to the end, by an error or a cancellation, the connection is of no use any more.

        Raises:
            Lost: it broke before the last reply.
            TimeoutError: nothing came for `patience_s` seconds.
        """
        if not self.usable:
            raise Lost("the connection was closed")
        self._replies, self._wanted = [], count
        answer = self._answer = self._loop.create_future()
        self._heard_at = self._loop.time()
        timer = self._loop.call_later(patience_s, self._check, answer, patience_s)
        self.usable = False
        try:
            self._transport.write(commands)
            replies: list[Any] = await answer
        finally:
            self._answer = None
            timer.cancel()
        self.usable = not self._transport.is_closing()
        return replies

    def close(self) -> None:
        """Closes at once; an exchange under way ends with Lost."""
        self.usable = False
        self._transport.abort()

    def _check(self, answer: "asyncio.Future[list[Any]]", patience_s: float) -> None:
        """Ends an exchange in which nothing was heard for so long; looks again later if something was."""
        if answer.done():
            return
        left_s = self._heard_at + patience_s - self._loop.time()
        if left_s <= 0:
            answer.set_exception(TimeoutError("no reply in time"))
        else:
            self._loop.call_later(left_s, self._check, answer, patience_s)

    # What the loop calls ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parses what has arrived."""
        self._heard_at = self._loop.time()
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets(False)) is not _LATER:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self._break(Lost(f"not a reply of Redis: {error}"))
            return
        if self._answer is not None and len(self._replies) >= self._wanted and not self._answer.done():
            self._answer.set_result(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side went away, or we closed."""
        self._break(Lost(str(exc or "closed by the other side")))

    def _break(self, error: Lost) -> None:
        self.usable = False
        self._transport.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
