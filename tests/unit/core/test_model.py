"""The words agree with each other and with the contract."""

from core.model import RANK, TRANSITIONS, Channel, Class, Platform, Priority, Station, Status
from tidings.v1 import types_pb2


def test_every_status_has_transitions_and_a_rank() -> None:
    assert set(TRANSITIONS) == set(RANK) == set(Status)


def test_ends_lead_nowhere() -> None:
    for end in (Status.SUPPRESSED, Status.EXPIRED, Status.CANCELLED, Status.FAILED, Status.READ):
        assert not TRANSITIONS[end]


def test_every_status_can_be_reached_from_accepted() -> None:
    reached, frontier = {Status.ACCEPTED}, {Status.ACCEPTED}
    while frontier:
        frontier = {after for status in frontier for after in TRANSITIONS[status]} - reached
        reached |= frontier
    assert reached == set(Status)


def test_numbers_are_the_contracts() -> None:
    for ours, theirs, prefix in (
        (Priority, types_pb2.Priority, "PRIORITY_"),
        (Channel, types_pb2.Channel, "CHANNEL_"),
        (Class, types_pb2.NotificationClass, "NOTIFICATION_CLASS_"),
        (Status, types_pb2.Status, "STATUS_"),
        (Station, types_pb2.Station, "STATION_"),
        (Platform, types_pb2.Platform, "PLATFORM_"),
    ):
        wire = {name.removeprefix(prefix): number for name, number in theirs.items() if number}
        assert wire == {member.name: member.value for member in ours}
