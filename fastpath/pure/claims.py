"""Twin of fastpath/claims.pyx: the marks that a batch's notifications lay claim to, and who came first. No I/O.

A claim is a mark, the value that says who claims it (the same value again is the same claim, repeated after a crash), and how
long it holds. Two kinds: the idempotency key, by the notification's place in the stream, as a re-append has the same id; and
the content for the dedupe window, by the notification's id, which the later one is told.
"""

from dataclasses import dataclass

from fastpath.pure.dedupe import LocalFilter, content_hash
from fastpath.pure.records import Record
from fastpath.pure.resp import pack_commands
from fastpath.values import Plan


@dataclass(slots=True)
class _Ask:
    mark: str
    value: str
    ttl_s: int
    entry: int  # which of those that asked
    index: int  # of the record in it
    content: bool
    first: str | None  # whose it is; None while nobody has told


class Claims:
    """The claims of one batch.

    Args:
        seen: marks known in this process; those that turn out to be ours are added.
        key_ttl_s: how long an idempotency key is claimed, seconds; content is for the notification's own window.
        now_ms: by the clock.
    """

    def __init__(self, seen: LocalFilter, key_ttl_s: int, now_ms: int) -> None:
        self._seen, self._key_ttl_s, self._now_ms = seen, key_ttl_s, now_ms
        self._entries = 0
        self._asks: list[_Ask] = []
        self._strange: list[_Ask] = []

    def ask(self, entry_id: str, records: list[Record], plans: list[Plan | None]) -> None:
        """Takes in an entry's notifications; content is claimed only by those that have letters.

        Raises:
            FrameError: a mark that is not UTF-8.
        """
        if len(records) != len(plans):
            raise ValueError("a plan, or None, for each notification")
        for index, (record, plan) in enumerate(zip(records, plans, strict=True)):
            if record.mark:
                self._ask(f"i{record.mark}", f"{entry_id}:{index}", index, self._key_ttl_s, False)
            if plan is not None and plan.letters and record.extra:
                recipient = record.recipient_id or record.email or record.phone
                content = recipient.encode() or record.devices, record.type, record.template, plan.version, record.data
                self._ask(f"c{content_hash(*content).hex()}", record.id.hex(), index, record.extra, True)
        self._entries += 1

    def strange(self) -> tuple[list[str], list[str], list[int]]:
        """The marks that the filter does not know, their values, and for how many seconds: to be asked of Redis."""
        self._strange = [ask for ask in self._asks if ask.first is None]
        lists = [(ask.mark, ask.value, ask.ttl_s) for ask in self._strange]
        return [mark for mark, _, _ in lists], [value for _, value, _ in lists], [ttl_s for _, _, ttl_s in lists]

    def settle(self, replies: list[bytes | None]) -> list[tuple[int, int, bool, str]]:
        """Who came too late: (which entry, which of its records, whether by its content, the value of the first).

        Args:
            replies: for each strange mark the value that stood there, None where it is ours now.
        """
        if len(replies) != len(self._strange):
            raise ValueError("a reply for each mark that was asked for")
        for ask, reply in zip(self._strange, replies, strict=True):
            if reply is None:  # of another's mark nobody told us how long it still holds
                ask.first = ask.value
                self._seen.put(ask.mark, ask.value, self._now_ms + ask.ttl_s * 1000)
            else:
                ask.first = reply.decode()
        return [(ask.entry, ask.index, ask.content, ask.first or "") for ask in self._asks if ask.first != ask.value]

    def _ask(self, mark: str, value: str, index: int, ttl_s: int, content: bool) -> None:
        found = self._seen.get(mark, self._now_ms)
        self._asks.append(_Ask(mark, value, ttl_s, self._entries, index, content, found))


def pack_claims(prefix: str, marks: list[str], values: list[str], ttls: list[int]) -> bytes:
    """SET NX GET EX of each mark (under a name that begins with `prefix`) to its value, for so many seconds.

    Raises:
        ValueError: a time to live that is no positive u32, or lists of different lengths.
    """
    if not len(marks) == len(values) == len(ttls):
        raise ValueError("a value and a time to live for each mark")
    if not all(0 < ttl_s <= 0xFFFF_FFFF for ttl_s in ttls):
        raise ValueError("a time to live is a positive u32")
    claims = zip(marks, values, ttls, strict=True)
    return pack_commands([["SET", prefix + mark, value, "NX", "GET", "EX", ttl_s] for mark, value, ttl_s in claims])
