"""Twin of fastpath/resp.pyx: Redis commands as bytes, and the reply of XREADGROUP as entries. Knows no key and does no I/O."""

from collections.abc import Iterable, Sequence
from typing import Any

from fastpath.errors import FrameError
from fastpath.layout import FIELD

Argument = bytes | str | int | float


def pack_command(args: Sequence[Argument]) -> bytes:
    """One command as a RESP array of bulk strings. Text is UTF-8, numbers are written as Python prints them.

    Raises:
        ValueError: no argument.
        TypeError: an argument of another type (bool and None included).
    """
    if not args:
        raise ValueError("a command has at least its name")
    return b"*%d\r\n" % len(args) + b"".join(_bulk(arg) for arg in args)


def pack_commands(commands: Iterable[Sequence[Argument]]) -> bytes:
    """A pipeline of commands, one after the other; see `pack_command`."""
    return b"".join(pack_command(args) for args in commands)


def pack_xadd(stream: str | bytes, frame: bytes) -> bytes:
    """XADD of a frame, under an id that Redis makes."""
    return pack_command((b"XADD", stream, b"*", FIELD, frame))


def pack_ack(stream: str | bytes, group: str | bytes, ids: Sequence[str | bytes]) -> bytes:
    """XACK and then XDEL of entries, two commands.

    Raises:
        ValueError: no id.
    """
    if not ids:
        raise ValueError("nothing to acknowledge")
    return pack_command((b"XACK", stream, group, *ids)) + pack_command((b"XDEL", stream, *ids))


def read_entries(reply: Any) -> list[tuple[str, str, bytes]]:
    """(stream, entry id, frame) from hiredis' reply to XREADGROUP, undecoded: RESP2's lists, RESP3's dict, or None.

    An entry that was deleted while it was pending comes with an empty frame.

    Raises:
        FrameError: the reply has another shape.
    """
    if reply is None:
        return []
    streams = reply.items() if isinstance(reply, dict) else reply
    found = []
    try:
        for stream, entries in streams:
            name = stream.decode()
            found += [(name, id.decode(), _frame(fields)) for id, fields in entries]
    except (AttributeError, TypeError, ValueError) as error:
        raise FrameError("not a reply to XREADGROUP") from error
    return found


def _bulk(arg: Argument) -> bytes:
    if isinstance(arg, str):
        arg = arg.encode()
    elif isinstance(arg, int) and not isinstance(arg, bool):
        arg = b"%d" % arg
    elif isinstance(arg, float):
        arg = repr(arg).encode()
    elif not isinstance(arg, bytes):
        raise TypeError(f"cannot send {type(arg).__name__} to Redis")
    return b"$%d\r\n%b\r\n" % (len(arg), arg)


def _frame(fields: Any) -> bytes:
    """The frame among an entry's flat list of names and values."""
    if fields is None:
        return b""
    for at in range(0, len(fields) - 1, 2):
        if fields[at] == FIELD:
            frame = fields[at + 1]
            if not isinstance(frame, bytes):
                raise TypeError("a frame is bytes")
            return frame
    raise FrameError("an entry without a frame")
