"""Twin of fastpath/claims.pyx: the marks that a batch's notifications lay claim to, and who came first. No I/O.

A claim is a mark, the value that says who claims it (the same value again is the same claim, repeated after a crash), and when
it ends. Two kinds: the id of what came with an idempotency key, by its place in the stream, as a repeated call appends it once
more under the same id; and the content for the dedupe window, by the notification's id, which the later one is told. Marks and
values are 16 bytes.

The key itself is the gateway's to know: who uses one again after its day has another id, and that is another notification.
"""

from dataclasses import dataclass

from fastpath.pure.dedupe import LocalFilter, content_hash, murmur3
from fastpath.pure.records import Record
from fastpath.values import CONTENT_SPANS_S, KEY_SPAN_S, Lot, Plan

KEY, CONTENT = b"i", b"c"  # before a mark in the filter, which holds both kinds
DIGEST = 16
END = 6


@dataclass(slots=True)
class _Claim:
    mark: bytes
    value: bytes
    ends_ms: int
    entry: int  # which of those that asked
    index: int  # of the record in it
    content: bool
    first: bytes | None  # whose it is; None while nobody has told


class Claims:
    """The claims of one batch.

    Args:
        seen: marks known in this process; those that turn out to be ours are added.
        key_ttl_s: how long the id of what came with a key is claimed, seconds; content is for the notification's own window.
        now_ms: by the clock.
    """

    def __init__(self, seen: LocalFilter, key_ttl_s: int, now_ms: int) -> None:
        if not 0 < key_ttl_s < 1 << 31 or not 0 <= now_ms < 1 << 47:
            raise ValueError("key_ttl_s is not a positive i32, or now_ms no time of this age")
        self._seen, self._key_ttl_s, self._now_ms = seen, key_ttl_s, now_ms
        self._entries = 0
        self._claims: list[_Claim] = []
        self._lots: dict[tuple[bool, int, int], list[_Claim]] = {}

    def ask(self, entry_id: str, records: list[Record], plans: list[Plan | None]) -> None:
        """Takes in an entry's notifications; content is claimed only by those that have letters."""
        if len(records) != len(plans):
            raise ValueError("a plan, or None, for each notification")
        for index, (record, plan) in enumerate(zip(records, plans, strict=True)):
            if record.mark:
                place = murmur3(f"{entry_id}:{index}".encode())
                self._claim(KEY + murmur3(record.id), place, index, self._key_ttl_s)
            if plan is not None and plan.letters and record.extra:
                recipient = record.recipient_id or record.email or record.phone
                content = recipient.encode() or record.devices, record.type, record.template, plan.version, record.data
                self._claim(CONTENT + content_hash(*content), record.id, index, min(record.extra, CONTENT_SPANS_S[-1]))
        self._entries += 1

    def strange(self) -> list[Lot]:
        """The claims that the filter knows nothing of, to be laid in Redis: each mark once, for the first that claims it."""
        self._lots = {}
        met: set[bytes] = set()
        for claim in self._claims:
            if claim.first is None and claim.mark not in met:
                met.add(claim.mark)
                ttl_s = (claim.ends_ms - self._now_ms) // 1000
                span_s = next(span for span in CONTENT_SPANS_S if ttl_s <= span) if claim.content else KEY_SPAN_S
                self._lots.setdefault((claim.content, span_s, claim.ends_ms // (1000 * span_s)), []).append(claim)
        return [
            Lot(*key, b"".join(claim.mark[1:] + claim.value + claim.ends_ms.to_bytes(END) for claim in claims))
            for key, claims in self._lots.items()
        ]

    def settle(self, replies: list[list[int | bytes]]) -> list[tuple[int, int, bool, bytes]]:
        """Who came too late: (which entry, which of its records, whether by its content, the value of the first).

        Args:
            replies: for each lot, flat, the place of each claim whose mark is another's, and that one's value. The rest are
                ours now.
        """
        if len(replies) != len(self._lots):
            raise ValueError("a reply for each lot that was asked for")
        owners: dict[bytes, bytes] = {}
        for claims, reply in zip(self._lots.values(), replies, strict=True):
            others = _others(reply, len(claims))
            for place, claim in enumerate(claims):
                owners[claim.mark] = others.get(place, claim.value)
                if place not in others:  # of another's mark we do not remember how long it still holds
                    self._seen.put(claim.mark, claim.value, claim.ends_ms)
        for claim in self._claims:
            if claim.first is None:
                if claim.mark not in owners:
                    raise ValueError("strange() comes before settle()")
                claim.first = owners[claim.mark]
        return [(c.entry, c.index, c.content, c.first) for c in self._claims if c.first is not None and c.first != c.value]

    def _claim(self, mark: bytes, value: bytes, index: int, ttl_s: int) -> None:
        ends_ms = self._now_ms + 1000 * ttl_s
        found = self._seen.get(mark, self._now_ms)
        self._claims.append(_Claim(mark, value, ends_ms, self._entries, index, mark.startswith(CONTENT), found))


def _others(reply: list[int | bytes], count: int) -> dict[int, bytes]:
    """A reply about `count` claims as place to value. Raises ValueError for what is none."""
    others: dict[int, bytes] = {}
    for place, value in zip(reply[::2], reply[1::2], strict=True):
        if not (isinstance(place, int) and 0 <= place < count and isinstance(value, bytes) and len(value) == DIGEST):
            raise ValueError("a reply has the place of a claim and 16 bytes, by turns")
        others[place] = value
    return others
