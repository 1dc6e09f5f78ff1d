"""Arrays as parameters of a statement, each packed in one step for PostgreSQL's binary format. Pure but for `register`.

psycopg's own arrays take several calls for each element, which is more than storing it costs.
"""

from collections.abc import Iterable, Sequence
from struct import Struct, pack

from psycopg import AsyncConnection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_LENGTH = Struct(">i")
_HEAD = Struct(">iiIii")  # dimensions, whether there are nulls, element type, length, first index


class Packed:
    """An array in PostgreSQL's binary format."""

    __slots__ = ("raw",)

    def __init__(self, type_: int, count: int, items: bytes) -> None:
        self.raw = (_HEAD.pack(1, 0, type_, count, 1) if count else _HEAD.pack(0, 0, type_, 0, 0)[:12]) + items


class Texts(Packed):
    """A text[]."""

    __slots__ = ()


class Uuids(Packed):
    """A uuid[]."""

    __slots__ = ()


class Bigints(Packed):
    """A bigint[]."""

    __slots__ = ()


def texts(values: Sequence[str]) -> Texts:
    """A text[]; U+0000 is replaced, as everywhere in the ledger."""
    return Texts(25, len(values), b"".join([_text(value) for value in values]))


def uuids(values: Sequence[bytes]) -> Uuids:
    """A uuid[] of 16 bytes each."""
    return Uuids(2950, len(values), b"".join([b"\0\0\0\x10" + value for value in values]))


def bigints(values: Sequence[int]) -> Bigints:
    """A bigint[]."""
    flat: Iterable[int] = (part for value in values for part in (8, value))
    return Bigints(20, len(values), pack(">" + "iq" * len(values), *flat))


def _text(value: str) -> bytes:
    raw = value.encode()
    if b"\0" in raw:
        raw = raw.replace(b"\0", b"\xef\xbf\xbd")
    return _LENGTH.pack(len(raw)) + raw


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Packed) -> bytes:
        return obj.raw


class _TextsDumper(_PackedDumper):
    oid = 1009


class _UuidsDumper(_PackedDumper):
    oid = 2951


class _BigintsDumper(_PackedDumper):
    oid = 1016


def register(connection: AsyncConnection[tuple[object, ...]]) -> None:
    """Lets the connection's statements take packed arrays."""
    for kind, dumper in ((Texts, _TextsDumper), (Uuids, _UuidsDumper), (Bigints, _BigintsDumper)):
        connection.adapters.register_dumper(kind, dumper)
