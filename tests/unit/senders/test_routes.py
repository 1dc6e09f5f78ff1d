"""Which provider takes what."""

from collections.abc import Sequence

import pytest

from core.model import Channel, ErrorClass, Platform
from core.settings import Settings
from senders.provider import Desk, Message, sent
from senders.routes import UNCONFIGURED, Routes, email_choice, push_choice
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


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("invoice", "smtp"),
        ("invoice.paid", "smtp"),
        ("invoice.test.x", "sendgrid"),
        ("order", "sendgrid"),
        ("bill", "smtp"),
        ("bills", "sendgrid"),
    ],
)
def test_email_by_type(type_: str, expected: str) -> None:
    settings = Settings(email_routes={"invoice*": "smtp", "invoice.test*": "sendgrid", "bill": "smtp"})
    assert email_choice(settings)(delivery(type=type_)) == expected


def test_email_by_preference() -> None:
    assert email_choice(Settings(email_providers=("smtp", "sendgrid")))(delivery()) == "smtp"


def test_push_by_platform() -> None:
    assert push_choice(delivery("t", PUSH, channel=Channel.PUSH, platform=Platform.APNS)) == "apns"
    assert push_choice(delivery("t", PUSH, channel=Channel.PUSH, platform=Platform.FCM)) == "fcm"


async def test_each_goes_to_its_own_and_knows_it() -> None:
    fcm, apns = Echo("fcm"), Echo("apns")
    routes, desk = Routes(Channel.PUSH, {"fcm": fcm, "apns": apns}, push_choice), Notes()
    found = messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2, 1))
    await routes.send(found, desk)
    assert [desk.answers[i].provider_id for i in range(3)] == ["fcm", "apns", "fcm"]
    assert [m.provider for m in found] == ["fcm", "apns", "fcm"]
    await routes.close()
    assert fcm.closed
    assert apns.closed


async def test_an_unconfigured_provider_is_nobodys_fault_but_ours() -> None:
    routes, desk = Routes(Channel.PUSH, {"fcm": Echo("fcm")}, push_choice), Notes()
    await routes.send(messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2)), desk)
    assert desk.answers[0].error_class is ErrorClass.NONE
    assert (desk.answers[1].error_class, desk.answers[1].code) == (ErrorClass.MISCONFIGURED, UNCONFIGURED)


async def test_one_providers_bug_does_not_stop_the_other() -> None:
    routes, desk = Routes(Channel.PUSH, {"fcm": Broken("fcm"), "apns": Echo("apns")}, push_choice), Notes()
    with pytest.raises(ZeroDivisionError):
        await routes.send(messages(delivery("t", PUSH, channel=Channel.PUSH, platform=p) for p in (1, 2)), desk)
    assert list(desk.answers) == [1]
