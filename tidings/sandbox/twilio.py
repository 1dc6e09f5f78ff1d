"""Twilio, simulated: POST /2010-04-01/Accounts/{sid}/Messages.json. Statuses follow as signed callbacks."""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from tidings.sandbox.context import Sandbox, answer_late
from tidings.sandbox.credentials import FROM_NUMBER
from tidings.sandbox.faults import Fault
from tidings.sandbox.store import Message

NAME = "twilio"
MAX_BODY = 1600  # characters
STATUS_STEP_S = 0.05  # between two statuses of a message
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_HOST = re.compile(r"(?!-)[A-Za-z0-9.-]+|\[[0-9a-f:]+\]")
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_ESCAPED = frozenset("^{}\\[~]|€")


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """The doors of this provider."""
    return [web.post("/2010-04-01/Accounts/{sid}/Messages.json", Twilio(sandbox).create)]


def refuse(status: int, code: int, message: str, **headers: str) -> web.Response:
    """An error in Twilio's shape."""
    body = {"code": code, "message": message, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return web.json_response(body, status=status, headers=headers)


def segments(body: str) -> int:
    """How many SMS a text takes: 160 or 153 GSM-7 septets, or 70 or 67 UTF-16 units, each."""
    if all(c in _GSM or c in _GSM_ESCAPED for c in body):
        length, alone, joined = sum(2 if c in _GSM_ESCAPED else 1 for c in body), 160, 153
    else:
        length, alone, joined = len(body.encode("utf-16-le")) // 2, 70, 67
    return 1 if length <= alone else -(-length // joined)


def check(form: Mapping[str, str]) -> tuple[int, str] | None:
    """The first thing that is wrong with a form: Twilio's error code and words, with status 400."""
    to, sender, body = form.get("To", ""), form.get("From", ""), form.get("Body", "")
    if not to:
        return 21604, "A 'To' phone number is required."
    if not sender and not form.get("MessagingServiceSid"):
        return 21603, "A 'From' phone number is required."
    if not _E164.fullmatch(to):
        return 21211, f"The 'To' number {to} is not a valid phone number."
    if to == sender:
        return 21266, f"'To' and 'From' number cannot be the same: {to}"
    if sender and sender != FROM_NUMBER:
        words = "is not a valid, SMS-capable inbound phone number or short code for your account."
        return 21606, f"The 'From' phone number {sender} {words}"
    if not body and not form.get("MediaUrl") and not form.get("ContentSid"):
        return 21602, "Message body is required."
    if len(body) > MAX_BODY:
        return 21617, "The concatenated message body exceeds the 1600 character limit."
    callback = form.get("StatusCallback", "")
    if callback and not _is_url(callback):
        return 21609, f"The 'StatusCallback' URL {callback} is not a valid URL."
    period = form.get("ValidityPeriod", "")
    if period and not (period.isdigit() and 1 <= int(period) <= 36_000):
        return 30410, "The 'ValidityPeriod' must be an integer from 1 to 36000."
    return None


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    host = parts.hostname or ""
    return len(text) <= 4000 and parts.scheme in ("http", "https") and _HOST.fullmatch(host) is not None


class Twilio:
    """The Messages door."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def create(self, request: web.Request) -> web.Response:
        """One call: one SMS."""
        answer = self._check_account(request)
        if answer is None:
            answer = await self._take(request)
        if answer.status >= 400:
            self._sandbox.store.refuse(NAME)
        return answer

    def _check_account(self, request: web.Request) -> web.Response | None:
        credentials = self._sandbox.credentials
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
        right = f"{credentials.twilio_sid}:{credentials.twilio_token}".encode()
        if kind.lower() != "basic" or not secrets.compare_digest(f"{user}:{password}".encode(), right):
            return refuse(401, 20003, "Authenticate", **{"WWW-Authenticate": 'Basic realm="Twilio API"'})
        if request.match_info["sid"] != credentials.twilio_sid:
            return refuse(404, 20404, f"The requested resource {request.path} was not found")
        return None

    async def _take(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            return refuse(415, 20415, "Unsupported Media Type")
        try:
            parsed = parse_qs((await request.read()).decode(), keep_blank_values=True, strict_parsing=False)
        except UnicodeDecodeError:
            return refuse(400, 20001, "Bad request")
        form = {name: values[-1] for name, values in parsed.items()}
        wrong = check(form)
        if wrong:
            return refuse(400, *wrong)
        fault = self._sandbox.faults.decide(NAME, [form["To"]])
        refusal = _refusal(fault, form["To"])
        if refusal:
            return refusal
        message = self._arrive(form, fault)
        await answer_late(fault, request)
        return web.json_response(self._resource(form, message), status=201)

    def _arrive(self, form: Mapping[str, str], fault: Fault | None) -> Message:
        sandbox, callback = self._sandbox, form.get("StatusCallback", "")
        query = parse_qs(urlsplit(callback).query)
        message = sandbox.store.add(
            Message(
                provider=NAME,
                channel="sms",
                to=form["To"],
                sender=form.get("From") or form["MessagingServiceSid"],
                notification_id=(query.get("n") or [""])[0],
                provider_id="SM" + secrets.token_hex(16),
                at_ms=sandbox.now_ms(),
                text=form.get("Body", ""),
                data={"segments": str(segments(form.get("Body", "")))},
                fault=fault.kind if fault else "",
            )
        )
        statuses = ["queued", "sent", "undelivered" if fault and fault.kind == "bounce" else "delivered"]
        for step, status in enumerate(statuses):
            sandbox.store.note(message, status, sandbox.now_ms())
            if callback:
                sandbox.twilio_callbacks.tell(callback, self._callback(message, status), step * STATUS_STEP_S)
        return message

    def _callback(self, message: Message, status: str) -> dict[str, str]:
        form = {
            "MessageSid": message.provider_id,
            "SmsSid": message.provider_id,
            "MessageStatus": status,
            "SmsStatus": status,
            "To": message.to,
            "From": message.sender,
            "AccountSid": self._sandbox.credentials.twilio_sid,
            "ApiVersion": "2010-04-01",
        }
        return form | ({"ErrorCode": "30007"} if status == "undelivered" else {})

    def _resource(self, form: Mapping[str, str], message: Message) -> dict[str, object]:
        account = self._sandbox.credentials.twilio_sid
        uri = f"/2010-04-01/Accounts/{account}/Messages/{message.provider_id}"
        now = format_datetime(datetime.fromtimestamp(message.at_ms // 1000, UTC))
        return {
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": message.text,
            "date_created": now,
            "date_sent": None,
            "date_updated": now,
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "num_media": "0",
            "num_segments": message.data["segments"],
            "price": None,
            "price_unit": "USD",
            "sid": message.provider_id,
            "status": "queued",
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": message.to,
            "uri": f"{uri}.json",
        }


def _refusal(fault: Fault | None, to: str) -> web.Response | None:
    match fault.kind if fault else "":
        case "invalid":
            return refuse(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        case "unregistered":
            return refuse(400, 21610, "Attempt to send to unsubscribed recipient")
        case "throttle" if fault:
            return refuse(429, 20429, "Too Many Requests", **{"Retry-After": str(fault.retry_after_s)})
        case "error" if fault:
            code, words = (20500, "Internal Server Error") if fault.status == 500 else (20503, "Service Unavailable")
            return refuse(fault.status, code, words)
    return None
