"""The sandbox's own doors: the page, what arrived as JSON and as a stream of events, faults and weather to be told.

Changes need `Content-Type: application/json`, which no foreign web page can send here by itself.
"""

import random
import re
from collections.abc import Awaitable, Callable
from html import escape, unescape
from importlib.resources import files
from urllib.parse import quote, urlsplit

import orjson
from aiohttp import web

from tidings.sandbox import phone, sendgrid
from tidings.sandbox.context import Sandbox
from tidings.sandbox.faults import KINDS, PROVIDERS, BadFault
from tidings.sandbox.outbox import Weather
from tidings.sandbox.store import Message, Query

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# What an e-mail may do: show itself and open links elsewhere. No scripts, no forms, nothing from the network.
MAIL_POLICY = (
    "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
STATIC = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript")}
_LINK = re.compile(r"""(<a\b[^>]*?\bhref\s*=\s*)(["'])(https?://[^"'<>]+)\2""", re.IGNORECASE)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """The doors."""
    control = Control(sandbox)
    static = [web.get(path, _static(name, kind)) for path, (name, kind) in STATIC.items()]
    return [
        *static,
        web.get("/healthz", control.health),
        web.get("/messages", control.messages),
        web.delete("/messages", control.forget),
        web.get("/messages/{seq}", control.message),
        web.get("/messages/{seq}/html", control.html),
        web.get("/messages/{seq}/click", control.click),
        web.post("/messages/{seq}/open", control.open),
        web.get("/counts", control.counts),
        web.get("/events", control.events),
        web.get("/faults", control.list_faults),
        web.post("/faults", control.tell_fault),
        web.delete("/faults", control.clear_faults),
        web.get("/webhooks", control.webhooks),
        web.post("/webhooks", control.tell_webhooks),
    ]


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _wrong(words: str, status: int = 400) -> web.Response:
    return _json({"error": words}, status)


def _static(name: str, kind: str) -> Handler:
    content = (files("tidings.sandbox") / "static" / name).read_bytes()

    async def serve(_: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": PAGE_POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)

    return serve


async def _object(request: web.Request) -> dict[str, object]:
    """The request's JSON object. Raises HTTPException."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Content-Type must be application/json")
    try:
        body = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="must be a JSON object")
    return body


def _whole(text: str, default: int, most: int) -> int:
    return min(int(text), most) if text.isdigit() else default


class Control:
    """The doors' handlers."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def _message(self, request: web.Request) -> Message:
        seq = request.match_info["seq"]
        found = self._sandbox.store.get(int(seq)) if seq.isdigit() else None
        if found is None:
            raise web.HTTPNotFound(text="no such message (any more)")
        return found

    async def health(self, _: web.Request) -> web.Response:
        """GET /healthz."""
        return _json({"status": "ok"})

    async def messages(self, request: web.Request) -> web.Response:
        """GET /messages?provider=&channel=&to=&notification_id=&after=SEQ&limit=: oldest first."""
        asked = request.query
        query = Query(
            provider=asked.get("provider", ""),
            channel=asked.get("channel", ""),
            to=asked.get("to", ""),
            notification_id=asked.get("notification_id", ""),
            after=_whole(asked.get("after", ""), 0, 2**62),
            limit=_whole(asked.get("limit", ""), 100, 10_000),
        )
        found = [message.summary() for message in self._sandbox.store.find(query)]
        return _json({"state": self._sandbox.store.state(), "messages": found})

    async def forget(self, _: web.Request) -> web.Response:
        """DELETE /messages: forget everything that arrived."""
        self._sandbox.store.clear()
        return _json(self._sandbox.store.state())

    async def message(self, request: web.Request) -> web.Response:
        """GET /messages/{seq}: one message, whole."""
        message = self._message(request)
        return _json(message.summary() | {"html": message.html})

    async def html(self, request: web.Request) -> web.Response:
        """GET /messages/{seq}/html: an e-mail as a mailbox would show it, its links led through `click`."""
        message = self._message(request)

        def lead(found: re.Match[str]) -> str:
            target = f"/messages/{message.seq}/click?url={quote(unescape(found[3]), safe='')}"
            return f'{found[1]}"{target}" target="_blank"'

        headers = {"Content-Security-Policy": MAIL_POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(text=_LINK.sub(lead, message.html), content_type="text/html", headers=headers)

    async def click(self, request: web.Request) -> web.Response:
        """GET /messages/{seq}/click?url=: what click tracking does, without going anywhere."""
        message, url = self._message(request), request.query.get("url", "")
        if message.provider == sendgrid.NAME:
            sendgrid.tell_event(self._sandbox, message, "click", url=url)
        shown = f"<!doctype html><title>Link</title><p>The reader would now be at<p><code>{escape(url)}</code>"
        return web.Response(text=shown, content_type="text/html", headers={"Content-Security-Policy": "default-src 'none'"})

    async def open(self, request: web.Request) -> web.Response:
        """POST /messages/{seq}/open: the recipient looks at it; told to whoever wants to know, once."""
        await _object(request)
        message = self._message(request)
        if message.channel == "email" and not any(event == "open" for event, _ in message.events):
            if message.provider == sendgrid.NAME:
                sendgrid.tell_event(self._sandbox, message, "open", useragent="tidings sandbox")
        elif (
            message.channel == "push"
            and not any(event == "opened" for event, _ in message.events)
            and phone.send_receipt(self._sandbox.outbox, message.data, "opened", 0)
        ):
            self._sandbox.store.note(message, "opened", self._sandbox.now_ms())
        return _json(message.summary())

    async def counts(self, request: web.Request) -> web.Response:
        """GET /counts?provider=: how often each notification arrived, for reconciling."""
        counts = dict(self._sandbox.store.counts(request.query.get("provider", "")))
        return _json({"state": self._sandbox.store.state(), "notifications": len(counts), "counts": counts})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /events: server-sent events, see Store.watch."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await answer.prepare(request)
        async for news in self._sandbox.store.watch():
            await answer.write(b"data: " + orjson.dumps(news) + b"\n\n")
        return answer

    async def list_faults(self, _: web.Request) -> web.Response:
        """GET /faults: the rules in force."""
        rules = [rule.as_json() for rule in self._sandbox.faults.rules]
        return _json({"faults": rules, "kinds": KINDS, "providers": PROVIDERS})

    async def tell_fault(self, request: web.Request) -> web.Response:
        """POST /faults: add a rule, see faults.parse_rule."""
        try:
            return _json(self._sandbox.faults.tell(await _object(request)).as_json(), 201)
        except BadFault as error:
            return _wrong(str(error))

    async def clear_faults(self, request: web.Request) -> web.Response:
        """DELETE /faults?provider=: forget rules."""
        self._sandbox.faults.clear(request.query.get("provider", ""))
        return _json({"faults": [rule.as_json() for rule in self._sandbox.faults.rules]})

    async def webhooks(self, _: web.Request) -> web.Response:
        """GET /webhooks: where they go and how they fared."""
        outbox, weather = self._sandbox.outbox, self._sandbox.outbox.weather
        return _json(
            {
                "sendgrid_url": self._sandbox.sendgrid_events.url,
                "delay_ms": weather.delay_ms,
                "drop_percent": weather.drop_percent,
                "duplicate_percent": weather.duplicate_percent,
                "seed": weather.seed,
                "waiting": outbox.waiting,
                "sent": outbox.sent,
                "failed": outbox.failed,
                "dropped": outbox.dropped,
            }
        )

    async def tell_webhooks(self, request: web.Request) -> web.Response:
        """POST /webhooks: any of sendgrid_url, delay_ms, drop_percent, duplicate_percent, seed."""
        body = await _object(request)
        outbox = self._sandbox.outbox
        url = body.pop("sendgrid_url", self._sandbox.sendgrid_events.url)
        if not isinstance(url, str) or (url and urlsplit(url).scheme not in ("http", "https")):
            return _wrong("sendgrid_url must be an http address or empty")
        limits = {"delay_ms": 3_600_000, "drop_percent": 100, "duplicate_percent": 100, "seed": 2**53}
        now = {name: getattr(outbox.weather, name) for name in limits}
        for name, value in body.items():
            most = limits.get(name)
            if most is None or isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                return _wrong(f"{name}: expected one of {', '.join(limits)} and a number from 0 to its limit ({most})")
            now[name] = value
        self._sandbox.sendgrid_events.url = url
        outbox.weather = Weather(**now, dice=random.Random(now["seed"]))
        return await self.webhooks(request)
