"""Marks in Redis that the first comer sets: dedupe marks of the dispatcher, idempotency reservations of the gateway.

A mark's value says who set it, so that a station that died after marking and before forwarding recognises itself.

Marks are fields of hashes, one hash for all of a partition that end within the same span of time: a key for each took Redis
twice the time and memory, and an expiry of its own. When a mark can end says where it can stand: few hashes are looked into.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from core import keys
from core.store import Command, Store
from fastpath import Lot
from fastpath.values import CONTENT_SPANS_S, KEY_SPAN_S

RESERVED_S = 24 * 3600  # for so long an idempotency key is kept
CLAIMED_S = RESERVED_S + 3600  # and the mark of its notification: a frame may be an hour late
SLACK_S = 60  # by which clocks of hosts may differ before what still holds is dropped
DIGEST, END = 16, 6  # bytes of a mark, and of the time (ms, big endian) at which it ends

Kind: TypeAlias = Literal["content", "key", "reserved"]

# Of each kind: how long its spans of time are, and the longest that a mark in them lives, seconds.
SPANS: dict[Kind, tuple[tuple[int, int], ...]] = {
    "content": tuple((span_s, span_s) for span_s in CONTENT_SPANS_S),
    "key": ((KEY_SPAN_S, CLAIMED_S),),
    "reserved": ((KEY_SPAN_S, RESERVED_S),),
}


def hashes(partition: int, kind: Kind, now_ms: int) -> list[str]:
    """All hashes in which a mark that holds now may stand, also one that a host claimed whose clock is ahead of ours."""
    return [
        keys.seen(partition, kind, span_s, now_ms // (1000 * span_s) + ahead)
        for span_s, longest_s in SPANS[kind]
        for ahead in range(-(-longest_s // span_s) + 2)
    ]


class Marks:
    """Marks in bulk: one round trip however many. Every method raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self) -> "Marks":
        """Loads the script; call once."""
        self._script = await self._store.script("claim")
        return self

    async def claim(self, partition: int, lots: Sequence[Lot], now_ms: int) -> list[list[Any]]:
        """Lays the dispatcher's claims in one partition.

        Returns, for each lot, flat, the place in it (from 0) and the value of each mark that another holds; the others are
        ours from now on, until their ends.
        """
        return await self._store.send(
            [self._command(partition, "content" if lot.content else "key", lot, now_ms, 2 * DIGEST + END) for lot in lots]
        )

    async def reserve(self, items: Sequence[tuple[int, str, bytes]], now_ms: int) -> list[bytes | None]:
        """Reserves idempotency keys, each (partition of the digest, digest of 32 hexadecimal digits, value).

        Values are of one size. Returns, for each, None if it is ours now, otherwise the value that stood there first (and
        still stands): a second one of this call meets that of the first.
        """
        ours: defaultdict[int, dict[str, bytes]] = defaultdict(dict)
        for partition, digest, value in items:
            ours[partition].setdefault(digest, value)
        first: dict[str, bytes] = {}
        for values, reply in zip(ours.values(), await self._reserve(ours, now_ms), strict=True):
            digests = list(values)
            first.update((digests[place], value) for place, value in zip(reply[::2], reply[1::2], strict=True))
        found = []
        for partition, digest, _ in items:
            found.append(first.get(digest))
            first.setdefault(digest, ours[partition][digest])
        return found

    async def reserved(self, items: Sequence[tuple[int, str]], now_ms: int) -> list[bool]:
        """Whether idempotency keys are reserved, each (partition of the digest, digest); reserves nothing."""
        if not items:
            return []
        asked: list[Command] = [
            ["HGET", name, bytes.fromhex(digest)] for p, digest in items for name in hashes(p, "reserved", now_ms)
        ]
        ends = [_ends_ms(reply) for reply in await self._store.send(asked)]
        each = len(ends) // len(items)
        return [max(ends[start : start + each]) > now_ms for start in range(0, len(ends), each)]

    async def _reserve(self, wanted: dict[int, dict[str, bytes]], now_ms: int) -> list[list[Any]]:
        ends_ms = now_ms + 1000 * RESERVED_S
        number = ends_ms // (1000 * KEY_SPAN_S)
        commands = []
        for partition, values in wanted.items():
            claims = [bytes.fromhex(digest) + value + ends_ms.to_bytes(END) for digest, value in values.items()]
            lot = Lot(False, KEY_SPAN_S, number, b"".join(claims))
            commands.append(self._command(partition, "reserved", lot, now_ms, len(claims[0])))
        return await self._store.send(commands)

    def _command(self, partition: int, kind: Kind, lot: Lot, now_ms: int, width: int) -> Command:
        names = hashes(partition, kind, now_ms)
        home = names.index(keys.seen(partition, kind, lot.span_s, lot.number))
        needed_ms = 1000 * ((lot.number + 1) * lot.span_s + SLACK_S) - now_ms
        return self._script.call(names, [now_ms, home + 1, needed_ms, width, lot.claims])


def _ends_ms(stored: bytes | None) -> int:
    return int.from_bytes(stored[-END:]) if stored else 0
