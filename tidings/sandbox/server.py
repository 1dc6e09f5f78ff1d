"""Starts and stops a whole sandbox: one HTTP port for SendGrid, Twilio, FCM and the page, one for APNs, one for SMTP."""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tidings.sandbox import control, credentials, fcm, sendgrid, twilio
from tidings.sandbox.apns import ApnsServer
from tidings.sandbox.context import Sandbox
from tidings.sandbox.environment import Endpoints, environment
from tidings.sandbox.faults import Faults
from tidings.sandbox.outbox import Outbox
from tidings.sandbox.sendgrid_rules import MAX_BODY
from tidings.sandbox.smtp import SmtpServer
from tidings.sandbox.store import Store
from tidings.sandbox.webhooks import SendGridEvents, TwilioCallbacks

SENDGRID_WEBHOOK = "/webhooks/sendgrid"  # at gateway/web
SHUTDOWN_S = 1.0  # for requests under way; hanging ones never end by themselves


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. Port 0 takes a free one."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    apns_port: int = 0
    smtp_port: int = 0
    smtp_login: bool = False  # demand one
    web_url: str = ""  # tidings' gateway/web, which SendGrid's events go to; "" tells nobody


@dataclass(slots=True)
class Running:
    """A started sandbox."""

    sandbox: Sandbox
    endpoints: Endpoints
    smtp_login: bool
    _runner: web.AppRunner
    _apns: ApnsServer
    _smtp: SmtpServer
    _stopped: bool = field(default=False)

    @property
    def environment(self) -> dict[str, str]:
        """The TIDINGS_* variables that lead to it."""
        return environment(self.endpoints, self.sandbox.credentials, smtp_login=self.smtp_login)

    async def stop(self) -> None:
        """Close every door."""
        if self._stopped:
            return
        self._stopped = True
        self.sandbox.store.close()
        await self._smtp.stop()
        await self._apns.stop()
        await self._runner.cleanup()
        await self.sandbox.outbox.stop()


async def start(plan: Plan) -> Running:
    """Start everything; when it returns, every door is open.

    Raises:
        OSError: a port is taken.
    """
    listener = socket.create_server((plan.host, plan.port), backlog=1024)
    port = listener.getsockname()[1]
    sandbox = _make(plan, f"http://{plan.host}:{port}")
    credentials.write_service_account(sandbox.credentials, sandbox.base_url + fcm.TOKEN_PATH)
    app = web.Application(client_max_size=MAX_BODY + 1024)
    for room in (control, sendgrid, twilio, fcm):
        app.add_routes(room.routes(sandbox))
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    apns, smtp = ApnsServer(sandbox), SmtpServer(sandbox, plan.smtp_login)
    await sandbox.outbox.start()
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        apns_port = await apns.start(plan.host, plan.apns_port)
        smtp_port = await smtp.start(plan.host, plan.smtp_port)
    except OSError:
        await apns.stop()
        await runner.cleanup()
        await sandbox.outbox.stop()
        listener.close()
        raise
    endpoints = Endpoints(plan.host, port, apns_port, smtp_port)
    return Running(sandbox, endpoints, plan.smtp_login, runner, apns, smtp)


def _make(plan: Plan, base_url: str) -> Sandbox:
    known = credentials.load(plan.data)
    outbox = Outbox()
    webhook = plan.web_url.rstrip("/") + SENDGRID_WEBHOOK if plan.web_url else ""
    return Sandbox(
        credentials=known,
        store=Store(),
        faults=Faults(),
        outbox=outbox,
        sendgrid_events=SendGridEvents(outbox, known.webhook_key, webhook),
        twilio_callbacks=TwilioCallbacks(outbox, known.twilio_token),
        base_url=base_url,
    )
