"""`python -m senders email|sms|push|in_app [...]`: one process of the senders of one channel or of several."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from core.changes import Changes
from core.keys import CHANNEL_NAMES, SENDERS
from core.model import Channel
from core.process import Context, Runnable, run_station
from core.station import StationLoop
from ledger import Ledger
from senders.accounts import open_gates
from senders.provider import Carrier
from senders.readiness import Readiness
from senders.routes import Routes
from senders.station import SenderHandler, policy_of, sources

STATION = "senders"
BATCHES = 4  # in hand per partition, so that a slow provider does not stop the lane; as many again for critical ones
NAMES = {name: channel for channel, name in CHANNEL_NAMES.items()}


async def _open(channel: Channel, context: Context, stack: AsyncExitStack) -> tuple[Carrier, Routes | None]:
    """The channel's carrier, and its routes if it has any.

    Modules are imported here, as the providers' packages are large and one process needs few.
    """
    carrier: Carrier
    routes: Routes | None = None
    gates = await open_gates(context.settings, context.store, context.clock)
    if channel is Channel.EMAIL:
        from senders.email import open_email  # noqa: PLC0415

        carrier = email = open_email(context.settings, gates)
        routes = email.routes
    elif channel is Channel.SMS:
        from senders.sms import open_sms  # noqa: PLC0415

        carrier = routes = open_sms(context.settings, gates)
    elif channel is Channel.PUSH:
        from senders.push import open_push  # noqa: PLC0415

        carrier = routes = open_push(context.settings, gates)
    else:
        from senders.in_app import InAppChannel  # noqa: PLC0415

        ledger = await Ledger.open(context.settings.database_url)
        stack.push_async_callback(ledger.close)
        carrier = InAppChannel(ledger, Changes(context.store))
    stack.push_async_callback(carrier.close)
    return carrier, routes


def runnables(channel: Channel, carrier: Carrier, routes: Routes | None, context: Context) -> list[Runnable]:
    """What one channel needs: its station loop, and the readiness that the loop asks."""
    settings = context.settings
    readiness = Readiness(channel, context.store, routes, dead_letter_limit=settings.dead_letter_limit, clock=context.clock)
    loop = StationLoop(
        context.store,
        f"sender-{CHANNEL_NAMES[channel]}",
        SENDERS,
        lambda partition: sources(channel, partition),
        SenderHandler(channel, carrier, policy_of(settings), on_dead=readiness.note_dead, clock=context.clock),
        partitions=settings.partitions,
        poison_limit=settings.poison_limit,
        concurrency=BATCHES,
        may_read=readiness.may_read,
        on_poison=readiness.note_dead,
        clock=context.clock,
    )
    readiness.member = loop.name
    return [readiness, loop]


def main(arguments: Sequence[str]) -> None:
    """Runs the senders of the channels named until SIGTERM."""
    unknown = [name for name in arguments if name not in NAMES]
    if not arguments or unknown:
        sys.exit(f"usage: python -m senders CHANNEL...   channels: {', '.join(NAMES)}")
    channels = [NAMES[name] for name in dict.fromkeys(arguments)]

    @asynccontextmanager
    async def build(context: Context) -> AsyncIterator[Sequence[Runnable]]:
        async with AsyncExitStack() as stack:
            opened = [(channel, await _open(channel, context, stack)) for channel in channels]
            yield [each for channel, found in opened for each in runnables(channel, *found, context)]

    run_station(STATION, build)


if __name__ == "__main__":
    main(sys.argv[1:])
