"""The sandbox's page in a real browser: what arrives shows at once, as its recipient would see it, and does no harm."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import orjson
import pytest
from aiohttp import web
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from tests.acceptance.browser import Page, browsing
from tests.helpers import eventually, needs

pytestmark = pytest.mark.browser

# It tries to run a script and to load a picture, which message 1 would note as clicks; its own link covers all of it.
MAIL = """<a href="https://shop.example/order" style="position:absolute;inset:0">Hello Ada</a>
<script>parent.document.title = "taken over"; fetch("{url}/messages/1/click?url=script")</script>
<img src="{url}/messages/1/click?url=picture" onerror="parent.document.title = 'taken over'">"""


class Sandbox:
    """A sandbox in a process of its own, and what is sent to it."""

    def __init__(self, told: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self.url: str = told["url"]
        self._env: dict[str, str] = told["environment"]
        self._http = http

    async def mail(self, to: str, subject: str, html: str) -> None:
        body = {
            "personalizations": [{"to": [{"email": to}]}],
            "from": {"email": "news@shop.example", "name": "Example Shop"},
            "subject": subject,
            "content": [{"type": "text/plain", "value": "Hello in plain text"}, {"type": "text/html", "value": html}],
        }
        key = {"Authorization": f"Bearer {self._env['TIDINGS_SENDGRID__API_KEY']}"}
        async with self._http.post(f"{self.url}/v3/mail/send", json=body, headers=key) as answer:
            assert answer.status == 202

    async def invoice(self, to: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "Shop <invoice@shop.example>", to, "Rechnung 7"
        message.set_content("Guten Tag")
        host, port = self._env["TIDINGS_SMTP__HOST"], int(self._env["TIDINGS_SMTP__PORT"])
        await aiosmtplib.send(message, hostname=host, port=port, start_tls=False)

    async def sms(self, to: str, text: str) -> None:
        sid = self._env["TIDINGS_TWILIO__ACCOUNT_SID"]
        login = {"Authorization": aiohttp.encode_basic_auth(sid, self._env["TIDINGS_TWILIO__AUTH_TOKEN"])}
        form = {"To": to, "From": self._env["TIDINGS_TWILIO__FROM_NUMBER"], "Body": text}
        url = f"{self.url}/2010-04-01/Accounts/{sid}/Messages.json"
        async with self._http.post(url, data=form, headers=login) as answer:
            assert answer.status == 201

    async def push(self, token: str, title: str, data: dict[str, str]) -> None:
        access = await asyncio.to_thread(self._access)
        body = {"message": {"token": token, "notification": {"title": title, "body": "On its way"}, "data": data}}
        url = f"{self.url}/v1/projects/{self._env['TIDINGS_FCM__PROJECT_ID']}/messages:send"
        async with self._http.post(url, json=body, headers={"Authorization": f"Bearer {access}"}) as answer:
            assert answer.status == 200

    def _access(self) -> str:
        scope = "https://www.googleapis.com/auth/firebase.messaging"
        file = self._env["TIDINGS_FCM__CREDENTIALS_FILE"]
        account = Credentials.from_service_account_file(file, scopes=[scope])  # type: ignore[no-untyped-call]
        account.refresh(Request())
        return str(account.token)

    async def events(self, seq: int) -> list[str]:
        async with self._http.get(f"{self.url}/messages/{seq}") as answer:
            return [event["event"] for event in (await answer.json())["events"]]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    command = ["-m", "tidings.sandbox", "--data", str(tmp_path / "data"), "--port-file", str(tmp_path / "ports.json")]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line == await asyncio.to_thread((tmp_path / "ports.json").read_bytes)
    async with aiohttp.ClientSession() as http:
        yield Sandbox(orjson.loads(line), http)
    process.terminate()
    await process.communicate()
    assert process.returncode == 0


@pytest.fixture
async def page(tmp_path: Path, sandbox: Sandbox) -> AsyncIterator[Page]:
    async with browsing(needs("chromium", "chromium-browser", "google-chrome", "chrome"), tmp_path / "profile") as found:
        await found.open(sandbox.url)
        await eventually(lambda: found.run("document.querySelector('#live').textContent === 'live'"))
        yield found
        assert found.errors == []


async def rows(page: Page) -> list[str]:
    found: list[str] = await page.run("[...document.querySelectorAll('.row .to')].map(e => e.textContent)")
    return found


async def shown(page: Page, selector: str) -> str:
    found: str | None = await page.run(f"document.querySelector({selector!r})?.textContent ?? ''")
    return found or ""


async def test_mail_arrives_and_is_read_safely(sandbox: Sandbox, page: Page) -> None:
    assert "Nothing has arrived yet" in await shown(page, "#none")
    await sandbox.mail("grace@example.com", "The witness", "<p>Hi")
    await sandbox.mail("ada@example.com", "Your order", MAIL.format(url=sandbox.url))
    await eventually(lambda: page.run("document.querySelectorAll('.row').length === 2"))
    await page.click("#m2")
    await eventually(lambda: shown(page, ".mail h2"))
    assert await shown(page, ".mail h2") == "Your order"
    assert await shown(page, ".sender") == "Example Shop <news@shop.example>"

    async def opened() -> bool:
        return await sandbox.events(2) == ["processed", "delivered", "open"]

    await eventually(opened)
    await eventually(lambda: page.run("document.querySelector('.people .chips').textContent.includes('open')"))
    assert await page.run("document.querySelector('iframe').getAttribute('sandbox')") == "allow-popups"
    assert await page.run("document.querySelector('iframe').contentDocument") is None  # it is another origin

    async def clicked() -> bool:
        await page.click("iframe")  # again, if it was not painted yet
        return "click" in await sandbox.events(2)

    await eventually(clicked)  # so it was loaded, and a link in it leads out
    assert await sandbox.events(1) == ["processed", "delivered"]
    assert await page.run("document.title") == "tidings sandbox"


async def test_text_and_details_by_keyboard(sandbox: Sandbox, page: Page) -> None:
    await sandbox.invoice("grace@example.com")
    await sandbox.mail("ada@example.com", "Newer", "<p>Hi")
    await eventually(lambda: rows(page))
    await page.press("/")
    assert await page.run("document.activeElement.id") == "search"
    await page.type("rechnung")
    await eventually(lambda: page.run("document.querySelectorAll('.row').length === 1"))
    await page.press("Enter")
    await eventually(lambda: page.run("document.querySelector('.mail h2')?.textContent === 'Rechnung 7'"))
    assert await page.run("document.activeElement.id") == "list"
    assert await page.run("document.querySelector('[aria-selected=true] .to').textContent") == "grace@example.com"
    assert (await shown(page, ".panel pre")).strip() == "Guten Tag"  # no HTML: the text is what shows
    await page.run("document.querySelector('.tabs [aria-selected=true]').focus()")
    await page.press("ArrowUp")  # not a tab's key
    await page.run("document.querySelectorAll('.tabs button')[1].click()")
    assert "Message-ID" in await shown(page, ".panel") or "Subject" in await shown(page, ".panel")


async def test_arrows_walk_the_list_newest_first(sandbox: Sandbox, page: Page) -> None:
    for number in range(3):
        await sandbox.sms("+4915112345678", f"Code {number}")
    await sandbox.mail("ada@example.com", "Newest", "<p>Hi")
    await eventually(lambda: page.run("document.querySelectorAll('.row').length === 4"))
    assert await rows(page) == ["ada@example.com", *["+4915112345678"] * 3]
    await page.run("document.querySelector('#list').focus()")
    for _ in range(2):
        await page.press("ArrowDown")
    await eventually(lambda: page.run("document.querySelector('.bubble.chosen')?.textContent === 'Code 2'"))
    await page.press("ArrowDown")
    await eventually(lambda: page.run("document.querySelector('.bubble.chosen')?.textContent === 'Code 1'"))
    assert await page.run("document.querySelectorAll('.bubble').length") == 3  # the whole conversation with that number
    assert await page.run("document.querySelector('#list').getAttribute('aria-activedescendant')") == "m2"


@pytest.fixture
async def app() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """Where an app's receipts go: the address, and what has come."""
    receipts: list[dict[str, str]] = []

    async def receive(request: web.Request) -> web.Response:
        receipts.append(await request.json())
        return web.Response(status=204)

    listener = web.Application()
    listener.add_routes([web.post("/receipts", receive)])
    runner = web.AppRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/receipts", receipts
    await runner.cleanup()


async def test_a_push_is_confirmed_and_opened_by_a_tap(
    sandbox: Sandbox, page: Page, app: tuple[str, list[dict[str, str]]]
) -> None:
    url, receipts = app
    await sandbox.push("token-of-ada", "Shipped", {"tidings_receipt": "proof", "tidings_receipt_url": url})
    await eventually(lambda: receipts)
    assert receipts == [{"receipt": "proof", "event": "delivered"}]
    await eventually(lambda: rows(page))
    await page.click(".row")
    await eventually(lambda: shown(page, ".note b"))
    assert await shown(page, ".note b") == "Shipped"
    assert receipts[1:] == []  # to look at the phone opens nothing
    await page.click(".note")
    await eventually(lambda: len(receipts) == 2)
    assert receipts[1] == {"receipt": "proof", "event": "opened"}
    await eventually(lambda: page.run("document.querySelector('.note .app').textContent.includes('opened')"))


async def test_channels_theme_and_clearing(sandbox: Sandbox, page: Page) -> None:
    await sandbox.sms("+4915112345678", "Hi")
    await sandbox.mail("ada@example.com", "Hello", "<p>Hi")
    await eventually(lambda: page.run("document.querySelectorAll('.row').length === 2"))
    await page.click("[data-channel=sms]")
    assert await rows(page) == ["+4915112345678"]
    await page.click("[data-channel=push]")
    assert await rows(page) == [] and "Nothing matches" in await shown(page, "#none")
    before = await page.run("getComputedStyle(document.body).backgroundColor")
    await page.click("#theme")
    assert await page.run("getComputedStyle(document.body).backgroundColor") != before
    await page.click("[data-channel='']")
    await page.click("#clear")
    await eventually(lambda: page.run("document.querySelectorAll('.row').length === 0"))


def test_a_missing_browser_is_red_in_ci_and_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("no-such-browser") is None
    monkeypatch.setitem(os.environ, "CI", "1")
    with pytest.raises(pytest.fail.Exception):
        needs("no-such-browser")
    monkeypatch.delitem(os.environ, "CI")
    with pytest.raises(pytest.skip.Exception):
        needs("no-such-browser")
