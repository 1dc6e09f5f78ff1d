"""Says how the gateway does: its heartbeat among the stations' members, and grpc.health.v1 for each service."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from core.errors import LedgerError, StoreError
from core.members import BEAT_S, Members
from tidings.v1 import admin_pb2, inbox_pb2, notifications_pb2, recipients_pb2, templates_pb2

log = logging.getLogger("tidings.gateway")

LEDGER_EVERY = 5  # heartbeats between two questions to PostgreSQL

_NEED_REDIS = (
    "",  # the server as a whole: it can accept
    notifications_pb2.DESCRIPTOR.services_by_name["NotificationsService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
)
_NEED_LEDGER = (
    templates_pb2.DESCRIPTOR.services_by_name["TemplatesService"].full_name,
    recipients_pb2.DESCRIPTOR.services_by_name["RecipientsService"].full_name,
    inbox_pb2.DESCRIPTOR.services_by_name["InboxService"].full_name,
)
SERVICES = (*_NEED_REDIS[1:], *_NEED_LEDGER)


class Vitals:
    """Keeps health up to date while `run` runs.

    Args:
        members: this process among the stations' members.
        ping_ledger: raises LedgerUnavailable if PostgreSQL does not answer.
        servicer: grpc.health.v1.
    """

    def __init__(self, members: Members, ping_ledger: Callable[[], Awaitable[None]], servicer: health.HealthServicer) -> None:
        self._members = members
        self._ping_ledger = ping_ledger
        self._servicer = servicer
        self._said: dict[str, bool] = {}

    async def run(self) -> None:
        """Looks once a second, until cancelled."""
        beats = 0
        while True:
            await self._say("Redis", _NEED_REDIS, await self._redis_answers())
            if beats % LEDGER_EVERY == 0:
                await self._say("PostgreSQL", _NEED_LEDGER, await self._ledger_answers())
            beats += 1
            await asyncio.sleep(BEAT_S)

    async def leave(self) -> None:
        """Says that this process is about to stop: every service NOT_SERVING for good, no member any more."""
        await self._servicer.enter_graceful_shutdown()
        try:
            await self._members.leave()
        except StoreError as error:
            log.warning("could not say goodbye: %s", error)

    async def _redis_answers(self) -> bool:
        try:
            await self._members.beat()
        except StoreError:
            return False
        return True

    async def _ledger_answers(self) -> bool:
        try:
            await self._ping_ledger()
        except LedgerError:
            return False
        return True

    async def _say(self, what: str, services: tuple[str, ...], well: bool) -> None:
        if self._said.get(what, True) != well:
            log.log(logging.INFO if well else logging.WARNING, "%s %s", what, "answers again" if well else "does not answer")
        self._said[what] = well
        for service in services:
            status = HealthCheckResponse.SERVING if well else HealthCheckResponse.NOT_SERVING
            await self._servicer.set(service, status)
