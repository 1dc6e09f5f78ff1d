"""The web application: its routes, and what all requests have in common: safe headers, and 503 when Redis is away."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

from core.arrivals import Arrivals
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import StoreError
from core.metrics import CONTENT_TYPE, exposition
from core.settings import Settings
from core.store import Store
from core.streams import Streams
from gateway.web import receipts
from gateway.web.events import Teller
from gateway.web.webhooks import sendgrid, twilio

MAX_BODY = 4 * 1024 * 1024  # bytes; SendGrid's batches stay under one
RETRY_AFTER_S = 5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def build_app(settings: Settings, store: Store, clock: Clock = SYSTEM_CLOCK) -> web.Application:
    """The application, to be served by the gateway's process.

    Raises:
        ConfigError: SendGrid's verification key is not a key.
    """
    teller = Teller(Streams(store).append, settings.partitions, Arrivals(store).add)
    sendgrid_door = sendgrid.SendGridDoor(settings.sendgrid.webhook_public_key, teller, clock)
    token = settings.twilio.auth_token.get_secret_value()
    twilio_door = twilio.TwilioDoor(token, settings.web_public_url, teller, clock)
    receipts_door = receipts.ReceiptsDoor(settings.secret_key.get_secret_value(), teller, clock)
    app = web.Application(middlewares=[_common], client_max_size=MAX_BODY)
    app.add_routes(
        [
            web.get("/", _file("index.html", "text/html")),
            web.get("/index.css", _file("index.css", "text/css")),
            web.get("/healthz", _health(store)),
            web.get("/metrics", _metrics),
            web.post(sendgrid.PATH, sendgrid_door.receive),
            web.post(twilio.PATH, twilio_door.receive),
            web.post(receipts.PATH, receipts_door.receive),
        ]
    )
    return app


@web.middleware
async def _common(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whoever tells us something while Redis is away is asked to tell it again."""
    try:
        answer = await handler(request)
    except StoreError:
        answer = web.Response(status=503, text="try again", headers={"Retry-After": str(RETRY_AFTER_S)})
    except web.HTTPException as error:
        error.headers.update(_HEADERS)
        raise
    answer.headers.update(_HEADERS)
    return answer


def _file(name: str, kind: str) -> Handler:
    content = (files("gateway.web") / "static" / name).read_bytes()

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return serve


def _health(store: Store) -> Handler:
    async def serve(_: web.Request) -> web.StreamResponse:
        """200 while Redis answers, else 503."""
        await store.send([["PING"]])
        return web.json_response({"status": "ok"})

    return serve


async def _metrics(_: web.Request) -> web.StreamResponse:
    return web.Response(body=exposition(), headers={"Content-Type": CONTENT_TYPE})
