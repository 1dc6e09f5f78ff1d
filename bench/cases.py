"""The cases of bench/providers.py: each provider's deliveries, the requests that they become, the bare client that makes them.

The requests are built by the senders' own functions, so that both sides put the same bytes on the wire.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from email.utils import parseaddr
from logging import getLogger
from urllib.parse import quote

from sendgrid.helpers.mail import From
from twilio.http import HttpClient

from bench import rivals
from core.ids import new_id
from core.model import Channel, Class, Part, Platform, Priority
from core.settings import Settings
from fastpath import Record, pack_parts, record
from fastpath.layout import DELIVERY
from senders import apns, fcm, mime, sendgrid, sendgrid_body, smtp, twilio
from senders.email import open_email
from senders.google_token import GoogleToken
from senders.provider import Carrier, Message
from senders.push import open_push
from senders.receipts import Receipts
from senders.sms import open_sms

NOW = int(time.time() * 1000)
PARTS = {
    Channel.EMAIL: {Part.SUBJECT: "Order {}", Part.HTML: "<p>Order {}</p>" + "<p>word</p>" * 30, Part.TEXT: "Order {}"},
    Channel.SMS: {Part.TEXT: "Your order {} is on its way"},
    Channel.PUSH: {Part.TITLE: "Order {}", Part.BODY: "is on its way", Part.DATA: '{{"order": "{}"}}'},
}


@dataclass(frozen=True, slots=True)
class Case:
    """One provider: its deliveries, the requests that they become, and who sends them."""

    name: str  # in the result
    provider: str  # in metrics
    share: float  # of --count: a push by HTTP/2 costs both sides far more than an e-mail in a call of a thousand
    calls: int  # at a time
    open: Callable[[Settings], Carrier]
    channel: Channel
    address: Callable[[int], str]
    requests: Callable[[Settings, Sequence[Message]], Awaitable[list[rivals.Request]]]
    rival: Callable[[Settings], AbstractAsyncContextManager[rivals.Rival]]
    platform: int = 0


def deliveries(case: Case, count: int) -> list[Record]:
    """What the dispatcher would have written."""
    return [
        record(
            DELIVERY,
            id=new_id(0, Priority.MEDIUM, NOW),
            priority=Priority.MEDIUM,
            klass=Class.TRANSACTIONAL,
            channel=case.channel,
            platform=case.platform,
            type="order_update",
            template="order",
            version=1,
            language="en",
            accepted_ms=NOW,
            address=case.address(i),
            content=pack_parts([(int(part), text.format(i).encode()) for part, text in PARTS[case.channel].items()]),
        )
        for i in range(count)
    ]


async def sms_requests(settings: Settings, messages: Sequence[Message]) -> list[rivals.Request]:
    """Twilio's form, with the headers of its client."""
    own, form = settings.twilio, twilio.Form(settings)
    url = f"{own.base_url}/2010-04-01/Accounts/{own.account_sid}/Messages.json"
    head = twilio.new_client(own, HttpClient(getLogger(), is_async=True)).get_headers("POST", None)
    head["Authorization"] = twilio.login(own.account_sid, own.auth_token.get_secret_value())
    return [rivals.Request(url, head, form.of(message, message.text(Part.TEXT))) for message in messages]


async def fcm_requests(settings: Settings, messages: Sequence[Message]) -> list[rivals.Request]:
    """FCM's JSON, with a token that is good for the whole run."""
    own, receipts = settings.fcm, Receipts(settings)
    if own.credentials_file is None:
        raise RuntimeError("the sandbox told no service account")
    credentials = GoogleToken(own.credentials_file)
    head = {"authorization": f"Bearer {await credentials.get()}", "content-type": "application/json"}
    credentials.close()
    url = f"{own.base_url}/v1/projects/{own.project_id}/messages:send"
    return [rivals.Request(url, head, fcm.body(message, receipts.data(message), NOW)) for message in messages]


async def apns_requests(settings: Settings, messages: Sequence[Message]) -> list[rivals.Request]:
    """APNs' payload and headers."""
    own, receipts = settings.apns, Receipts(settings)
    token = {"authorization": f"bearer {apns.ProviderToken(own).get()}"}
    return [
        rivals.Request(
            f"{own.base_url}/3/device/{quote(message.record.address, safe='')}",
            apns.headers(message, own.topic) | token,
            apns.payload(message, receipts.data(message)),
        )
        for message in messages
    ]


async def email_requests(settings: Settings, messages: Sequence[Message]) -> list[rivals.Request]:
    """SendGrid's calls, each as full as it may be."""
    own = settings.sendgrid
    head = {"authorization": f"Bearer {own.api_key.get_secret_value()}", "content-type": "application/json"}
    name, address = parseaddr(settings.email_from)
    return [
        rivals.Request(f"{own.base_url}/v3/mail/send", head, sendgrid_body.body(bundle, From(address, name)))
        for bundle in sendgrid_body.bundles(messages, own.batch_max)
    ]


async def smtp_requests(settings: Settings, messages: Sequence[Message]) -> list[rivals.Request]:
    """E-mails as they go over the wire."""
    composer = mime.Composer(settings.email_from, parseaddr(settings.email_from)[1].rpartition("@")[2])
    return [rivals.Request(to, {}, composer.compose(message, to)) for message in messages for to in (message.record.address,)]


def _mail_server(settings: Settings) -> AbstractAsyncContextManager[rivals.Rival]:
    return rivals.mail(settings.smtp.host, settings.smtp.port, parseaddr(settings.email_from)[1])


def _apple(settings: Settings) -> AbstractAsyncContextManager[rivals.Rival]:
    if settings.apns.ca_file is None:
        raise RuntimeError("the sandbox told no certificate authority")
    return rivals.http2(settings.apns.ca_file)


def _by(provider: str) -> Callable[[Settings], Carrier]:
    return lambda settings: open_email(settings.model_copy(update={"email_providers": (provider,)}))


CASES = (
    Case(
        "sms", "twilio", 0.1, twilio.CALLS, open_sms, Channel.SMS, lambda i: f"+4915{i:09d}", sms_requests,
        lambda _: rivals.http(twilio.CALLS),
    ),
    Case(
        "fcm", "fcm", 0.1, fcm.CALLS, open_push, Channel.PUSH, lambda i: f"token-{i:020d}", fcm_requests,
        lambda _: rivals.http(fcm.CALLS), Platform.FCM,
    ),
    Case(
        "apns", "apns", 0.05, apns.STREAMS, open_push, Channel.PUSH, lambda i: f"{i:064x}", apns_requests, _apple, Platform.APNS
    ),
    Case(
        "email", "sendgrid", 4.0, sendgrid.CALLS, _by("sendgrid"), Channel.EMAIL, lambda i: f"p{i}@example.com", email_requests,
        lambda _: rivals.http(sendgrid.CALLS),
    ),
    Case(
        "smtp", "smtp", 0.05, smtp.CONNECTIONS, _by("smtp"), Channel.EMAIL, lambda i: f"p{i}@example.com", smtp_requests,
        _mail_server,
    ),
)  # fmt: skip
