"""What surrounds the records of a request: frames, answers, a stream's messages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import batches, layout, record, unpack_frame
from fastpath.pure import batches as pure_batches
from fastpath.pure import records as pure_records
from tests.unit.fastpath.twins import THOROUGH
from tidings.v1 import notifications_pb2 as pb

TWINS = [
    pytest.param((batches, record), id="native"),
    pytest.param((pure_batches, pure_records.record), id="pure"),
]
TEXT_ID = "01020304-0506-0708-090a-0b0c0d0e0f10"
ID = bytes(range(1, 17))


def made(make: Any, where: int = 0, kind: int = layout.NOTIFICATION, size: int = 0, priority: int = 1) -> Any:
    id = bytes(6) + where.to_bytes(2, "big") + bytes(8)
    return make(kind, id=id, priority=priority, source="s" * size)


@pytest.mark.parametrize("twin", TWINS)
class TestOne:
    """What each of the two does."""

    def test_a_frame_for_each_place_and_kind_in_order(self, twin: Any) -> None:
        module, make = twin
        records = [
            made(make, where, kind, size)
            for size in (1, 2)
            for where in (1, 258)
            for kind in (layout.NOTIFICATION, layout.OUTCOME)
        ]
        found = module.pack_frames(records, 10, 10_000)
        assert [first for first, _ in found] == records[:4]
        frames = [unpack_frame(frame) for _, frame in found]
        assert [[len(r.source) for r in frame] for frame in frames] == [[1, 2]] * 4
        assert module.pack_frames([], 10, 10_000) == []

    def test_frames_are_bounded(self, twin: Any) -> None:
        module, make = twin
        records = [made(make, size=index) for index in range(7)]
        assert [len(unpack_frame(frame)) for _, frame in module.pack_frames(records, 3, 10_000)] == [3, 3, 1]
        two = layout.FRAME_HEADER + len(records[0].raw) + len(records[1].raw)
        assert [len(unpack_frame(f)) for _, f in module.pack_frames(records[:3], 9, two)] == [2, 1]
        assert [len(unpack_frame(f)) for _, f in module.pack_frames(records[:3], 9, two - 1)] == [1, 1, 1]

    def test_records_by_priority(self, twin: Any) -> None:
        module, make = twin
        records = [made(make, size=index, priority=index % 2 + 1) for index in range(5)]
        assert module.by_priority(records) == {1: records[::2], 2: records[1::2]}

    def test_a_result_is_one_that_protobuf_reads(self, twin: Any) -> None:
        module, _ = twin
        assert pb.SendResult.FromString(module.pack_result(ID)) == pb.SendResult(notification_id=TEXT_ID)
        assert pb.SendResponse.FromString(module.pack_result(ID)) == pb.SendResponse(notification_id=TEXT_ID)

    def test_results_are_records_ids_and_results_as_they_are(self, twin: Any) -> None:
        module, make = twin
        odd = pb.SendResult(error=pb.SendError(code=3, message="x" * 300))
        stored = make(layout.NOTIFICATION, id=ID)
        found = module.pack_results([stored, odd.SerializeToString(), b"", stored])
        good = pb.SendResult(notification_id=TEXT_ID)
        assert pb.SendBatchResponse.FromString(found) == pb.SendBatchResponse(results=[good, odd, pb.SendResult(), good])

    @pytest.mark.parametrize("sequence", [0, 1, 127, 128, 2**64 - 1])
    def test_streams_messages_and_their_acknowledgements(self, twin: Any, sequence: int) -> None:
        module, _ = twin
        notification = pb.Notification(type="t", source="x" * 200)
        message = pb.SendStreamRequest(sequence=sequence, notification=notification).SerializeToString()
        sequences, wire = module.join_messages([message, message])
        assert sequences == [sequence] * 2
        assert pb.SendBatchRequest.FromString(wire) == pb.SendBatchRequest(notifications=[notification] * 2)
        result = module.pack_result(ID)
        expected = pb.SendStreamResponse(sequence=sequence, result=pb.SendResult(notification_id=TEXT_ID))
        assert pb.SendStreamResponse.FromString(module.pack_acknowledgement(sequence, result)) == expected

    @pytest.mark.parametrize(
        "odd",
        [b"", b"\x08\x01", b"\x08", b"\x12\x05abc", b"\x12\x00\x08\x01", b"\x12\x00\x12\x00", b"\x08\x01\x08\x01\x12\x00"],
    )
    def test_other_messages_are_not_joined(self, twin: Any, odd: bytes) -> None:
        module, _ = twin
        assert module.join_messages([b"\x12\x00", odd]) is None


@THOROUGH
@given(st.lists(st.binary(max_size=30), max_size=3))
def test_both_join_alike(messages: list[bytes]) -> None:
    some = [b"\x08" + message for message in messages]
    for each in (messages, some, [b"\x12" + message for message in messages]):
        assert batches.join_messages(each) == pure_batches.join_messages(each)
