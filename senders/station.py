"""The senders' handler: frames of deliveries in, a channel's attempts, outcomes out. Written once for every channel.

The books are the desk's (senders/desk.py), what follows an answer is senders/aftermath.py's, how to send the channel's.
"""

import random
from collections.abc import Callable

from core import keys
from core.clock import SYSTEM_CLOCK, Clock
from core.model import Channel, Priority
from core.settings import Settings
from core.station import Batch
from core.streams import Settlement
from senders.aftermath import RetryPolicy
from senders.desk import BatchDesk
from senders.provider import Carrier


def policy_of(settings: Settings) -> RetryPolicy:
    """The backoff that the settings ask for."""

    def steps(seconds: tuple[float, ...]) -> tuple[int, ...]:
        return tuple(int(s * 1000) for s in seconds)

    return RetryPolicy(steps(settings.retry_schedule_s), steps(settings.critical_retry_schedule_s), random.Random())


def sources(channel: Channel, partition: int) -> list[str]:
    """The streams of a channel in a partition, most urgent first."""
    return [keys.outbound(partition, channel, priority) for priority in Priority]


class Unfinished(Exception):
    """A channel came back without having seen to every message: a bug."""


class SenderHandler:
    """core.station.Handler of one channel's senders."""

    def __init__(
        self,
        channel: Channel,
        carrier: Carrier,
        policy: RetryPolicy,
        *,
        on_dead: Callable[[], None] = lambda: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`on_dead` is called for each dead letter."""
        self._channel = channel
        self._carrier = carrier
        self._policy = policy
        self._on_dead = on_dead
        self._clock = clock

    async def handle(self, batch: Batch) -> list[Settlement]:
        """Sends every item of the batch that is not done yet; see core.station.Handler."""
        desk = BatchDesk(batch, self._channel, self._clock, self._policy, self._on_dead)
        try:
            messages = desk.open()
            if batch.trial is not None:
                await batch.trial.rest()  # until an attempt begins; it may wait for that for long, with thousands of others
            if messages:
                await self._carrier.send(messages, desk)
            if desk.unseen() and not batch.draining.is_set():
                raise Unfinished(f"{desk.unseen()} messages of {self._channel.name} that nobody saw to")
            return await desk.close()
        except Exception:
            # What did go out must be in the books before the entries are handed in again, and only those that are still ours.
            batch.entries = await desk.hand_back()
            raise
        except BaseException:
            desk.drop()
            raise
