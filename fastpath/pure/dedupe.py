"""Twin of fastpath/dedupe.pyx: the hash of a notification's content, and a bounded memory of marks in front of Redis.

The filter only ever says what it was told: forgetting costs a question to Redis, never a wrong answer.
"""

from collections import OrderedDict

from fastpath.values import MARK_BYTES

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_C1 = 0x87C3_7B91_1142_53D5
_C2 = 0x4CF5_AD43_2745_937F
_NEVER_MS = -(1 << 63)


def content_hash(recipient: bytes, type: str, template: str, version: int, data: bytes) -> bytes:
    """16 bytes that are equal for equal content: MurmurHash3 x64 128 over the fields, each after its length.

    Not a cryptographic hash: it recognises repetition, it proves nothing.

    Raises:
        ValueError: `version` is not a u32.
    """
    if not 0 <= version <= 0xFFFF_FFFF:
        raise ValueError("version does not fit 4 bytes")
    fields = (recipient, type.encode(), template.encode(), version.to_bytes(4, "little"), data)
    return murmur3(b"".join(len(field).to_bytes(4, "little") + field for field in fields))


def murmur3(data: bytes, seed: int = 0) -> bytes:
    """MurmurHash3 x64 128 (Austin Appleby, public domain), 16 bytes, little endian. `seed` is a u32."""
    h1 = h2 = seed
    whole = len(data) & ~15
    for at in range(0, whole, 16):
        h1 ^= _mix(int.from_bytes(data[at : at + 8], "little"), _C1, 31, _C2)
        h1 = ((_rotate(h1, 27) + h2) * 5 + 0x52DC_E729) & _MASK
        h2 ^= _mix(int.from_bytes(data[at + 8 : at + 16], "little"), _C2, 33, _C1)
        h2 = ((_rotate(h2, 31) + h1) * 5 + 0x3849_5AB5) & _MASK
    tail = data[whole:]
    h2 ^= _mix(int.from_bytes(tail[8:], "little"), _C2, 33, _C1)
    h1 ^= _mix(int.from_bytes(tail[:8], "little"), _C1, 31, _C2)
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1, h2 = _finish(h1), _finish(h2)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return h1.to_bytes(8, "little") + h2.to_bytes(8, "little")


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _mix(lane: int, first: int, bits: int, second: int) -> int:
    return _rotate(lane * first & _MASK, bits) * second & _MASK


def _finish(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51_AFD7_ED55_8CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CE_B9FE_1A85_EC53 & _MASK
    return value ^ value >> 33


class LocalFilter:
    """Marks seen lately, at most `capacity`; the one first put in is the first forgotten.

    A mark and a value that take more than MARK_BYTES together are not remembered.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a filter holds at least one mark")
        self._capacity = capacity
        self._seen: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()

    def get(self, mark: bytes, now_ms: int) -> bytes | None:
        """The value put under `mark`, None if there is none or it expired at or before `now_ms`."""
        seen = self._seen.get(mark)
        return seen[0] if seen is not None and seen[1] > now_ms else None

    def put(self, mark: bytes, value: bytes, expires_ms: int) -> None:
        """Remember `value` until `expires_ms`; what stood there is replaced and keeps its place in the queue."""
        if len(mark) + len(value) > MARK_BYTES:
            if mark not in self._seen:
                return
            value, expires_ms = b"", _NEVER_MS  # what it replaces does not hold any more
        if mark not in self._seen and len(self._seen) >= self._capacity:
            self._seen.popitem(last=False)
        self._seen[mark] = (value, expires_ms)

    def __len__(self) -> int:
        return len(self._seen)
