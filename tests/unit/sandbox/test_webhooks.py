"""Signatures are those of the real providers: their own packages verify them. And posts survive the weather."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from cryptography import x509
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

from tests.helpers import eventually
from tidings.sandbox import credentials, outbox
from tidings.sandbox.outbox import Outbox, Post, Weather
from tidings.sandbox.webhooks import BATCH_EVENTS, SendGridEvents, sign_sendgrid, sign_twilio


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> credentials.Credentials:
    return credentials.load(tmp_path_factory.mktemp("credentials"))


def test_credentials_are_the_same_again_private_and_renewed_in_time(known: credentials.Credentials) -> None:
    again = credentials.load(known.folder)
    assert again.sendgrid_key == known.sendgrid_key
    assert again.webhook_public_key == known.webhook_public_key
    assert {path.stat().st_mode & 0o777 for path in known.folder.iterdir()} == {0o600}
    assert known.twilio_token not in repr(known)
    old = known.server_file.read_bytes()
    known.server_file.write_bytes(_ended(known.folder))
    credentials.load(known.folder)
    renewed = x509.load_pem_x509_certificate(known.server_file.read_bytes())
    assert known.server_file.read_bytes() != old
    assert renewed.issuer == x509.load_pem_x509_certificate(known.ca_file.read_bytes()).subject


def _ended(folder: Path) -> bytes:
    days = credentials.CERTIFICATE_DAYS
    credentials.CERTIFICATE_DAYS = 1
    try:
        other = credentials.load(folder / "other")
    finally:
        credentials.CERTIFICATE_DAYS = days
    return other.server_file.read_bytes()


def test_sendgrids_package_verifies_our_signature(known: credentials.Credentials) -> None:
    body = '[{"email": "ädä@example.com"}]'
    webhook = EventWebhook(known.webhook_public_key)
    signature = sign_sendgrid(known.webhook_key, "1600112502", body.encode())
    assert webhook.verify_signature(body, signature, "1600112502")
    assert not webhook.verify_signature(body, signature, "1600112503")
    assert not webhook.verify_signature(body + " ", signature, "1600112502")


def test_twilios_package_verifies_our_signature() -> None:
    form = {"To": "+4915112345678", "MessageStatus": "delivered", "Empty": ""}
    url = "http://127.0.0.1:8080/webhooks/twilio?n=1"
    signature = sign_twilio("token", url, form)
    assert RequestValidator("token").validate(url, form, signature)
    assert not RequestValidator("other").validate(url, form, signature)
    assert not RequestValidator("token").validate(url + "2", form, signature)


class Listener:
    """A webhook that answers what it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.statuses: list[int] = []  # answered first, then 204

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    app = web.Application()
    app.add_routes([web.post("/", listener.receive)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield listener
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sending() -> AsyncIterator[Outbox]:
    box = Outbox()
    await box.start()
    try:
        yield box
    finally:
        await box.stop()


def post(url: str, body: bytes) -> Post:
    return Post(url, body, lambda _: {"X-Any": "1"})


async def test_what_is_refused_is_posted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BACKOFF_S", (0.01,))
    async with listening() as listener, sending() as box:
        listener.statuses = [503, 302]
        box.put(post(listener.url, b"a"))
        await eventually(lambda: box.sent == 1)
        assert listener.bodies == [b"a"] * 3
        assert (box.failed, box.waiting) == (2, 0)


async def test_nobody_there_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BACKOFF_S", (0.01,))
    async with sending() as box:
        box.put(post("http://127.0.0.1:1/", b"a"))
        await eventually(lambda: box.failed >= 3)
        assert box.sent == 0


async def test_weather_loses_and_doubles_by_its_seed() -> None:
    async def arrived(seed: int) -> list[bytes]:
        async with listening() as listener, sending() as box:
            box.weather = Weather(drop_percent=30, duplicate_percent=30, seed=seed, dice=random.Random(seed))
            for n in range(40):
                box.put(post(listener.url, str(n).encode()))
            owed = box.waiting
            await eventually(lambda: box.sent == owed)
            assert box.dropped > 0 and len(set(listener.bodies)) == 40 - box.dropped < len(listener.bodies)
            return sorted(listener.bodies)

    assert await arrived(1) == await arrived(1)


async def test_events_are_gathered_into_batches(known: credentials.Credentials) -> None:
    async with listening() as listener, sending() as box:
        events = SendGridEvents(box, known.webhook_key, listener.url)
        for n in range(BATCH_EVENTS + 5):
            events.tell({"n": n})
        await eventually(lambda: len(listener.bodies) == 2)
        sizes = sorted(len(orjson.loads(body)) for body in listener.bodies)
        assert sizes == [5, BATCH_EVENTS]


async def test_without_an_address_nobody_is_told(known: credentials.Credentials) -> None:
    async with sending() as box:
        events = SendGridEvents(box, known.webhook_key, "")
        events.tell({"n": 1})
        events.flush()
        await asyncio.sleep(0)
        assert box.waiting == 0
