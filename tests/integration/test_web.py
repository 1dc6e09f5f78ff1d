"""The web door with a real Redis: signatures, what is appended, what is answered; and the sandbox's own webhooks against it."""

import io
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web

from core import keys
from core.arrivals import KEEP_S, MINUTE_MS, Arrivals
from core.config import Settings
from core.errors import ConfigError
from core.ids import format_id, new_id, partition_of, time_of
from core.model import Channel, ErrorClass, Priority, Station, Status
from core.signing import sign_receipt
from core.store import Store
from core.streams import Streams
from fastpath import Record, unpack_frame
from gateway.web.app import MAX_BODY, build_app
from tests.helpers import eventually
from tidings.sandbox.credentials import Credentials, load
from tidings.sandbox.server import Plan, Running, start
from tidings.sandbox.webhooks import (
    SENDGRID_SIGNATURE,
    SENDGRID_TIMESTAMP,
    TWILIO_SIGNATURE,
    sign_sendgrid,
    sign_twilio,
)

SECRET = "only-for-tests-0123456789abcdef"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return load(tmp_path_factory.mktemp("sandbox"))


def settings_for(known: Credentials, **more: object) -> Settings:
    given = {
        "secret_key": SECRET,
        "sendgrid": {"webhook_public_key": known.webhook_public_key},
        "twilio": {"auth_token": known.twilio_token},
        **more,
    }
    return Settings.model_validate(given)


class Door:
    """A running web door, and what it appended."""

    def __init__(self, url: str, store: Store, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._streams = Streams(store)
        self.session = session

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        async with self.session.post(self.url + path, data=io.BytesIO(body), headers=headers) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            return answer.status

    async def outcomes(self) -> list[Record]:
        found: list[Record] = []
        for partition in range(4):
            for _, frame in await self._streams.peek(keys.outcomes(partition), 0, 2**48, 1000):
                records = unpack_frame(frame)
                assert {partition_of(record.id) for record in records} == {partition}
                found += records
        return found


@asynccontextmanager
async def serving(settings: Settings, store: Store) -> AsyncIterator[Door]:
    """The door on a port that is known before its settings are final: Twilio's signature covers the address."""
    site_url = settings.web_public_url
    runner = web.AppRunner(build_app(settings, store), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", int(site_url.rsplit(":", 1)[1])).start()
        async with aiohttp.ClientSession() as session:
            yield Door(site_url, store, session)
    finally:
        await runner.cleanup()


@pytest.fixture
async def door(known: Credentials, store: Store, unused_tcp_port: int) -> AsyncIterator[Door]:
    async with serving(settings_for(known, web_public_url=f"http://127.0.0.1:{unused_tcp_port}"), store) as found:
        yield found


def fresh_id(partition: int = 1) -> bytes:
    return new_id(partition, Priority.HIGH, time.time_ns() // 1_000_000 - 50)


def signed(known: Credentials, body: bytes, *, age_s: int = 0, signed_body: bytes | None = None) -> dict[str, str]:
    timestamp = str(int(time.time()) - age_s)
    signature = sign_sendgrid(known.webhook_key, timestamp, body if signed_body is None else signed_body)
    return {"Content-Type": "application/json", SENDGRID_TIMESTAMP: timestamp, SENDGRID_SIGNATURE: signature}


def event(id_: bytes, name: str, **more: object) -> dict[str, object]:
    return {"event": name, "tidings_id": format_id(id_), "tidings_device": "0", "timestamp": int(time.time()), **more}


async def test_sendgrid_events_become_outcomes(door: Door, known: Credentials) -> None:
    ids = [fresh_id(partition) for partition in range(4)]
    batch = [
        event(ids[0], "processed"),
        event(ids[0], "delivered", sg_message_id="abc.recvd-0"),
        event(ids[1], "bounce", type="bounce", status="5.1.1", reason="550 no such user ada@example.com"),
        event(ids[2], "open"),
        event(ids[3], "click", url="https://a.example"),
        {"event": "delivered", "email": "someone@example.com"},  # another system's, sent by the same account
    ]
    body = orjson.dumps(batch)
    assert await door.post("/webhooks/sendgrid", body, signed(known, body)) == 204
    found = {record.id: record for record in await door.outcomes()}
    assert [found[i].status for i in ids] == [Status.DELIVERED, Status.FAILED, Status.OPENED, Status.CLICKED]
    assert {record.station for record in found.values()} == {Station.PROVIDER}
    assert {record.channel for record in found.values()} == {Channel.EMAIL}
    assert (found[ids[0]].provider, found[ids[0]].provider_id) == ("sendgrid", "abc")
    bounced = found[ids[1]]
    assert (bounced.error_class, bounced.code) == (ErrorClass.UNREGISTERED, "5.1.1")
    assert bounced.reason == "550 no such user [address]"


async def test_senders_learn_how_what_they_sent_fared(door: Door, known: Credentials, store: Store) -> None:
    ids = [fresh_id() for _ in range(3)]
    batch = [
        event(ids[0], "delivered"),
        event(ids[1], "bounce", type="blocked", status="4.7.1"),
        event(ids[2], "bounce", type="bounce", status="5.1.1"),
        event(ids[2], "open"),
    ]
    body = orjson.dumps(batch)
    assert await door.post("/webhooks/sendgrid", body, signed(known, body)) == 204
    minutes = sorted({time_of(id_) // MINUTE_MS for id_ in ids})
    found = await Arrivals(store).read("sendgrid", minutes)
    assert sum(each.told for each in found.values()) == 3
    assert sum(each.blocked for each in found.values()) == 1
    (lives_s,) = await store.send([["TTL", keys.arrivals("sendgrid", minutes[0])]])
    assert 0 < lives_s <= KEEP_S


async def test_a_big_batch_is_taken_whole(door: Door, known: Credentials) -> None:
    body = orjson.dumps([event(fresh_id(n % 4), "delivered", filler="x" * 2000) for n in range(1000)])
    assert len(body) > 2_000_000
    assert await door.post("/webhooks/sendgrid", body, signed(known, body)) == 204
    assert len(await door.outcomes()) == 1000


async def test_nothing_unsigned_is_read(door: Door, known: Credentials) -> None:
    body = orjson.dumps([event(fresh_id(), "delivered")])
    good = signed(known, body)
    for headers in (
        {"Content-Type": "application/json"},
        {**good, SENDGRID_SIGNATURE: ""},
        {**good, SENDGRID_SIGNATURE: "not base64!"},
        {**good, SENDGRID_SIGNATURE: "AAAA"},
        {**good, SENDGRID_TIMESTAMP: str(int(good[SENDGRID_TIMESTAMP]) - 1)},
        {**good, SENDGRID_TIMESTAMP: "²"},
        signed(known, body, signed_body=body + b" "),
        signed(known, body, age_s=601),
        signed(known, body, age_s=-601),
    ):
        assert await door.post("/webhooks/sendgrid", body, headers) == 403
    assert await door.post("/webhooks/sendgrid", b"\xff", signed(known, b"\xff")) == 403
    assert await door.outcomes() == []


async def test_signed_nonsense_is_refused_and_too_much_is_not_read(door: Door, known: Credentials) -> None:
    for body in (b"{", b'{"event":"delivered"}'):
        assert await door.post("/webhooks/sendgrid", body, signed(known, body)) == 400
    big = b"x" * (MAX_BODY + 1)
    assert await door.post("/webhooks/sendgrid", big, signed(known, big)) == 413


async def test_twilio_callbacks_become_outcomes(door: Door, known: Credentials) -> None:
    async def call(id_: bytes, **form: str) -> int:
        path = f"/webhooks/twilio?n={format_id(id_)}"
        body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
        return await door.post(path, body, FORM | {TWILIO_SIGNATURE: sign_twilio(known.twilio_token, door.url + path, form)})

    good, bad = fresh_id(1), fresh_id(2)
    assert await call(good, MessageSid="SM1", MessageStatus="sent") == 204
    assert await call(good, MessageSid="SM1", MessageStatus="delivered") == 204
    assert await call(bad, MessageSid="SM2", MessageStatus="undelivered", ErrorCode="30007") == 204
    found = {record.id: record for record in await door.outcomes()}
    assert len(found) == 2
    assert (found[good].status, found[good].channel, found[good].provider_id) == (Status.DELIVERED, Channel.SMS, "SM1")
    assert (found[bad].status, found[bad].code, found[bad].reason) == (Status.FAILED, "30007", "Carrier violation")


async def test_a_callback_for_an_id_that_is_not_ours_is_taken_and_not_stored(door: Door, known: Credentials) -> None:
    path, form = "/webhooks/twilio?n=7", {"MessageStatus": "delivered"}
    headers = FORM | {TWILIO_SIGNATURE: sign_twilio(known.twilio_token, door.url + path, form)}
    assert await door.post(path, b"MessageStatus=delivered", headers) == 204
    assert await door.outcomes() == []
    async with door.session.get(door.url + "/metrics") as answer:
        assert 'tidings_provider_events_total{provider="twilio",result="foreign"}' in await answer.text()


async def test_an_unsigned_callback_is_not_read(door: Door, known: Credentials) -> None:
    path, form = f"/webhooks/twilio?n={format_id(fresh_id())}", {"MessageStatus": "delivered"}
    body, token = b"MessageStatus=delivered", known.twilio_token
    good = sign_twilio(token, door.url + path, form)
    for where, content, headers in (
        (path, body, FORM),
        (path, body, FORM | {TWILIO_SIGNATURE: sign_twilio("other", door.url + path, form)}),
        (path, body + b"&ErrorCode=1", FORM | {TWILIO_SIGNATURE: good}),
        (f"/webhooks/twilio?n={format_id(fresh_id())}", body, FORM | {TWILIO_SIGNATURE: good}),
        (path, body, {"Content-Type": "application/json", TWILIO_SIGNATURE: good}),
    ):
        assert await door.post(where, content, headers) == 403
    assert await door.outcomes() == []


async def receipt(door: Door, token: str, name: str) -> int:
    return await door.post("/receipts", orjson.dumps({"receipt": token, "event": name}), {"Content-Type": "application/json"})


async def test_receipts_become_outcomes_once(door: Door) -> None:
    id_ = fresh_id(3)
    token = sign_receipt(SECRET, id_, Channel.PUSH, 2)
    for name in ("delivered", "delivered", "opened"):
        assert await receipt(door, token, name) == 204
    found = await door.outcomes()
    assert [(record.status, record.channel, record.device) for record in found] == [
        (Status.DELIVERED, Channel.PUSH, 2),
        (Status.OPENED, Channel.PUSH, 2),
    ]
    assert {record.provider for record in found} == {""}  # the ledger keeps naming the provider that had it


async def test_a_receipt_that_is_not_ours_is_refused(door: Door) -> None:
    assert await receipt(door, sign_receipt("another-secret-of-somebody", fresh_id(), Channel.PUSH, 0), "opened") == 403
    assert await receipt(door, "x", "opened") == 403
    assert await receipt(door, sign_receipt(SECRET, fresh_id(), Channel.PUSH, 0), "dismissed") == 400
    for body in (b"{", b"[]", b'{"receipt": 1, "event": 2}', b'{"event": "opened"}'):
        assert await door.post("/receipts", body, {}) == 400
    assert await door.post("/receipts", b" " * 20_000, {}) == 413
    assert await door.outcomes() == []


async def test_the_provider_is_asked_to_repeat_while_redis_is_away(known: Credentials, unused_tcp_port: int) -> None:
    away = Store("redis://127.0.0.1:1/0")
    try:
        async with serving(settings_for(known, web_public_url=f"http://127.0.0.1:{unused_tcp_port}"), away) as door:
            body = orjson.dumps([event(fresh_id(), "delivered")])
            assert await door.post("/webhooks/sendgrid", body, signed(known, body)) == 503
            token = sign_receipt(SECRET, fresh_id(), Channel.PUSH, 0)
            assert [await receipt(door, token, "opened") for _ in range(2)] == [503, 503]  # not noted as known
            async with door.session.get(door.url + "/healthz") as answer:
                assert answer.status == 503 and answer.headers["Retry-After"]
    finally:
        await away.close()


async def test_pages(door: Door) -> None:
    async with door.session.get(door.url + "/") as answer:
        page = await answer.text()
        assert answer.status == 200 and answer.content_type == "text/html"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for path in ("/healthz", "/metrics", "/index.css"):
        assert path in page
        async with door.session.get(door.url + path) as answer:
            assert answer.status == 200
    async with door.session.get(door.url + "/nothing") as answer:
        assert answer.status == 404 and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_key_that_is_none_is_said_at_start(known: Credentials) -> None:
    with pytest.raises(ConfigError, match="TIDINGS_SENDGRID__WEBHOOK_PUBLIC_KEY"):
        build_app(settings_for(known, sendgrid={"webhook_public_key": "AAAA"}), Store("redis://127.0.0.1:1/0"))


# The sandbox's own webhooks, as the providers would send them.


@pytest.fixture
async def sandbox(known: Credentials, door: Door) -> AsyncIterator[Running]:
    running = await start(Plan(Path(known.folder), web_url=door.url))
    yield running
    await running.stop()


async def test_what_the_sandbox_tells_arrives_as_outcomes(door: Door, sandbox: Running) -> None:
    env, base = sandbox.environment, sandbox.endpoints.url
    mail_id, sms_id, push_id = fresh_id(0), fresh_id(1), fresh_id(2)
    mail = {
        "personalizations": [{"to": [{"email": "ada@example.com"}], "custom_args": {"tidings_id": format_id(mail_id)}}],
        "from": {"email": "news@shop.example"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi"}],
    }
    key = {"Authorization": f"Bearer {env['TIDINGS_SENDGRID__API_KEY']}"}
    async with door.session.post(f"{base}/v3/mail/send", json=mail, headers=key) as answer:
        assert answer.status == 202
    sid = env["TIDINGS_TWILIO__ACCOUNT_SID"]
    login = {"Authorization": aiohttp.encode_basic_auth(sid, env["TIDINGS_TWILIO__AUTH_TOKEN"])}
    callback = f"{door.url}/webhooks/twilio?n={format_id(sms_id)}"
    form = {"To": "+4915112345678", "From": env["TIDINGS_TWILIO__FROM_NUMBER"], "Body": "Hi", "StatusCallback": callback}
    url = f"{base}/2010-04-01/Accounts/{sid}/Messages.json"
    async with door.session.post(url, data=form, headers=login) as answer:
        assert answer.status == 201
    await _push(sandbox, door, push_id)
    for seq in (1, 3):  # the recipient looks at the e-mail, taps on the push
        async with door.session.post(f"{base}/messages/{seq}/open", json={}) as answer:
            assert answer.status == 200

    async def all_told() -> bool:
        found = {(record.id, record.status) for record in await door.outcomes()}
        return found == {
            (mail_id, Status.DELIVERED),
            (mail_id, Status.OPENED),
            (sms_id, Status.DELIVERED),
            (push_id, Status.DELIVERED),
            (push_id, Status.OPENED),
        }

    await eventually(all_told)
    assert sandbox.sandbox.outbox.failed == 0


async def _push(sandbox: Running, door: Door, id_: bytes) -> None:
    """As an FCM message arrives, without the token's exchange."""
    from tidings.sandbox.fcm import Tokens  # noqa: PLC0415

    data = {
        "tidings_receipt": sign_receipt(SECRET, id_, Channel.PUSH, 0),
        "tidings_receipt_url": f"{door.url}/receipts",
    }
    url = f"{sandbox.endpoints.url}/v1/projects/{sandbox.environment['TIDINGS_FCM__PROJECT_ID']}/messages:send"
    access = {"Authorization": f"Bearer {Tokens(sandbox.sandbox).make()}"}
    body = {"message": {"token": "token-of-ada", "data": data}}
    async with door.session.post(url, json=body, headers=access) as answer:
        assert answer.status == 200
