"""Whether a channel's streams may be read: it is not halted, and a provider is there to take something. Tells operators.

Halts the channel itself when too many dead letters come at once: after a bad deploy a queue must not drain into them.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping

from core import members, metrics
from core.arrivals import MINUTE_MS, Arrivals, Counts
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import StoreError
from core.halts import Halts
from core.keys import CHANNEL_NAMES
from core.model import Channel
from core.store import Store
from core.wellbeing import Wellbeings
from senders.breaker import State
from senders.gate import Gate
from senders.health import minutes_of_interest, trust
from senders.routes import Routes

log = logging.getLogger("tidings.senders")

REFRESH_S = 1.0
WINDOW_MS = 60_000  # of the dead-letter limit
ARRIVALS_MS = 10_000  # between two looks at what webhooks told


class Readiness:
    """One channel in one process; a core.process.Runnable that keeps it up to date.

    Attributes:
        channel: which.
        member: this process' name in its reports.
    """

    def __init__(
        self,
        channel: Channel,
        store: Store,
        routes: Routes | None = None,
        *,
        dead_letter_limit: int = 0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """A channel's readiness.

        Args:
            channel: whose.
            store: Redis.
            routes: its providers; None for a channel that has none (in-app).
            dead_letter_limit: dead letters within a minute above which the channel is halted; 0 never halts it.
            clock: what a minute is measured by.
        """
        self.channel = channel
        self._name = CHANNEL_NAMES[channel]
        self._halts = Halts(store, clock)
        self._routes = routes
        self.member = members.new_name()
        self._wellbeings = Wellbeings(store, clock)
        self._arrivals = Arrivals(store)
        self._arrivals_due_ms = 0
        self._limit = dead_letter_limit
        self._clock = clock
        self._deaths: deque[int] = deque()
        self._pending = ""  # why it must be halted, until Redis knows
        self._halted = True  # until Redis was asked
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()

    @property
    def gates(self) -> Mapping[str, Gate]:
        """The gates of the channel's providers."""
        return self._routes.gates if self._routes is not None else {}

    def may_read(self) -> bool:
        """Whether the channel's streams may be read now; while not, the queue is the buffer."""
        gates = self.gates.values()
        return not self._halted and (not gates or any(gate.state is not State.OPEN for gate in gates))

    def note_dead(self, count: int = 1) -> None:
        """Counts dead letters; the one above the limit halts the channel."""
        now_ms = self._clock.now_ms()
        self._deaths.extend([now_ms] * count)
        while self._deaths and self._deaths[0] <= now_ms - WINDOW_MS:
            self._deaths.popleft()
        if not self._limit or self._pending or len(self._deaths) <= self._limit:
            return
        self._pending = (
            f"more than {self._limit} dead letters within a minute; look at them, remove the cause, "
            f"then let it go on with `tidings resume {self._name}`"
        )
        log.error("channel halted: %s", self._pending, extra={"channel": self._name})
        self._deaths.clear()
        self._hold(True)
        self._news.set()

    async def run(self) -> None:
        """Looks every REFRESH_S, until `stop`."""
        while not self._stopping.is_set():
            self._news.clear()
            try:
                await self.refresh()
            except StoreError as error:
                log.warning("state of the channel not known or not told: %s", error, extra={"channel": self._name})
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Ends `run`."""
        self._stopping.set()
        self._news.set()

    async def refresh(self) -> None:
        """Asks whether the channel is halted and what webhooks told, and tells how its providers fare.

        Raises:
            StoreError: Redis is away; what was known stays.
        """
        found = self._routes.wellbeing() if self._routes is not None else []
        for each in found:
            metrics.PROVIDER_BREAKER.labels(each.provider).set(each.breaker)
            metrics.PROVIDER_SHARE.labels(each.provider).set(each.share)
        self._show_health()
        if self._pending:
            await self._halts.halt(self.channel, self._pending)
            self._pending = ""
        halts = await self._halts.list()
        if not self._pending:
            self._hold(any(halt.channel is self.channel for halt in halts))
        for gate in self.gates.values():
            await gate.look()
        if found:
            await self._wellbeings.tell(self.channel, self.member, found)
        if self._clock.now_ms() >= self._arrivals_due_ms:
            await self._compare_receipts()
            self._arrivals_due_ms = self._clock.now_ms() + ARRIVALS_MS

    async def _compare_receipts(self) -> None:
        """Adds what was sent to the counters that all processes share, and holds what webhooks told against them."""
        now_min = self._clock.now_ms() // MINUTE_MS
        for name, gate in self.gates.items():
            news = dict(gate.taken)
            await self._arrivals.add({(name, minute): Counts(sent=n) for minute, n in news.items()})
            gate.taken.subtract(news)
            gate.taken += Counter()  # drops what stands at 0
            gate.trust = trust(await self._arrivals.read(name, minutes_of_interest(now_min)), now_min)

    def _show_health(self) -> None:
        for name, found in (self._routes.conditions() if self._routes is not None else {}).items():
            for by, left in (("answers", 1.0 - found.failures), ("time", found.promptness), ("receipts", found.trust)):
                metrics.PROVIDER_HEALTH.labels(name, by).set(left)

    def _hold(self, halted: bool) -> None:
        self._halted = halted
        metrics.CHANNEL_HALTED.labels(self._name).set(halted)
        for gate in self.gates.values():
            gate.held = halted
