"""`python -m gateway`: one process with all doors in, gRPC and web. Wires rooms together; decides nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from core import durability, tasks
from core.changes import Changes
from core.deadletters import DeadLetters
from core.marks import Marks
from core.members import Members, new_name
from core.pokes import Pokes
from core.process import Context, Runnable, run_station
from core.streams import Streams
from gateway import fields
from gateway.admin import Admin
from gateway.admission import Admission
from gateway.auth import Auth
from gateway.catalog import Catalog
from gateway.commit import Committer, durable
from gateway.drain import Drain
from gateway.idempotency import Reservations
from gateway.inbox import Inbox
from gateway.intake import STATION, Intake
from gateway.lookup import Lookup
from gateway.notifications import Notifications
from gateway.recipients import Recipients
from gateway.server import GrpcServer
from gateway.site import WebSite
from gateway.templates import Templates
from gateway.vitals import Vitals
from gateway.web.app import build_app
from ledger import Ledger
from tidings.v1 import admin_pb2_grpc, inbox_pb2_grpc, recipients_pb2_grpc, templates_pb2_grpc


@asynccontextmanager
async def build(context: Context) -> AsyncIterator[Sequence[Runnable]]:
    """The servers, with what they need while they run."""
    fields.zones()  # reads hundreds of files: not during the first call
    ledger = await Ledger.open(context.settings.database_url)
    catalog = Catalog(ledger.templates.get, clock=context.clock)
    pokes = Pokes(context.store)
    admission = Admission(context.store, context.settings)
    hearing = [
        asyncio.create_task(Changes(context.store).listen(catalog.changed)),
        asyncio.create_task(pokes.run()),
        asyncio.create_task(admission.run()),
    ]
    try:
        grpc = await _grpc(context, ledger, catalog, pokes, admission)
        yield [grpc, await WebSite.open(context.settings, build_app(context.settings, context.store, context.clock))]
    finally:
        await tasks.end(*hearing)
        await ledger.close()


async def _grpc(context: Context, ledger: Ledger, catalog: Catalog, pokes: Pokes, admission: Admission) -> GrpcServer:
    settings, store, clock = context.settings, context.store, context.clock
    streams, changes, drain = Streams(store), Changes(store), Drain()
    reservations = Reservations(await Marks(store).open(), settings.partitions, clock=clock)
    safe = durability.required(fsync=settings.critical_fsync, replicas=settings.critical_replicas)
    await durability.check(store, safe)
    await durability.warn(store)
    committer = Committer(durable(streams.append, safe), settings.partitions)
    intake = Intake(settings.partitions, catalog, reservations, committer=committer, admission=admission, clock=clock)
    lookup = Lookup(streams.peek, settings.partitions)
    notifications = Notifications(intake, ledger.deliveries, lookup, drain=drain, clock=clock)
    inbox = Inbox(ledger.inbox, pokes, streams, partitions=settings.partitions, drain=drain, clock=clock)
    letters = await DeadLetters(store, settings.partitions, clock).open()
    admin = Admin(store, settings.partitions, letters=letters, admission=admission, ledger=ledger)
    members = await Members(store, STATION, new_name()).open()
    return GrpcServer(
        settings,
        Auth(ledger.keys.find, clock=clock),
        (
            notifications.add_to,
            partial(templates_pb2_grpc.add_TemplatesServiceServicer_to_server, Templates(ledger.templates, catalog, changes)),
            partial(recipients_pb2_grpc.add_RecipientsServiceServicer_to_server, Recipients(ledger.recipients, changes)),
            partial(inbox_pb2_grpc.add_InboxServiceServicer_to_server, inbox),
            partial(admin_pb2_grpc.add_AdminServiceServicer_to_server, admin),
        ),
        vitals=partial(Vitals, members, ledger.ping),
        drain=drain,
    )


if __name__ == "__main__":
    run_station(STATION, build)
