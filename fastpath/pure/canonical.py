"""Twin of fastpath/canonical.pyx: a serialized google.protobuf.Struct as canonical JSON (keys sorted, whole numbers as ints).

The wire format as protobuf writes it, and nothing else: what is unusual, faulty or too large is left to somebody who can say
what is wrong with it.
"""

import orjson

from fastpath.pure.structs import read_struct

JSON_BYTES = 64 * 1024
WIRE_BYTES = 1024 * 1024


class Canonical:
    """Writes Structs; one at a time, as it has a buffer of its own."""

    def write(self, wire: bytes, required: frozenset[str] = frozenset()) -> bytes | None:
        """The JSON of a Struct, at most JSON_BYTES, the same bytes as orjson's with sorted keys.

        None if it needs a closer look: whatever `read_struct` leaves to others, a key that stands twice in an object, one of
        `required` missing or null at the top, or too much of it.
        """
        values = read_struct(wire, once=True) if len(wire) <= WIRE_BYTES else None
        if values is None or any(values.get(name) is None for name in required):
            return None
        encoded = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        return encoded if len(encoded) <= JSON_BYTES else None
