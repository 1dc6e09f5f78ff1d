"""Varints as protobuf has them (LEB128, 64 bits) and its zigzag of signed numbers, for the twins and for readers. No I/O."""

_MASK = (1 << 64) - 1
_HALF = 1 << 63


def put(value: int) -> bytes:
    """One to ten bytes.

    Args:
        value: 0 to 2^64 - 1.
    """
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def take(wire: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the varint at `at` ends, and its value; -1 and 0 if it has no end before `end`, or more than 64 bits."""
    value = shift = 0
    for here in range(at, min(end, at + 10)):
        value |= (wire[here] & 127) << shift
        shift += 7
        if wire[here] < 128:
            return (here + 1, value) if value <= _MASK else (-1, 0)
    return -1, 0


def signed(number: int) -> int:
    """What the lowest 64 bits say, as C has them: -2^63 to 2^63 - 1."""
    return (number + _HALF & _MASK) - _HALF


def zigzag(number: int) -> int:
    """0, 1, 2, 3 ... for 0, -1, 1, -2 ...: a small number is short, whatever its sign; of a long one its lowest 64 bits."""
    number = signed(number)
    return 2 * number if number >= 0 else -2 * number - 1


def unzigzag(value: int) -> int:
    """The number that `zigzag` made this of."""
    return value >> 1 ^ -(value & 1)
