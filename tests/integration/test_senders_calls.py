"""How many calls each provider has in flight at once, whatever waits: against simulators that take their time."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.model import Channel, Platform
from core.settings import Settings
from fastpath import Record
from senders.apns import STREAMS, Apns
from senders.fcm import CALLS as FCM_CALLS
from senders.fcm import Fcm
from senders.provider import Answer, Message, Provider
from senders.receipts import Receipts
from senders.sendgrid import CALLS as SENDGRID_CALLS
from senders.sendgrid import SendGrid
from senders.smtp import CONNECTIONS, Smtp
from senders.twilio import CALLS as TWILIO_CALLS
from senders.twilio import Twilio
from tests.unit.senders.kit import PUSH, SMS, Notes, delivery, messages
from tests.unit.senders.sandboxed import sandboxed, settings_of

LIMITS = {"sendgrid": SENDGRID_CALLS, "smtp": CONNECTIONS, "twilio": TWILIO_CALLS, "fcm": FCM_CALLS, "apns": STREAMS}


class InFlight(Notes):
    """A desk that knows how many attempts are begun and not ended."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    async def begin_all(self, messages: Sequence[Message]) -> Sequence[Message]:
        begun = await super().begin_all(messages)
        self.now += len(begun)
        self.most = max(self.most, self.now)
        return begun

    def end_all(self, messages: Sequence[Message], answer: Answer) -> None:
        super().end_all(messages, answer)
        self.now -= len(messages)


def item(provider: str, i: int) -> Record:
    match provider:
        case "twilio":
            return delivery(f"+4915112345{i:03}", SMS, channel=Channel.SMS)
        case "fcm":
            return delivery(f"fcm-token-{i:03}" + "a" * 130, PUSH, channel=Channel.PUSH, platform=Platform.FCM)
        case "apns":
            return delivery(f"{i:064x}", PUSH, channel=Channel.PUSH, platform=Platform.APNS)
    return delivery(f"u{i}@example.org")


def made(provider: str, settings: Settings) -> Provider:
    match provider:
        case "sendgrid":
            return SendGrid(settings)
        case "smtp":
            return Smtp(settings)
        case "twilio":
            return Twilio(settings)
        case "fcm":
            return Fcm(settings, Receipts(settings))
    return Apns(settings, Receipts(settings))


@pytest.mark.parametrize("name", LIMITS)
async def test_calls_at_once_are_bounded(name: str, tmp_path: Path) -> None:
    async with sandboxed(tmp_path) as sandbox:
        sandbox.sandbox.faults.tell({"provider": name, "kind": "slow", "seconds": 0.2})
        settings = settings_of(sandbox, sendgrid={"batch_max": 1, "batch_wait_ms": 1})
        provider, desk, count = made(name, settings), InFlight(), 2 * LIMITS[name] + 5
        await provider.send(messages(item(name, i) for i in range(count)), desk)
        await provider.close()
    assert len(desk.answers) == count
    assert desk.most == LIMITS[name]
