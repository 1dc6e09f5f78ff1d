"""The one place where messages wait before a provider: for its breaker to close, and for tokens of its account's rate.

    closed     as many as the bucket has tokens for, the most urgent first; without a bucket everybody, at once
    half open  one at a time: the most urgent one is the probe, and its answer decides
    open       nobody; who waits is turned away once, so that it may look for another provider

Nothing is begun here, so waiting costs no attempt. Tokens come through core.bucket; nothing else is read or written.
"""

import asyncio
import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.arrivals import MINUTE_MS
from core.bucket import HALF, Bucket
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import StoreError
from core.model import ErrorClass, Priority
from senders.breaker import FAULTS, Breaker, State
from senders.health import FLOW_HALF_LIFE_MS, Fading, Flow, Health, left_of_rate
from senders.provider import Answer
from senders.selection import Condition

log = logging.getLogger("tidings.senders")

POLL_S = 0.25  # who waits for a clock looks at it this often
LINGER_S = 0.02  # tokens gather for so long between two waves, so that calls do not carry one message each


@dataclass(frozen=True, slots=True)
class Pass:
    """How many messages may go now (0: none, look again), and whether it is the probe of a half-open breaker.

    `paid`: with tokens; who did not pay has to look again when a limit comes into force before it began.
    """

    count: int = 0
    probe: bool = False
    paid: bool = field(default=False, compare=False)


NOBODY = Pass()


@dataclass(order=True, slots=True)
class _Waiter:
    urgency: int
    arrival: int
    wanted: int = field(compare=False)
    turn: asyncio.Future[Pass] = field(compare=False)


class Gate:
    """The gate of one provider in one process.

    Attributes:
        name: the provider's name.
        held: while True nobody passes (the channel is halted).
        trust: what its receipts leave of its weight, 0.0 to 1.0, see senders/health.py.
        taken: messages it took and will tell about later, by minute of acceptance; whoever counts them takes them out.
    """

    def __init__(
        self, name: str, bucket: Bucket | None = None, breaker: Breaker | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.name = name
        self.held = False
        self.trust = 1.0
        self.taken: Counter[int] = Counter()
        self._bucket = bucket
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._health = Health()
        self._flow = Flow()
        self._refused = Fading(FLOW_HALF_LIFE_MS)  # 1.0 for a plea for patience, 0.0 for any other answer
        self._per_s = bucket.rate.per_s if bucket is not None and bucket.rate is not None else 0.0
        self._waiters: list[_Waiter] = []
        self._arrivals = itertools.count()
        self._news = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._slowing: asyncio.Task[None] | None = None
        self._last: Answer | None = None
        self._cut_off = False

    @property
    def state(self) -> State:
        """The breaker's state."""
        return self._breaker.state(self._clock.now_ms())

    @property
    def failures(self) -> float:
        """The share of recent answers that were the provider's own failures, 0.0 to 1.0."""
        return self._health.failures(self._clock.now_ms())

    @property
    def took_ms(self) -> float:
        """How long an answer takes now, milliseconds; 0.0 while nothing is known."""
        return self._health.took_ms(self._clock.now_ms())

    @property
    def usual_ms(self) -> float:
        """How long an answer usually takes."""
        return self._health.usual_ms(self._clock.now_ms())

    @property
    def per_s(self) -> float:
        """Messages a second that the account's limit allows now; 0.0 for no limit."""
        return self._per_s

    @property
    def seen_per_s(self) -> float:
        """Messages a second that began lately, in this process."""
        return self._flow.per_s(self._clock.now_ms())

    @property
    def limited(self) -> bool:
        """Whether who passes has to pay with tokens now."""
        return self._bucket is not None and self._bucket.in_force

    @property
    def reopens_ms(self) -> int:
        """When the pause of an open breaker is over, milliseconds since the epoch."""
        return self._breaker.open_until_ms

    @property
    def passable(self) -> bool:
        """Whether what was let through may still go."""
        return not self.held and self.state is State.CLOSED

    @property
    def condition(self) -> Condition:
        """What the choice of a provider looks at."""
        state = self.state
        wanting = state is State.HALF_OPEN and not self._waiting() and self._breaker.wants_probe(self._clock.now_ms())
        return Condition(state, self.failures, wanting and not self.held)

    async def enter(self, urgency: int, wanted: int, draining: asyncio.Event, patience_s: float) -> Pass:
        """Waits until some of `wanted` messages may go; nobody may if the process drains, patience ends or the breaker opens.

        Args:
            urgency: a core.model.Priority; lower goes first.
            wanted: how many messages wait, at least one.
            draining: set when the process was asked to stop.
            patience_s: how long to wait at most, seconds.
        """
        if draining.is_set():
            return NOBODY
        if not self.limited and self.passable and not self._waiting():
            return Pass(wanted)
        waiter = _Waiter(urgency, next(self._arrivals), wanted, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiters, waiter)
        self._wake(urgent=self._waiters[0] is waiter)
        drained = asyncio.ensure_future(draining.wait())
        try:
            await asyncio.wait((waiter.turn, drained), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if waiter.turn.done() and waiter.turn.result().probe:
                self.forgo()
            raise
        finally:
            drained.cancel()
            if not waiter.turn.done():
                waiter.turn.cancel()
                self._forget(waiter)
        return NOBODY if waiter.turn.cancelled() else waiter.turn.result()

    def note_begun(self, count: int) -> None:
        """Counts attempts that begin."""
        self._flow.note(self._clock.now_ms(), count)

    def note_taken(self, accepted: Mapping[int, int]) -> None:
        """Counts messages that the provider took, and whose receipts are still to come: accepted_ms -> how many."""
        for accepted_ms, count in accepted.items():
            self.taken[accepted_ms // MINUTE_MS] += count

    def report(self, answer: Answer, *, probe: bool = False, begun_ms: int = 0, ours: bool = True) -> None:
        """Takes in the answer to an attempt that was let through, and that began at `begun_ms` (0: not known).

        `ours`: a plea for patience is about this gate's account, not about a domain's lane before it.
        The same object for many messages in a row is one call's answer, and one piece of news.
        """
        if answer is self._last and not probe:
            return
        self._last = answer
        error_class, breaker, now_ms = answer.error_class, self._breaker, self._clock.now_ms()
        # A refusal comes quickly, and proves nothing.
        took_ms = max(now_ms - begun_ms, 0) if begun_ms and error_class is ErrorClass.NONE else None
        self._health.note(error_class in FAULTS, now_ms, took_ms)
        if probe or breaker.state(now_ms) is State.CLOSED:  # late answers from before it opened decide nothing
            breaker.report(error_class, now_ms)
        if breaker.state(now_ms) is State.OPEN:
            self._turn_away()
        throttled = error_class is ErrorClass.THROTTLED and ours
        self._refused.note(float(throttled), now_ms)
        if throttled:
            self.slow_down(self.seen_per_s, left_of_rate(self._refused.average(now_ms, 0.0, 1.0)))
        if self._waiters:
            self._news.set()

    def slow_down(self, seen_per_s: float, keep: float = HALF) -> None:
        """The provider asks for patience.

        Args:
            seen_per_s: messages a second that it was handed lately by this process.
            keep: what is to be left of the rate, where no limit is set.
        """
        if self._bucket is not None and self._slowing is None:
            self._bucket.in_force = True  # at once: nobody else passes without a token while Redis is told
            self._slowing = asyncio.create_task(self._slow_down(self._bucket, seen_per_s, keep))

    async def look(self) -> None:
        """Learns whether other processes were asked for patience.

        Raises:
            StoreError: Redis is away; what was known stays.
        """
        if self._bucket is not None and self._bucket.rate is None and self._slowing is None:
            self._per_s = (await self._bucket.take(0)).per_s
            self._news.set()

    def beside(self, part: str) -> "Gate | None":
        """A gate for a part of what the account sends, without a limit until it is asked for; None if nobody counts here."""
        if self._bucket is None:
            return None
        return Gate(f"{self.name} to {part}", self._bucket.beside(part), clock=self._clock)

    def forgo(self) -> None:
        """The probe was not sent after all: another may take its place."""
        self._breaker.withdraw()
        self._news.set()

    async def close(self) -> None:
        """Ends what runs here; nobody waits any more."""
        tasks = [task for task in (self._server, self._slowing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Serving ------------------------------------------------------------------------------------------------------------

    def _wake(self, *, urgent: bool) -> None:
        if urgent:
            self._news.set()
        if self._server is None:
            self._server = asyncio.create_task(self._serve())

    def _forget(self, waiter: _Waiter) -> None:
        """At once: behind a more urgent one it would be remembered for as long as that waits, once for each patience."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            heapq.heapify(self._waiters)

    def _waiting(self) -> bool:
        """Whether somebody waits; whose task was cancelled is forgotten here."""
        while self._waiters and self._waiters[0].turn.done():
            heapq.heappop(self._waiters)
        return bool(self._waiters)

    async def _serve(self) -> None:
        try:
            while self._waiting():
                self._news.clear()
                pause_s = await self._step()
                if pause_s:
                    await _either(self._news, pause_s)
        finally:
            self._server = None

    async def _step(self) -> float:
        """Lets through who may go now; how long to wait before the next look, seconds."""
        now_ms = self._clock.now_ms()
        state = self._breaker.state(now_ms)
        if self.held or state is State.OPEN:
            return POLL_S
        if state is State.HALF_OPEN:
            if self._breaker.admits(now_ms):
                self._release(1, probe=True)
            return POLL_S  # its report is news, and ends the pause
        if self._bucket is None or not self._bucket.in_force:
            self._release(sum(waiter.wanted for waiter in self._waiters))
            return 0.0
        return await self._take_tokens(self._bucket)

    async def _take_tokens(self, bucket: Bucket) -> float:
        critical = self._waiters[0].urgency == Priority.CRITICAL
        queue = [w.wanted for w in self._waiters if not w.turn.done() and (not critical or w.urgency == Priority.CRITICAL)]
        try:
            grant = await bucket.take(sum(queue), critical=critical)
        except StoreError as error:  # without Redis nothing can be written down either: wait for it
            if not self._cut_off:
                log.warning("no tokens while Redis is away: %s", error, extra={"provider": self.name})
            self._cut_off = True
            return POLL_S
        self._cut_off = False
        self._per_s = grant.per_s
        self._release(grant.tokens, paid=True)
        return min(max(grant.wait_ms / 1000, LINGER_S), POLL_S)

    def _release(self, tokens: int, *, probe: bool = False, paid: bool = False) -> None:
        while tokens > 0 and self._waiting():
            waiter = heapq.heappop(self._waiters)
            count = min(tokens, waiter.wanted)
            waiter.turn.set_result(Pass(count, probe, paid))
            tokens -= count

    def _turn_away(self) -> None:
        while self._waiting():
            heapq.heappop(self._waiters).turn.set_result(NOBODY)

    async def _slow_down(self, bucket: Bucket, seen_per_s: float, keep: float) -> None:
        try:
            self._per_s = (await bucket.slow_down(seen_per_s=seen_per_s, keep=keep)).per_s
            log.warning(
                "the provider asks for patience: %.1f messages a second now", self._per_s, extra={"provider": self.name}
            )
        except StoreError as error:
            log.warning("could not slow down: %s", error, extra={"provider": self.name})
        finally:
            self._slowing = None


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
