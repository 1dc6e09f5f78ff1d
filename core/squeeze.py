"""Frames made small for their way through Redis, and whole again. Pure; knows a frame's header, nothing of what is in it.

Notifications of one template repeat each other's words: a frame of them shrinks to a fifth for less CPU than Redis, its
append-only file and the sockets take to copy the rest, and a queue in Redis holds five times as many.

    b"TZ" | u8 version | u8 kind | u32 count | u32 bytes of the records | LZ4 block
"""

import lz4.block

from fastpath.layout import FRAME_HEADER, MAGIC

SQUEEZED = b"TZ"
LEAST = 2_048  # bytes; below it, so for single ones, it saves nothing that could be measured
MOST = 64 * 1024 * 1024  # of one frame's records, far above any that is made: what claims to be more is damaged


def squeeze(frame: bytes) -> bytes:
    """The frame as Redis gets it: smaller where that pays, otherwise as it is."""
    if len(frame) < LEAST or not frame.startswith(MAGIC):
        return frame
    packed: bytes = lz4.block.compress(memoryview(frame)[FRAME_HEADER:])
    if FRAME_HEADER + len(packed) >= len(frame):
        return frame
    return SQUEEZED + frame[len(SQUEEZED) : FRAME_HEADER] + packed


def restore(found: bytes) -> bytes:
    """The frame that was squeezed. What is damaged stays as it is: whoever unpacks it says so, and can show the bytes."""
    if not found.startswith(SQUEEZED) or int.from_bytes(found[FRAME_HEADER : FRAME_HEADER + 4], "little") > MOST:
        return found
    try:
        records: bytes = lz4.block.decompress(memoryview(found)[FRAME_HEADER:])
    except (lz4.block.LZ4BlockError, ValueError):
        return found
    return MAGIC + found[len(SQUEEZED) : FRAME_HEADER] + records
