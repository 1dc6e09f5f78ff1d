"""SendGrid, simulated: POST /v3/mail/send. Takes what the real one takes, refuses what it refuses, tells its events later."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from tidings.sandbox import sendgrid_rules as rules
from tidings.sandbox.context import Sandbox, answer_late
from tidings.sandbox.faults import CALL_KINDS, RECIPIENT_KINDS, Fault
from tidings.sandbox.store import Message

NAME = "sendgrid"
BOUNCE = "550 5.1.1 The email account that you tried to reach does not exist"


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """The doors of this provider."""
    simulator = SendGrid(sandbox)
    return [web.route("*", "/v3/mail/send", simulator.send)]


def errors(status: int, *items: rules.Error, **headers: str) -> web.Response:
    """An answer in SendGrid's shape."""
    return web.json_response({"errors": list(items)}, status=status, headers=headers, dumps=lambda x: orjson.dumps(x).decode())


class SendGrid:
    """The mail/send door."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def send(self, request: web.Request) -> web.Response:
        """One call: up to 1,000 e-mails, taken all or not at all."""
        refusal = self._check_call(request)
        if refusal is None:
            refusal = await self._take(request)
        if refusal.status >= 400:
            self._sandbox.store.refuse(NAME)
        return refusal

    def _check_call(self, request: web.Request) -> web.Response | None:
        if request.method != "POST":
            return errors(405, rules.error("method not allowed"))
        key = request.headers.get("Authorization", "")
        if not key:
            return errors(401, rules.error("Permission denied, wrong credentials"))
        if not secrets.compare_digest(key.encode(), b"Bearer " + self._sandbox.credentials.sendgrid_key.encode()):
            return errors(401, rules.error("The provided authorization grant is invalid, expired, or revoked"))
        if request.content_type != "application/json":
            return errors(415, rules.error("Content-Type should be application/json."))
        if (request.content_length or 0) > rules.MAX_BODY:
            return errors(413, rules.error("Request Entity Too Large"))
        return None

    async def _take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if len(raw) > rules.MAX_BODY:
            return errors(413, rules.error("Request Entity Too Large"))
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return errors(400, rules.error("Bad Request"))
        wrong = rules.check(body)
        if wrong:
            return errors(400, *wrong)
        recipients = [address for one in body["personalizations"] for address in rules.addresses(one)]
        fault = self._sandbox.faults.decide(NAME, recipients, CALL_KINDS)
        if fault and fault.kind in ("throttle", "error"):
            return _refuse(fault)
        decide = self._sandbox.faults.decide
        fates = [[decide(NAME, [to], RECIPIENT_KINDS) for to in rules.addresses(one)] for one in body["personalizations"]]
        invalid = _invalid(fates)
        if invalid:
            return errors(400, *invalid)
        message_id = secrets.token_urlsafe(16)
        number = 0
        for one, fate in zip(body["personalizations"], fates, strict=True):
            for to, struck in zip(rules.addresses(one), fate, strict=True):
                self._arrive(body, one, to, f"{message_id}.sandbox-{number}.0", struck or fault)
                number += 1
        await answer_late(fault, request)
        return web.Response(status=202, headers={"X-Message-Id": message_id})

    def _arrive(self, body: Mapping[str, Any], one: Mapping[str, Any], to: str, message_id: str, fault: Fault | None) -> None:
        """Keep one e-mail as its recipient would see it, and owe its events."""
        args = {**(body.get("custom_args") or {}), **(one.get("custom_args") or {})}
        tags = one.get("substitutions") or {}
        headers = {**(body.get("headers") or {}), **(one.get("headers") or {})}
        texts = {block["type"]: rules.substitute(block["value"], tags) for block in body.get("content") or ()}
        sandbox = self._sandbox
        message = sandbox.store.add(
            Message(
                provider=NAME,
                channel="email",
                to=to,
                sender=_mailbox(one.get("from") or body["from"]),
                notification_id=args.get("tidings_id", ""),
                provider_id=message_id,
                at_ms=sandbox.now_ms(),
                device=_number(args.get("tidings_device")),
                title=rules.substitute(one.get("subject") or body.get("subject") or "", tags),
                text=texts.get("text/plain", ""),
                html=texts.get("text/html", ""),
                data=args,
                headers={name: rules.substitute(value, tags) for name, value in headers.items()},
                fault=fault.kind if fault else "",
            )
        )
        self.tell(message, "processed")
        if fault and fault.kind in RECIPIENT_KINDS:
            self.tell(message, "bounce", reason=BOUNCE, status="5.1.1", type="bounce", bounce_classification="Invalid Address")
        else:
            self.tell(message, "delivered", response="250 2.0.0 OK")

    def tell(self, message: Message, event: str, **more: str) -> None:
        """Note an event of a message and owe it to the Event Webhook."""
        tell_event(self._sandbox, message, event, **more)


def tell_event(sandbox: Sandbox, message: Message, event: str, **more: str) -> None:
    """Note an event ("open", "click", ...) of a SendGrid message and owe it to the Event Webhook."""
    sandbox.store.note(message, event, sandbox.now_ms())
    sandbox.sendgrid_events.tell(
        {
            **message.data,  # custom_args come back as keys of their own; SendGrid's own keys win
            "email": message.to,
            "timestamp": int(time.time()),
            "event": event,
            "sg_event_id": secrets.token_urlsafe(16),
            "sg_message_id": message.provider_id,
            "smtp-id": f"<{message.provider_id}@sandbox>",
            **more,
        }
    )


def _refuse(fault: Fault) -> web.Response:
    if fault.kind == "throttle":
        return errors(
            429,
            rules.error("too many requests"),
            **{"Retry-After": str(fault.retry_after_s), "X-RateLimit-Remaining": "0"},
        )
    return errors(fault.status, rules.error("internal error" if fault.status == 500 else "service unavailable"))


def _invalid(fates: list[list[Fault | None]]) -> list[rules.Error]:
    return [
        rules.error("Does not contain a valid address.", f"personalizations.{i}.to.{j}.email", "personalizations.to")
        for i, fate in enumerate(fates)
        for j, fault in enumerate(fate)
        if fault and fault.kind == "invalid"
    ]


def _mailbox(raw: Mapping[str, Any]) -> str:
    return f"{raw['name']} <{raw['email']}>" if raw.get("name") else str(raw["email"])


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
