"""Twin of fastpath/batches.pyx: what surrounds the records of a request: frames of them, their answers, a stream's messages."""

from collections.abc import Iterable, Sequence

from fastpath import varints
from fastpath.layout import FRAME_HEADER
from fastpath.pure.records import Record, pack_frame

_WHERE = slice(6, 8)  # of an id: version, partition and priority


def pack_frames(records: Iterable[Record], most_records: int, most_bytes: int) -> list[tuple[Record, bytes]]:
    """Frames of records, one or more for each partition, priority (both are in the id) and kind: (first record, frame).

    A frame has at most `most_records`, and at most `most_bytes` unless a single record is longer. In each the records are in
    the order given; a full frame comes before what follows in its place, those that are not full come last.
    """
    open_: dict[tuple[bytes, int], list[Record]] = {}
    sizes: dict[tuple[bytes, int], int] = {}
    found: list[list[Record]] = []
    for record in records:
        where, size = (record.id[_WHERE], record.kind), len(record.raw)
        if where in open_ and (len(open_[where]) >= most_records or sizes[where] + size > most_bytes):
            found.append(open_[where])
            del open_[where]
        sizes[where] = sizes[where] + size if where in open_ else FRAME_HEADER + size
        open_.setdefault(where, []).append(record)
    return [(each[0], pack_frame(each)) for each in (*found, *open_.values())]


def by_priority(records: Iterable[Record]) -> dict[int, list[Record]]:
    """Records by their priority, in their order."""
    found: dict[int, list[Record]] = {}
    for record in records:
        found.setdefault(record.priority, []).append(record)
    return found


def pack_result(id: bytes) -> bytes:
    """A SendResult, or SendResponse, that says that the notification is stored under this id (16 bytes)."""
    h = id.hex()
    return b"\n$" + f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}".encode()


def pack_results(answers: Iterable[Record | bytes]) -> bytes:
    """A SendBatchResponse: for each answer the id of a stored record, or a SendResult as it is."""
    found = bytearray()
    for answer in answers:
        result = answer if isinstance(answer, bytes) else pack_result(answer.id)
        found += b"\n" + varints.put(len(result)) + result
    return bytes(found)


def pack_acknowledgement(sequence: int, result: bytes) -> bytes:
    """A SendStreamResponse: the message's sequence and its SendResult."""
    head = b"\x08" + varints.put(sequence) if sequence else b""
    return head + b"\x12" + varints.put(len(result)) + result


def join_messages(messages: Sequence[bytes]) -> tuple[list[int], bytes] | None:
    """SendStreamRequests as one SendBatchRequest: their sequences, and its bytes.

    None if one of them is not plainly a sequence (or none) and then one notification.
    """
    sequences: list[int] = []
    found = bytearray()
    for message in messages:
        sequence = at = 0
        if message[:1] == b"\x08":
            at, sequence = varints.take(message, 1, len(message))
        if at < 0 or message[at : at + 1] != b"\x12":
            return None
        begin, size = varints.take(message, at + 1, len(message))
        if begin < 0 or begin + size != len(message):
            return None
        sequences.append(sequence)
        found += b"\n" + varints.put(size) + message[begin:]
    return sequences, bytes(found)
