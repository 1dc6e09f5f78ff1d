"""When the recipient store must be asked, and when a notification can go on without it."""

import pytest

from core.model import Channel
from dispatcher.reach import can_do_without, must_look_up
from tests.unit.dispatcher.values import notification

EMAIL, SMS, PUSH, IN_APP = Channel


@pytest.mark.parametrize(
    ("channels", "fields", "look_up", "without"),
    [
        ((EMAIL,), {}, True, False),
        ((IN_APP,), {}, True, False),
        ((EMAIL,), {"recipient_id": "", "email": "a@b.c"}, False, True),
        ((EMAIL,), {"email": "a@b.c", "language": "de"}, False, True),
        ((EMAIL, IN_APP), {"email": "a@b.c", "language": "de"}, False, True),
        ((EMAIL,), {"email": "a@b.c"}, True, True),  # the stored language is wanted, but not needed
        ((EMAIL, SMS), {"email": "a@b.c", "language": "de"}, True, False),  # the stored number is needed
        ((), {"email": "a@b.c", "language": "de"}, True, True),  # the rules may prefer a stored address, but need not
        ((), {}, True, False),
        ((PUSH,), {"devices": b'[[1,"t"]]', "language": "de"}, False, True),
    ],
)
def test_what_was_given_decides(channels: tuple[Channel, ...], fields: dict[str, str], look_up: bool, without: bool) -> None:
    record = notification(*channels, **fields)
    assert must_look_up(record) is look_up
    assert can_do_without(record) is without
