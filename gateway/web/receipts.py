"""Receipts: POST /receipts {"receipt": TOKEN, "event": "delivered" | "opened" | "clicked"}, sent by an app when a push arrived.

The token came with the push and proves which delivery it speaks of; whoever holds it is the device.
"""

import orjson
from aiohttp import web

from core.clock import Clock
from core.errors import BadToken
from core.ids import format_id
from core.model import Status
from core.signing import read_receipt
from fastpath import LocalFilter
from gateway.web.events import FOREIGN, IGNORED, REFUSED, Event, Fate, Teller, count, our_id

PATH = "/receipts"
MAX_BODY = 16 * 1024  # bytes
STATUSES = {"delivered": Status.DELIVERED, "opened": Status.OPENED, "clicked": Status.CLICKED}
REPEAT_MS = 3600 * 1000  # the same receipt for the same event counts once in this time
REPEATS_KNOWN = 100_000  # receipts

_APP = "app"


class ReceiptsDoor:
    """The receipts' handler."""

    def __init__(self, secret: str, teller: Teller, clock: Clock) -> None:
        self._secret = secret
        self._teller = teller
        self._clock = clock
        self._known = LocalFilter(REPEATS_KNOWN)

    async def receive(self, request: web.Request) -> web.Response:
        """204 once the event is in Redis, 400 for another event, 403 for a token that is not ours."""
        body = await request.read()
        if len(body) > MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY, actual_size=len(body))
        token, event = _read(body)
        status = STATUSES.get(event)
        if status is None:
            raise web.HTTPBadRequest(text=f"event must be one of {', '.join(STATUSES)}")
        try:
            receipt = read_receipt(self._secret, token)
        except BadToken as error:
            count(_APP, REFUSED)
            raise web.HTTPForbidden(text="not a receipt of ours") from error
        now_ms = self._clock.now_ms()
        mark = receipt.id + bytes((receipt.channel, receipt.device, status))
        if self._known.get(mark, now_ms) is not None:
            count(_APP, IGNORED)
        elif our_id(format_id(receipt.id), now_ms) is None:
            count(_APP, FOREIGN)
        else:
            await self._teller.tell([Event(receipt.id, receipt.channel, receipt.device, Fate(status))], now_ms)
            self._known.put(mark, b"", now_ms + REPEAT_MS)
        return web.Response(status=204)


def _read(body: bytes) -> tuple[str, str]:
    """Token and event. Raises HTTPBadRequest."""
    try:
        told = orjson.loads(body)
        token, event = told["receipt"], told["event"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise web.HTTPBadRequest(text='expected {"receipt": ..., "event": ...}') from error
    if not isinstance(token, str) or not isinstance(event, str):
        raise web.HTTPBadRequest(text="receipt and event are strings")
    return token, event
