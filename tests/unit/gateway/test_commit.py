"""Group commit: frames by partition and priority, bounded, and no answer before Redis' answer."""

import asyncio
from collections.abc import Sequence

import pytest

from core import keys
from core.errors import StoreUnavailable
from core.ids import new_id
from core.model import Priority
from core.streams import Append
from fastpath import Record, record, unpack_frame
from fastpath.layout import NOTIFICATION
from gateway import commit
from gateway.commit import FRAME_BYTES, FRAME_RECORDS, Committer, frames
from tests.helpers import eventually


def made(partition: int = 0, priority: Priority = Priority.HIGH, data: bytes = b"{}") -> Record:
    return record(NOTIFICATION, id=new_id(partition, priority, 1), priority=priority, type="t", data=data)


class Redis:
    """Takes frames, and answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[Append]] = []
        self.answer = asyncio.Event()
        self.fault: Exception | None = None

    async def append(self, items: Sequence[Append]) -> list[str]:
        self.calls.append(list(items))
        await self.answer.wait()
        if self.fault is not None:
            raise self.fault
        return ["1-0"] * len(items)


def test_one_frame_for_each_partition_and_priority_in_order() -> None:
    records = [made(p, priority) for _ in range(3) for p in (0, 1) for priority in (Priority.HIGH, Priority.LOW)]
    found = {append.stream: unpack_frame(append.frame) for append in frames(records, 4)}
    assert found == {
        keys.inbound(p, priority): [r for r in records if (r.id[6:8]) == new_id(p, priority, 1)[6:8]]
        for p in (0, 1)
        for priority in (Priority.HIGH, Priority.LOW)
    }


def test_frames_are_bounded() -> None:
    small = [made() for _ in range(2 * FRAME_RECORDS + 1)]
    counts = [unpack_frame(append.frame) for append in frames(small, 4)]
    assert [len(frame) for frame in counts] == [FRAME_RECORDS, FRAME_RECORDS, 1]
    assert [r for frame in counts for r in frame] == small
    large = [made(data=b"x" * 60_000) for _ in range(20)]
    assert all(len(append.frame) <= FRAME_BYTES for append in frames(large, 4))
    assert len(frames(large, 4)) == 3


def test_a_record_that_is_larger_than_a_frame_has_one_of_its_own() -> None:
    huge = made(data=b"x" * (FRAME_BYTES + 1))
    assert [len(unpack_frame(a.frame)) for a in frames([made(), huge, made()], 4)] == [1, 1, 1]


def test_an_id_of_a_system_with_more_partitions_goes_where_somebody_reads() -> None:
    assert [append.stream for append in frames([made(9)], 4)] == [keys.inbound(1, Priority.HIGH)]


async def test_concurrent_calls_share_a_frame_and_wait_for_its_answer() -> None:
    redis = Redis()
    committer = Committer(redis.append, 4)
    calls = [asyncio.create_task(committer.commit([made()])) for _ in range(50)]
    done, _ = await asyncio.wait(calls, timeout=0.1)
    assert not done and len(redis.calls) == 1
    assert [len(unpack_frame(append.frame)) for append in redis.calls[0]] == [50]
    redis.answer.set()
    await asyncio.gather(*calls)


async def test_batches_share_frames_and_keep_their_order() -> None:
    redis = Redis()
    redis.answer.set()
    committer = Committer(redis.append, 4)
    batches = [[made(), made()], [made()], [], [made(), made(), made()]]
    await asyncio.gather(*map(committer.commit, batches))
    ((append,),) = redis.calls
    assert unpack_frame(append.frame) == [r for batch in batches for r in batch]


async def test_a_critical_one_goes_at_once_and_what_comes_meanwhile_goes_together() -> None:
    redis = Redis()
    committer = Committer(redis.append, 4, gather_s=0.01)
    calls = [asyncio.create_task(committer.commit([made(priority=Priority.CRITICAL)])) for _ in range(4)]
    await eventually(lambda: len(redis.calls) == 2)
    assert [[len(unpack_frame(append.frame)) for append in call] for call in redis.calls] == [[1], [3]]
    redis.answer.set()
    await asyncio.gather(*calls)
    await committer.commit([made(priority=Priority.CRITICAL)])
    assert len(redis.calls) == 3  # and the next one, at once again
    committer = Committer(redis.append, 4, gather_s=60.0)
    await asyncio.wait_for(committer.commit([made(priority=Priority.CRITICAL)]), 1)


async def test_who_fills_frames_alone_waits_for_nobody() -> None:
    redis = Redis()
    committer = Committer(redis.append, 2, gather_s=60.0)
    calls = [asyncio.create_task(committer.commit([made() for _ in range(2 * FRAME_RECORDS)])) for _ in range(2)]
    await eventually(lambda: len(redis.calls) == 2)
    redis.answer.set()
    await asyncio.gather(*calls)


async def test_all_whose_frame_failed_are_told() -> None:
    redis = Redis()
    redis.fault = StoreUnavailable("gone")
    redis.answer.set()
    committer = Committer(redis.append, 4)
    results = await asyncio.gather(*(committer.commit([made()]) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    redis.fault = None
    await committer.commit([made()])  # the next frame is another one


async def test_a_caller_who_hangs_up_does_not_take_the_others_along() -> None:
    redis = Redis()
    committer = Committer(redis.append, 4)
    first, second = (asyncio.create_task(committer.commit([made()])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    redis.answer.set()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert [len(unpack_frame(append.frame)) for append in redis.calls[0]] == [2]


@pytest.mark.parametrize(
    ("first", "latest_s", "company"),
    [
        pytest.param([[Priority.HIGH]], 60.0, 20, id="until nobody comes any more"),
        pytest.param([[Priority.HIGH]], 0.0, 1, id="not for ever"),
        pytest.param([[Priority.HIGH] * (FRAME_RECORDS - 9)], 60.0, 9, id="not when the frames are full"),
        pytest.param([[Priority.HIGH], [Priority.CRITICAL]], 60.0, 1, id="not by critical ones"),
    ],
)
async def test_others_are_waited_for_while_they_keep_coming(
    first: list[list[Priority]], latest_s: float, company: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = Redis()
    committer = Committer(redis.append, 1)
    calls = [asyncio.create_task(committer.commit([made(priority=priority) for priority in call])) for call in first]
    sleep = asyncio.sleep

    async def nap(seconds: float) -> None:
        """Somebody comes in each turn of the loop, twenty in all."""
        if len(calls) <= 20:
            calls.append(asyncio.create_task(committer.commit([made()])))
        await sleep(0)
        await sleep(0)

    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", nap)
        patch.setattr(commit, "LATEST_S", latest_s)
        while not redis.calls:
            await sleep(0)
    assert sum(len(unpack_frame(append.frame)) for append in redis.calls[0]) == sum(map(len, first)) + company
    redis.answer.set()
    await asyncio.gather(*calls)


async def test_whoever_waits_when_the_flush_is_cancelled_is_told() -> None:
    committer = Committer(Redis().append, 4)
    call = asyncio.create_task(committer.commit([made()]))
    await asyncio.sleep(0)
    flush = committer._flush
    assert flush is not None
    await eventually(lambda: committer._flush is None)  # it waits for Redis
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
