"""The sandbox over real sockets, spoken to by the providers' own client packages where they have any."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import httpx
import jwt
import orjson
import pytest
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials
from sendgrid.helpers.mail import Content, CustomArg, From, Mail, Personalization, Substitution, To

from core.ids import format_id, new_id
from core.model import Channel
from core.signing import sign_receipt
from tests.helpers import eventually
from tidings.sandbox.credentials import APNS_TOPIC, FROM_NUMBER, PROJECT_ID, SMTP_USERNAME
from tidings.sandbox.server import Plan, Running, start

ID = format_id(new_id(1, 2, 1_800_000_000_000))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")  # one for all: keys take a second to make


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[Running]:
    running = await start(Plan(folder))
    yield running
    await running.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def apple(sandbox: Running) -> AsyncIterator[httpx.AsyncClient]:
    trust = ssl.create_default_context(cafile=sandbox.environment["TIDINGS_APNS__CA_FILE"])
    base_url = sandbox.environment["TIDINGS_APNS__BASE_URL"]
    async with httpx.AsyncClient(http2=True, http1=False, verify=trust, base_url=base_url, trust_env=False) as client:
        yield client


async def arrived(http: aiohttp.ClientSession, sandbox: Running, **query: str) -> list[dict[str, Any]]:
    async with http.get(f"{sandbox.endpoints.url}/messages", params=query) as answer:
        found: list[dict[str, Any]] = (await answer.json())["messages"]
        return found


async def tell(http: aiohttp.ClientSession, sandbox: Running, path: str, **body: object) -> int:
    async with http.post(sandbox.endpoints.url + path, json=body) as answer:
        return answer.status


# SendGrid


def mail(*addresses: str) -> dict[str, Any]:
    made = Mail(from_email=From("news@shop.example", "Shop"))
    made.add_content(Content("text/plain", "Hello -name-"))
    made.add_content(Content("text/html", "<p>Hello -name-, <a href='https://shop.example/?a=1&amp;b=2'>look</a>"))
    for index, address in enumerate(addresses):
        one = Personalization()
        one.add_to(To(address))
        one.subject = f"Hello {index}"
        one.add_custom_arg(CustomArg("tidings_id", ID))
        one.add_custom_arg(CustomArg("tidings_device", str(index)))
        one.add_substitution(Substitution("-name-", f"N{index}"))
        made.add_personalization(one, index=index)
    body: dict[str, Any] = made.get()
    return body


async def send(http: aiohttp.ClientSession, sandbox: Running, body: Any, **headers: str) -> tuple[int, Any, Any]:
    key = {"Authorization": f"Bearer {sandbox.environment['TIDINGS_SENDGRID__API_KEY']}"}
    async with http.post(f"{sandbox.endpoints.url}/v3/mail/send", json=body, headers=key | headers) as answer:
        return answer.status, await answer.json(content_type=None) if answer.status >= 400 else None, answer.headers


async def test_sendgrid_takes_a_batch_and_makes_its_substitutions(sandbox: Running, http: aiohttp.ClientSession) -> None:
    status, _, headers = await send(http, sandbox, mail("ada@example.com", "grace@example.com"))
    assert status == 202
    first, second = await arrived(http, sandbox, channel="email")
    assert (second["to"], second["from"], second["title"]) == ("grace@example.com", "Shop <news@shop.example>", "Hello 1")
    assert (second["text"], second["notification_id"], second["device"]) == ("Hello N1", ID, 1)
    assert first["provider_id"].startswith(headers["X-Message-Id"] + ".")
    assert [event["event"] for event in first["events"]] == ["processed", "delivered"]


async def test_sendgrid_refuses_in_its_own_words(sandbox: Running, http: aiohttp.ClientSession) -> None:
    status, body, _ = await send(http, sandbox, mail("ada@example.com"), Authorization="Bearer SG.wrong")
    assert (status, body["errors"][0]["message"]) == (401, "The provided authorization grant is invalid, expired, or revoked")
    wrong = mail("ada@example.com", "grace@example.com")
    wrong["personalizations"][1]["to"][0]["email"] = "grace"
    status, body, _ = await send(http, sandbox, wrong)
    assert (status, body["errors"][0]["field"]) == (400, "personalizations.1.to.0.email")
    status, _, _ = await send(http, sandbox, mail("ada@example.com"), **{"Content-Type": "text/plain"})
    assert status == 415
    async with http.get(f"{sandbox.endpoints.url}/v3/mail/send") as answer:
        assert answer.status == 405
    assert await arrived(http, sandbox) == []
    assert sandbox.sandbox.store.refused == {"sendgrid": 4}


# Twilio


async def text(http: aiohttp.ClientSession, sandbox: Running, to: str, token: str = "") -> tuple[int, dict[str, Any], Any]:
    sid = sandbox.environment["TIDINGS_TWILIO__ACCOUNT_SID"]
    login = aiohttp.encode_basic_auth(sid, token or sandbox.environment["TIDINGS_TWILIO__AUTH_TOKEN"])
    url = f"{sandbox.endpoints.url}/2010-04-01/Accounts/{sid}/Messages.json"
    form = {"To": to, "From": FROM_NUMBER, "Body": "Hi", "StatusCallback": f"{sandbox.endpoints.url}/none?n={ID}"}
    async with http.post(url, data=form, headers={"Authorization": login}) as answer:
        return answer.status, await answer.json(), answer.headers


async def test_twilio_takes_an_sms(sandbox: Running, http: aiohttp.ClientSession) -> None:
    status, body, _ = await text(http, sandbox, "+4915112345678")
    assert (status, body["status"], body["num_segments"], body["sid"][:2]) == (201, "queued", "1", "SM")
    (message,) = await arrived(http, sandbox, provider="twilio")
    assert (message["to"], message["text"], message["notification_id"]) == ("+4915112345678", "Hi", ID)


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (("+4915112345678", "wrong"), 401, 20003),
        (("0171",), 400, 21211),
        (("+15005550001",), 400, 21211),
        (("+15005550004",), 400, 21610),
        (("+15005550102",), 429, 20429),
        (("+15005550103",), 503, 20503),
    ],
)
async def test_twilio_refuses_with_its_codes(
    sandbox: Running, http: aiohttp.ClientSession, call: tuple[str, ...], status: int, code: int
) -> None:
    found, body, headers = await text(http, sandbox, *call)
    assert (found, body["status"], body["code"]) == (status, status, code)
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert (headers.get("Retry-After") == "2") == (status == 429)
    assert await arrived(http, sandbox) == []


# FCM


def access_token(sandbox: Running) -> str:
    file, scope = sandbox.environment["TIDINGS_FCM__CREDENTIALS_FILE"], "https://www.googleapis.com/auth/firebase.messaging"
    account = Credentials.from_service_account_file(file, scopes=[scope])  # type: ignore[no-untyped-call]
    account.refresh(Request())
    return str(account.token)


async def push(http: aiohttp.ClientSession, sandbox: Running, access: str, **message: object) -> tuple[int, dict[str, Any]]:
    url = f"{sandbox.endpoints.url}/v1/projects/{PROJECT_ID}/messages:send"
    async with http.post(url, json={"message": message}, headers={"Authorization": f"Bearer {access}"}) as answer:
        return answer.status, await answer.json()


async def test_fcm_takes_a_push_with_a_token_fetched_by_googles_package(sandbox: Running, http: aiohttp.ClientSession) -> None:
    token = await asyncio.to_thread(access_token, sandbox)
    notification = {"title": "Shipped", "body": "On its way"}
    status, body = await push(http, sandbox, token, token="token-of-ada", notification=notification)
    assert status == 200 and body["name"].startswith(f"projects/{PROJECT_ID}/messages/")
    (message,) = await arrived(http, sandbox, provider="fcm")
    assert (message["to"], message["title"], message["text"]) == ("token-of-ada", "Shipped", "On its way")
    status, body = await push(http, sandbox, token, token="fault-unregistered-1")
    assert (status, body["error"]["status"], body["error"]["details"][0]["errorCode"]) == (404, "NOT_FOUND", "UNREGISTERED")
    status, body = await push(http, sandbox, token, token="token-of-ada", data={"a": 1})
    assert (status, body["error"]["details"][0]["fieldViolations"][0]["field"]) == (400, "message.data[0].value")


async def test_fcm_lets_nobody_in_without_a_token_of_its_own(sandbox: Running, http: aiohttp.ClientSession) -> None:
    status, body = await push(http, sandbox, "ya29.9999999999.aa.bb", token="token-of-ada")
    assert (status, body["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, None),
        ({"iss": "eve@example.com"}, "invalid_grant"),
        ({"aud": "https://example.com/token"}, "invalid_grant"),
        ({"exp": int(time.time()) + 7200}, "invalid_grant"),
        ({"iat": 1, "exp": 3600}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
    ],
)
async def test_the_token_endpoint_reads_the_assertion(
    sandbox: Running, http: aiohttp.ClientSession, changes: dict[str, object], error: str | None
) -> None:
    account = orjson.loads(sandbox.sandbox.credentials.service_account_file.read_bytes())
    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + 3600,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
    }
    assertion = jwt.encode(claims | changes, account["private_key"], algorithm="RS256")
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    async with http.post(account["token_uri"], data=form) as answer:
        body = await answer.json()
        assert (answer.status, body.get("error")) == (400 if error else 200, error)
    async with http.post(account["token_uri"], data=form | {"assertion": assertion[:-4] + "AAAA"}) as answer:
        assert (await answer.json())["error"] == "invalid_grant"


# APNs


def provider_token(sandbox: Running, *, issued: float = 0, team: str = "") -> str:
    env = sandbox.environment
    claims = {"iss": team or env["TIDINGS_APNS__TEAM_ID"], "iat": int(time.time() - issued)}
    key = Path(env["TIDINGS_APNS__KEY_FILE"]).read_text()
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": env["TIDINGS_APNS__KEY_ID"]})


async def notify(apple: httpx.AsyncClient, token: str, device: str = "ab" * 32, **headers: str) -> httpx.Response:
    body = {"aps": {"alert": {"title": "News", "body": "The vote passed"}}, "order": "7"}
    given = {"authorization": f"bearer {token}", "apns-topic": APNS_TOPIC, "apns-push-type": "alert"}
    return await apple.post(f"/3/device/{device}", json=body, headers=given | headers)


async def test_apns_takes_many_pushes_on_one_connection(
    sandbox: Running, apple: httpx.AsyncClient, http: aiohttp.ClientSession
) -> None:
    token = provider_token(sandbox)
    first = await notify(apple, token, **{"apns-id": ID})
    assert (first.status_code, first.http_version, first.headers["apns-id"], first.content) == (200, "HTTP/2", ID, b"")
    answers = await asyncio.gather(*(notify(apple, token) for _ in range(150)))
    assert {answer.status_code for answer in answers} == {200}
    messages = await arrived(http, sandbox, provider="apns", limit="1000")
    assert len(messages) == 151
    assert (messages[0]["title"], messages[0]["text"], messages[0]["data"]) == ("News", "The vote passed", {"order": "7"})


async def test_apns_refuses_with_its_reasons(sandbox: Running, apple: httpx.AsyncClient) -> None:
    good = provider_token(sandbox)
    cases = [
        (await notify(apple, ""), 403, "MissingProviderToken"),
        (await notify(apple, provider_token(sandbox, team="OTHER00000")), 403, "InvalidProviderToken"),
        (await notify(apple, provider_token(sandbox, issued=3700)), 403, "ExpiredProviderToken"),
        (await notify(apple, good, device="fa1105" + "0" * 58), 410, "Unregistered"),
        (await notify(apple, good, device="fa1104" + "0" * 58), 400, "BadDeviceToken"),
        (await notify(apple, good, **{"apns-topic": "com.example.other"}), 400, "TopicDisallowed"),
        (await notify(apple, provider_token(sandbox, issued=1)), 429, "TooManyProviderTokenUpdates"),
        (await apple.get("/3/device/ab", headers={"authorization": f"bearer {good}"}), 405, "MethodNotAllowed"),
    ]
    for answer, status, reason in cases:
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
        assert answer.headers["apns-id"]
    assert cases[3][0].json()["timestamp"] < time.time() * 1000


# SMTP


async def deliver(sandbox: Running, to: str, **more: Any) -> str:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <news@shop.example>", to, "Grüße"
    message["Message-ID"] = f"<{ID}.3@shop.example>"
    message.set_content("Hallo")
    message.add_alternative("<p>Hallo", subtype="html")
    host, port = sandbox.endpoints.host, sandbox.endpoints.smtp_port
    _, answer = await aiosmtplib.send(message, hostname=host, port=port, **{"start_tls": False, **more})
    return answer


async def test_smtp_keeps_what_it_is_given(sandbox: Running, http: aiohttp.ClientSession) -> None:
    answer = await deliver(sandbox, "ada@example.com")
    (message,) = await arrived(http, sandbox, provider="smtp")
    assert message["provider_id"] in answer
    assert (message["title"], message["text"].strip(), message["has_html"]) == ("Grüße", "Hallo", True)
    assert (message["notification_id"], message["device"]) == (ID, 3)
    async with http.get(f"{sandbox.endpoints.url}/messages/{message['seq']}/html") as page:
        assert (await page.text()).strip() == "<p>Hallo"


@pytest.mark.parametrize(("kind", "code"), [("invalid", 550), ("unregistered", 550), ("throttle", 450)])
async def test_smtp_refuses_recipients(sandbox: Running, kind: str, code: int) -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await deliver(sandbox, f"{kind}@fault.example.com")
    assert refused.value.recipients[0].code == code


async def test_smtp_error_after_data(sandbox: Running) -> None:
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await deliver(sandbox, "error@fault.example.com")
    assert refused.value.code == 451


async def test_smtp_login_and_starttls(folder: Path) -> None:
    running = await start(Plan(folder, smtp_login=True))
    try:
        trust = ssl.create_default_context(cafile=str(running.sandbox.credentials.ca_file))
        right = {"username": SMTP_USERNAME, "password": running.environment["TIDINGS_SMTP__PASSWORD"]}
        assert "queued" in await deliver(running, "ada@example.com", start_tls=True, tls_context=trust, **right)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await deliver(running, "ada@example.com", **(right | {"password": "wrong"}))
        with pytest.raises(aiosmtplib.SMTPResponseException, match="Authentication required"):
            await deliver(running, "ada@example.com")
    finally:
        await running.stop()


# Faults, receipts, control


async def test_a_hanging_call_is_taken_and_never_answered(sandbox: Running, http: aiohttp.ClientSession) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await send(http, sandbox, mail("hang@fault.example.com"))
    assert [message["fault"] for message in await arrived(http, sandbox)] == ["hang"]


async def test_a_reset_call_is_taken_and_cut(sandbox: Running, http: aiohttp.ClientSession, apple: httpx.AsyncClient) -> None:
    with pytest.raises(aiohttp.ClientError):
        await text(http, sandbox, "+15005550107")
    with pytest.raises(httpx.TransportError):
        await notify(apple, provider_token(sandbox), device="fa1107" + "0" * 58)
    assert [message["fault"] for message in await arrived(http, sandbox)] == ["reset", "reset"]


async def test_rules_are_told_listed_and_cleared(sandbox: Running, http: aiohttp.ClientSession) -> None:
    assert await tell(http, sandbox, "/faults", provider="sendgrid", kind="throttle", count=1, retry_after_s=7) == 201
    assert await tell(http, sandbox, "/faults", provider="sendgrid", kind="nonsense") == 400
    status, body, headers = await send(http, sandbox, mail("ada@example.com"))
    assert (status, headers["Retry-After"], body["errors"][0]["message"]) == (429, "7", "too many requests")
    assert (await send(http, sandbox, mail("ada@example.com")))[0] == 202
    async with http.get(f"{sandbox.endpoints.url}/faults") as answer:
        assert (await answer.json())["faults"][0]["used"] == 1
    async with http.delete(f"{sandbox.endpoints.url}/faults") as answer:
        assert (await answer.json())["faults"] == []
    async with http.post(f"{sandbox.endpoints.url}/faults", data=b'{"provider":"*","kind":"hang"}') as answer:
        assert answer.status == 415  # a foreign web page cannot send JSON here


async def test_one_bad_recipient_of_a_batch_is_named(sandbox: Running, http: aiohttp.ClientSession) -> None:
    body = mail("ada@example.com", "invalid@fault.example.com", "bounce@fault.example.com")
    status, answer, _ = await send(http, sandbox, body)
    assert (status, [e["field"] for e in answer["errors"]]) == (400, ["personalizations.1.to.0.email"])
    del body["personalizations"][1]
    assert (await send(http, sandbox, body))[0] == 202
    ends = {m["to"]: m["events"][-1]["event"] for m in await arrived(http, sandbox)}
    assert ends == {"ada@example.com": "delivered", "bounce@fault.example.com": "bounce"}


async def test_counts_reconcile(sandbox: Running, http: aiohttp.ClientSession) -> None:
    for _ in range(2):
        await send(http, sandbox, mail("ada@example.com"))
    async with http.get(f"{sandbox.endpoints.url}/counts") as answer:
        body = await answer.json()
    assert body["counts"] == {ID: {"sendgrid/0": 2}}
    assert body["notifications"] == 1 and body["state"]["totals"] == {"sendgrid": 2}


async def test_a_push_names_its_notification_by_its_receipt(sandbox: Running, apple: httpx.AsyncClient) -> None:
    receipt = sign_receipt("secret-of-the-sender", new_id(0, 1, 1_800_000_000_000), Channel.PUSH, 4)
    body = {"aps": {"alert": "x"}, "tidings_receipt": receipt, "tidings_receipt_url": f"{sandbox.endpoints.url}/none"}
    headers = {"authorization": f"bearer {provider_token(sandbox)}", "apns-topic": APNS_TOPIC}
    assert (await apple.post("/3/device/" + "ab" * 32, json=body, headers=headers)).status_code == 200
    message = sandbox.sandbox.store.get(1)
    assert message is not None and message.device == 4 and message.notification_id
    await eventually(lambda: sandbox.sandbox.outbox.failed == 1)  # the phone has posted it; nobody takes it there


async def test_the_html_of_a_mail_can_do_nothing_but_show_itself(sandbox: Running, http: aiohttp.ClientSession) -> None:
    await send(http, sandbox, mail("ada@example.com"))
    async with http.get(f"{sandbox.endpoints.url}/messages/1/html") as answer:
        policy, page = answer.headers["Content-Security-Policy"], await answer.text()
    assert "sandbox" in policy and "default-src 'none'" in policy and "script" not in policy
    assert '"/messages/1/click?url=https%3A%2F%2Fshop.example%2F%3Fa%3D1%26b%3D2" target="_blank"' in page
    async with http.get(f"{sandbox.endpoints.url}/messages/1/click", params={"url": "https://a.example/<script>"}) as answer:
        assert "<script>" not in await answer.text()
    (message,) = await arrived(http, sandbox)
    assert message["events"][-1]["event"] == "click"
