"""What the simulators of one sandbox share, and the acting out of faults that look the same everywhere."""

import asyncio
import time
from dataclasses import dataclass

from aiohttp import web

from tidings.sandbox.credentials import Credentials
from tidings.sandbox.faults import Fault, Faults
from tidings.sandbox.outbox import Outbox
from tidings.sandbox.store import Store
from tidings.sandbox.webhooks import SendGridEvents, TwilioCallbacks

FOREVER_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Handed to every simulator."""

    credentials: Credentials
    store: Store
    faults: Faults
    outbox: Outbox
    sendgrid_events: SendGridEvents
    twilio_callbacks: TwilioCallbacks
    base_url: str  # of the HTTP simulators and the page

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


async def answer_late(fault: Fault | None, request: web.Request) -> None:
    """Act out what a taken call may meet: a slow answer, none, or a cut connection (both end when the connection does)."""
    if fault is None:
        return
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    elif fault.kind in ("hang", "reset"):
        if fault.kind == "reset" and request.transport is not None:
            request.transport.abort()
        await asyncio.sleep(FOREVER_S)
