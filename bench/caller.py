"""Unary gRPC calls over one HTTP/2 connection that cost their caller little: a load generator should not be the load.

grpc.aio's client takes 0.4 ms of CPU for a call by itself, more than any station behind it. The frames are those of RFC 9113,
the messages in them as gRPC over HTTP/2 has them; a call has few bytes, and the same headers as the one before.
"""

import asyncio
import struct
from collections.abc import Sequence
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
HEAD = struct.Struct(">HBBBI")  # length in 24 bits (high 16, low 8), type, flags, stream
WINDOW = 65_535  # what a side may send before it hears more, RFC 9113 section 6.9.2
LARGEST = 2**31 - 1
FIRST_DYNAMIC = 62  # in HPACK's table: the header that was added last


class Refused(Exception):
    """A call was answered with an error, or its connection ended."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def header_blocks(headers: Sequence[tuple[str, str]]) -> tuple[bytes, bytes]:
    """HPACK for the first call, which teaches the server the headers, and for all that follow, which name their places.

    Raises:
        ValueError: a word is too long for a length in one byte.
    """
    words = [word.encode() for pair in headers for word in pair]
    if max(map(len, words)) >= 0x7F:
        raise ValueError(f"a header has more than {0x7E} bytes")
    taught = b"".join(b"\x40" * (i % 2 == 0) + bytes((len(word),)) + word for i, word in enumerate(words))
    return taught, bytes(0x80 | FIRST_DYNAMIC + i for i in reversed(range(len(headers))))


class Caller(asyncio.Protocol):
    """Calls of one method: `Caller.connect`, then `call`, at last `close`."""

    def __init__(self, headers: Sequence[tuple[str, str]]) -> None:
        self._block, self._next_block = header_blocks(headers)
        self._transport: asyncio.Transport
        self._buffer = b""
        self._stream = -1
        self._window = WINDOW
        self._calls: dict[int, asyncio.Future[bytes]] = {}
        self._answers: dict[int, bytes] = {}

    @classmethod
    async def connect(cls, target: str, method: str, token: str) -> "Caller":
        """A connection to `target` ("host:port"), for calls of `method` with a key's `token`. Raises OSError."""
        host, port = target.rsplit(":", 1)
        pseudo = ((":method", "POST"), (":scheme", "http"), (":path", method), (":authority", target))
        plain = (("te", "trailers"), ("content-type", "application/grpc"), ("authorization", f"Bearer {token}"))
        caller = cls((*pseudo, *plain))
        await asyncio.get_running_loop().create_connection(lambda: caller, host, int(port))
        return caller

    def call(self, message: bytes) -> "asyncio.Future[bytes]":
        """Makes a call at once; its answer, or Refused."""
        self._stream += 2
        body = b"\0" + len(message).to_bytes(4) + message
        self._window -= len(body)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._window < 0 or self._transport.is_closing():
            answer.set_exception(Refused("the server reads no more"))
            return answer
        self._calls[self._stream] = answer
        head, self._block = frame(HEADERS, END_HEADERS, self._stream, self._block), self._next_block
        self._transport.write(head + frame(DATA, END_STREAM, self._stream, body))
        return answer

    def close(self) -> None:
        """Hangs up."""
        self._transport.close()

    # What the loop calls ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says hello, and that it may be sent as much as there is."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        more = frame(WINDOW_UPDATE, 0, 0, (LARGEST - WINDOW).to_bytes(4))
        self._transport.write(PREFACE + frame(SETTINGS, 0, 0) + more)

    def data_received(self, data: bytes) -> None:
        """Takes in whole frames, and keeps what is not one yet."""
        buffer, at = self._buffer + data, 0
        while len(buffer) - at >= HEAD.size:
            high, low, kind, flags, stream = HEAD.unpack_from(buffer, at)
            end = at + HEAD.size + (high << 8 | low)
            if len(buffer) < end:
                break
            self._take(kind, flags, stream, buffer[at + HEAD.size : end])
            at = end
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody answers any more."""
        for stream in list(self._calls):
            self._refuse(stream, f"the connection ended: {exc}")

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._answers[stream] = self._answers.get(stream, b"") + payload
        elif kind == HEADERS and flags & END_STREAM:
            self._end(stream, payload)
        elif kind == RST_STREAM:
            self._refuse(stream, f"reset, code {int.from_bytes(payload)}")
        elif kind == GOAWAY:
            self._transport.close()
        elif kind == WINDOW_UPDATE and not stream:
            self._window += int.from_bytes(payload)
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))

    def _end(self, stream: int, trailers: bytes) -> None:
        """An error has trailers and no message."""
        answer = self._answers.pop(stream, b"")
        if answer:
            self._calls.pop(stream).set_result(answer[5:])
        else:
            self._refuse(stream, f"refused: {trailers!r}")

    def _refuse(self, stream: int, why: str) -> None:
        answer = self._calls.pop(stream, None)
        if answer is not None and not answer.done():
            answer.set_exception(Refused(why))
