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
from senders.provider import Carrier
from senders.station import SenderHandler, policy_of, sources

STATION = "senders"
BATCHES = 4  # in hand per partition, so that a slow provider does not stop the lane; one more for critical entries
NAMES = {name: channel for channel, name in CHANNEL_NAMES.items()}


async def _open(channel: Channel, context: Context, stack: AsyncExitStack) -> Carrier:
    """The channel's carrier; modules are imported here, as the providers' packages are large and one process needs few."""
    carrier: Carrier
    if channel is Channel.EMAIL:
        from senders.email import open_email  # noqa: PLC0415

        carrier = open_email(context.settings)
    elif channel is Channel.SMS:
        from senders.sms import open_sms  # noqa: PLC0415

        carrier = open_sms(context.settings)
    elif channel is Channel.PUSH:
        from senders.push import open_push  # noqa: PLC0415

        carrier = open_push(context.settings)
    else:
        from senders.in_app import InAppChannel  # noqa: PLC0415

        ledger = await Ledger.open(context.settings.database_url)
        stack.push_async_callback(ledger.close)
        carrier = InAppChannel(ledger, Changes(context.store))
    stack.push_async_callback(carrier.close)
    return carrier


def loop_of(channel: Channel, carrier: Carrier, context: Context) -> StationLoop:
    """The station loop of one channel."""
    settings = context.settings
    return StationLoop(
        context.store,
        f"sender-{CHANNEL_NAMES[channel]}",
        SENDERS,
        lambda partition: sources(channel, partition),
        SenderHandler(channel, carrier, policy_of(settings), clock=context.clock),
        partitions=settings.partitions,
        poison_limit=settings.poison_limit,
        concurrency=BATCHES,
        clock=context.clock,
    )


def main(arguments: Sequence[str]) -> None:
    """Runs the senders of the channels named until SIGTERM."""
    unknown = [name for name in arguments if name not in NAMES]
    if not arguments or unknown:
        sys.exit(f"usage: python -m senders CHANNEL...   channels: {', '.join(NAMES)}")
    channels = [NAMES[name] for name in dict.fromkeys(arguments)]

    @asynccontextmanager
    async def build(context: Context) -> AsyncIterator[Sequence[Runnable]]:
        async with AsyncExitStack() as stack:
            yield [loop_of(channel, await _open(channel, context, stack), context) for channel in channels]

    run_station(STATION, build)


if __name__ == "__main__":
    main(sys.argv[1:])
