"""The window of a stream: order, resumption after a break, items that cannot be sent."""

import pytest

from tidings.errors import InvalidRequest, Unavailable
from tidings.streaming import WINDOW, Window
from tidings.v1 import notifications_pb2


def window(*items: str | None) -> Window:
    made = Window()
    for item in items:
        made.add(InvalidRequest("no") if item is None else notifications_pb2.Notification(type=item))
    return made


def acknowledge(made: Window, sequence: int) -> list[str]:
    result = notifications_pb2.SendResult(notification_id=f"n{sequence}")
    made.acknowledge(notifications_pb2.SendStreamResponse(sequence=sequence, result=result))
    return [r.notification_id if r.ok else "bad" for r in made.results()]


def sent(made: Window, after: int = 0) -> list[int]:
    found = []
    while (request := made.after(after)) is not None:
        after = request.sequence
        found.append(after)
    return found


def test_results_follow_the_items_and_bad_ones_wait_their_turn() -> None:
    made = window("a", None, "b", None)
    assert sent(made) == [1, 3]
    assert acknowledge(made, 1) == ["n1", "bad"]
    assert acknowledge(made, 3) == ["n3", "bad"]
    made.finished = True
    assert made.done


def test_a_new_connection_begins_with_what_is_not_acknowledged() -> None:
    made = window("a", "b", "c")
    assert sent(made, after=2) == [3]
    acknowledge(made, 1)
    assert sent(made) == [2, 3]
    keys = made.after(1), made.after(0)
    assert keys[0] == keys[1]


def test_an_acknowledgement_of_something_else_is_not_believed() -> None:
    with pytest.raises(Unavailable):
        acknowledge(window("a", "b"), 2)


def test_the_window_is_bounded() -> None:
    made = window(*["a"] * WINDOW)
    assert made.full
    acknowledge(made, 1)
    assert not made.full
