"""Which provider takes what."""

from collections.abc import Sequence

import pytest

from core.model import Channel, ErrorClass
from senders.provider import Desk, Message, sent
from senders.routes import UNCONFIGURED, Routes
from senders.selection import PUSH_POOLS
from tests.unit.senders.kit import PUSH, Notes, delivery, messages


class Echo:
    """A provider that takes everything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        for message in messages:
            if await desk.begin(message):
                desk.end(message, sent(self.name))

    async def close(self) -> None:
        self.closed = True


class Broken(Echo):
    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        raise ZeroDivisionError


async def test_each_goes_to_its_own_and_knows_it() -> None:
    fcm, apns = Echo("fcm"), Echo("apns")
    routes, desk = Routes(Channel.PUSH, {"fcm": fcm, "apns": apns}, PUSH_POOLS), Notes()
    found = messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2, 1))
    await routes.send(found, desk)
    assert [desk.answers[i].provider_id for i in range(3)] == ["fcm", "apns", "fcm"]
    assert [m.provider for m in found] == ["fcm", "apns", "fcm"]
    await routes.close()
    assert fcm.closed
    assert apns.closed


async def test_an_unconfigured_provider_is_nobodys_fault_but_ours() -> None:
    routes, desk = Routes(Channel.PUSH, {"fcm": Echo("fcm")}, PUSH_POOLS), Notes()
    await routes.send(messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2)), desk)
    assert desk.answers[0].error_class is ErrorClass.NONE
    assert (desk.answers[1].error_class, desk.answers[1].code) == (ErrorClass.MISCONFIGURED, UNCONFIGURED)


async def test_one_providers_bug_does_not_stop_the_other() -> None:
    routes, desk = Routes(Channel.PUSH, {"fcm": Broken("fcm"), "apns": Echo("apns")}, PUSH_POOLS), Notes()
    with pytest.raises(ZeroDivisionError):
        await routes.send(messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2)), desk)
    assert list(desk.answers) == [1]
