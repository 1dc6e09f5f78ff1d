"""A notification that the ledger does not know yet is found on its way, wherever that is."""

from core import keys
from core.ids import new_id
from core.model import Priority
from fastpath import Record, pack_frame, record
from fastpath.layout import NOTIFICATION, OUTCOME
from gateway.lookup import PAGE, Lookup

AT = 1_700_000_000_000


class Redis:
    """Streams as XRANGE shows them."""

    def __init__(self) -> None:
        self.streams: dict[str, list[tuple[str, bytes]]] = {}
        self.peeked: list[str] = []

    def add(self, stream: str, ms: int, *records: Record, seq: int = 0) -> None:
        self.streams.setdefault(stream, []).append((f"{ms}-{seq}", pack_frame(records)))

    async def peek(self, stream: str, from_ms: int, to_ms: int, count: int) -> list[tuple[str, bytes]]:
        self.peeked.append(stream)
        entries = self.streams.get(stream, [])
        return [e for e in entries if from_ms <= int(e[0].split("-")[0]) <= to_ms][:count]


def made(partition: int = 2, kind: int = NOTIFICATION, name: str = "wanted") -> Record:
    return record(kind, id=new_id(partition, Priority.HIGH, AT), type=name)


async def test_in_every_stream_of_its_way() -> None:
    inbound = keys.inbound(2, Priority.HIGH)
    for stream, kind in ((inbound, NOTIFICATION), (keys.waiting(inbound), NOTIFICATION), (keys.outcomes(2), OUTCOME)):
        redis, wanted = Redis(), made(kind=kind)
        redis.add(stream, AT + 3, made(kind=kind, name="other"), wanted, made(kind=kind, name="other"))
        assert await Lookup(redis.peek, 4).on_its_way(wanted.id) == wanted
        assert redis.peeked[-1] == stream


async def test_nowhere() -> None:
    redis = Redis()
    redis.add(keys.inbound(2, Priority.HIGH), AT, made())
    assert await Lookup(redis.peek, 4).on_its_way(made().id) is None
    assert redis.peeked == [keys.inbound(2, Priority.HIGH), keys.waiting(keys.inbound(2, Priority.HIGH)), keys.outcomes(2)]


async def test_in_the_partition_that_is_read_today() -> None:
    redis, wanted = Redis(), made(partition=6)
    redis.add(keys.inbound(2, Priority.HIGH), AT, wanted)
    assert await Lookup(redis.peek, 4).on_its_way(wanted.id) == wanted


async def test_behind_many_others_of_the_same_moment() -> None:
    redis, wanted = Redis(), made()
    for seq in range(PAGE):
        redis.add(keys.inbound(2, Priority.HIGH), AT, made(), seq=seq)
    for ms in range(1, 2 * PAGE):
        redis.add(keys.inbound(2, Priority.HIGH), AT + ms, made())
    redis.add(keys.inbound(2, Priority.HIGH), AT + 2 * PAGE, wanted)
    assert await Lookup(redis.peek, 4).on_its_way(wanted.id) == wanted


async def test_a_damaged_frame_is_somebody_elses_trouble() -> None:
    redis, wanted = Redis(), made()
    redis.streams[keys.inbound(2, Priority.HIGH)] = [(f"{AT}-0", b"TF?" + wanted.id)]
    assert await Lookup(redis.peek, 4).on_its_way(wanted.id) is None
